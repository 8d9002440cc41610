"""MNIST as arrays, from the files that are there. Without any, digits are drawn in fonts: nothing is downloaded."""

import gzip
import io
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from study.config import ConfigError, project_path

FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
FOLDERS = [project_path("data/raw/mnist"), project_path("../shared/data/mnist")]  # with IDX files
PREPARED = project_path("data/prepared")
TFDS_FOLDERS = [PREPARED, Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()]
DRAWN_COUNTS = {"train": 6000, "test": 1000}


@dataclass(frozen=True)
class Digits:
    """Images (N, 28, 28) uint8, 0 the background, labels (N,) int64 in 0...9, and what was read, in words."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    source: str
    drawn: bool = False  # in fonts, for want of MNIST


def load_mnist(data_dir=""):
    """The IDX files in `data_dir`. Without it: those in FOLDERS, else a prepared mnist, else drawn digits.

    The files are prepared once, in array_record form below PREPARED, and read from there.

    Raises:
        ConfigError: a file is missing, cut short or not what its name says, or counts do not match.
    """
    if data_dir:
        return prepare_idx(project_path(Path(data_dir).expanduser()))
    for folder in FOLDERS:
        if any(_find(folder, name) for name in FILES.values()):
            return prepare_idx(folder)
    for folder in TFDS_FOLDERS:
        for path in sorted(folder.glob("mnist/**/dataset_info.json"), reverse=True):
            about = json.loads(path.read_text())
            if "incomplete" not in path.parent.name and about.get("fileFormat") == "array_record":
                return load_prepared(path.parent)
    return draw_digits()


def prepare_idx(folder):
    """The four IDX files in `folder`, gzipped or not, with `-idx` or `.idx` in their names, through our builder."""
    from study import builders  # here: TensorFlow Datasets takes seconds to import, and drawn digits do without

    if not folder.is_dir():
        raise ConfigError(f"data_dir {str(folder)!r} is not a directory")
    paths = {key: _find(folder, name) for key, name in FILES.items()}
    missing = [FILES[key] for key, path in paths.items() if path is None]
    if missing:
        raise ConfigError(f"{str(folder)!r} lacks {', '.join(missing)} (plain or with .gz)")
    contents = [path.read_bytes() for path in paths.values()]
    builder = builders.Mnist(contents, lambda: read_idx(folder, paths), data_dir=PREPARED)
    builders.prepare(builder)
    return load_prepared(builder.data_path, builder.layout)


def read_idx(folder, paths):
    """The digits in the files `paths` ({key of FILES: path})."""
    arrays = {key: _read_idx(path, (28, 28) if key.endswith("images") else ()) for key, path in paths.items()}
    for split in ("train", "test"):
        images, labels = (len(arrays[f"{split}_{what}"]) for what in ("images", "labels"))
        if images != labels:
            raise ConfigError(f"{str(folder)!r} holds {images} {split} images but {labels} labels")
        if labels == 0 or arrays[f"{split}_labels"].max() > 9:
            raise ConfigError(f"{paths[f'{split}_labels'].name} must hold labels from 0 to 9, and at least one")
        arrays[f"{split}_labels"] = arrays[f"{split}_labels"].astype(np.int64)
    return Digits(**arrays, source="MNIST, from IDX files")


def _find(folder, name):
    """The path of an IDX file, or None."""
    names = [each + end for each in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    return next((folder / each for each in names if (folder / each).is_file()), None)


def _read_idx(path, shape):
    """An IDX file of bytes -> (N, *shape) uint8."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ConfigError(f"{str(path)!r} is truncated or damaged: {error}") from None
    dimensions = 1 + len(shape)
    magic, start = bytes([0, 0, 8, dimensions]), 4 + 4 * dimensions
    if data[:4] != magic:
        raise ConfigError(f"{str(path)!r} is not such an IDX file: magic number {data[:4].hex()}, not {magic.hex()}")
    header = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    if len(data) >= start and header[1:] != shape:
        raise ConfigError(f"{str(path)!r} holds images of shape {header[1:]}, not {shape}")
    expected = start + header[0] * int(np.prod(shape))
    if len(data) != expected:
        fault = "is truncated" if len(data) < expected else "is too long"
        raise ConfigError(f"{str(path)!r} {fault}: {len(data):,} bytes, not {max(start, expected):,}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(header)


def load_prepared(folder, source="MNIST, prepared by TFDS"):
    """Read an mnist of TFDS's or ours, prepared in array_record form in `folder`, without TensorFlow."""
    import tensorflow_datasets as tfds  # here: it takes seconds, and drawn digits do without

    from study import builders

    builder, arrays = tfds.builder_from_directory(folder), {}
    for split in ("train", "test"):
        examples = builders.read(builder, split)
        images = [np.asarray(Image.open(io.BytesIO(each["image"])).convert("L")) for each in examples]
        arrays[f"{split}_images"] = np.stack(images)
        arrays[f"{split}_labels"] = np.array([each["label"] for each in examples], np.int64)
    return Digits(**arrays, source=source)


def draw_digits(seed=0):
    """Digits in the DejaVu fonts that come with Matplotlib, randomly shifted, turned, scaled, and with noise.

    The same seed gives the same digits.
    """
    generator = np.random.default_rng(seed)
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = sorted(path for path in folder.glob("DejaVu*.ttf") if "Display" not in path.stem)  # those lack digits
    cache, arrays = {}, {}
    for split, count in DRAWN_COUNTS.items():
        labels, images = np.arange(count, dtype=np.int64) % 10, np.empty((count, 28, 28), np.uint8)
        for label, image in zip(labels, images, strict=True):
            key = int(generator.integers(len(fonts))), int(generator.integers(32, 49))
            font = cache[key] = cache.get(key) or ImageFont.truetype(fonts[key[0]], key[1])
            large = Image.new("L", (56, 56))
            ImageDraw.Draw(large).text((28, 28), str(label), fill=255, font=font, anchor="mm")
            shift = tuple(generator.integers(-6, 7, 2).tolist())
            large = large.rotate(generator.uniform(-20, 20), Image.Resampling.BILINEAR, translate=shift)
            small = np.asarray(large.resize((28, 28), Image.Resampling.BOX), np.float64)
            image[...] = (small + generator.normal(0, 20, small.shape)).clip(0, 255)
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images, labels
    return Digits(**arrays, source="not MNIST: printed digits, drawn in the fonts of Matplotlib", drawn=True)
