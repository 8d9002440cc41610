"""MNIST as arrays, from the files that are there; nothing is downloaded."""

import gzip
import hashlib
import json
import math
import os
import zlib
from pathlib import Path

import numpy as np

from study.config import ConfigError, digest, project_path

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FOLDERS = ("data/raw/mnist", "../shared/data/mnist")  # where IDX files are looked for
TFDS_FOLDERS = ("data/prepared", os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))


def load(data_dir=""):
    """The IDX files in `data_dir`; without it those in the first of FOLDERS that has any, else a prepared mnist.

    Returns:
        As `study.data.load_examples`; the training digits first.

    Raises:
        ConfigError: a file is missing, cut short or not what its name says, or counts do not match.
    """
    if data_dir:
        return _read_folder(project_path(Path(data_dir).expanduser()))
    for folder in map(project_path, FOLDERS):
        if any(_find(folder, name) for name in FILES):
            return _read_folder(folder)
    for folder in TFDS_FOLDERS:
        for path in sorted(project_path(Path(folder).expanduser()).glob("mnist/**/dataset_info.json"), reverse=True):
            form = json.loads(path.read_text()).get("fileFormat")
            if "incomplete" not in path.parent.name and form == "array_record":
                return _read_prepared(path.parent)
    raise ConfigError(
        f"MNIST is not here: put its four files ({', '.join(FILES)}, plain or with .gz) into {FOLDERS[0]}, "
        "or name their folder as data_dir"
    )


def _examples(source, *arrays):
    """From images and labels of training, and of test."""
    images, labels = np.concatenate(arrays[::2]).reshape(-1, 28, 28, 1), np.concatenate(arrays[1::2])
    given = np.repeat(["train", "test"], [len(arrays[1]), len(arrays[3])])
    files, sides = np.char.add(given, np.char.mod("/%d", np.arange(len(given)))), np.full((len(given), 2), 28, np.int32)
    content = digest(*(hashlib.sha256(each).hexdigest() for each in (images, labels)))
    about = {"class_names": list("0123456789"), "source": source, "digest": content, "outcomes": {}, "refused": []}
    return {"images": images, "labels": labels.astype(np.int64), "files": files, "sides": sides, "given": given}, about


def _read_folder(folder):
    """The four IDX files in `folder`, gzipped or not, with `-idx` or `.idx` in their names."""
    if not folder.is_dir():
        raise ConfigError(f"data_dir {str(folder)!r} is not a directory")
    paths = {name: _find(folder, name) for name in FILES}
    if missing := [name for name, path in paths.items() if path is None]:
        raise ConfigError(f"{str(folder)!r} lacks {', '.join(missing)} (plain or with .gz)")
    arrays = [_read_idx(path, (28, 28) if "images" in name else ()) for name, path in paths.items()]
    for split, name, images, labels in zip(("train", "test"), FILES[1::2], arrays[::2], arrays[1::2], strict=True):
        if len(images) != len(labels):
            raise ConfigError(f"{str(folder)!r} holds {len(images)} {split} images but {len(labels)} labels")
        if len(labels) == 0 or labels.max() > 9:
            raise ConfigError(f"{paths[name].name} must hold labels from 0 to 9, and at least one")
    return _examples("MNIST, from IDX files", *arrays)


def _find(folder, name):
    """The path of an IDX file, or None."""
    names = [each + end for each in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    return next((folder / each for each in names if (folder / each).is_file()), None)


def _read_idx(path, shape):
    """An IDX file of bytes -> (N, *shape) uint8."""
    data = path.read_bytes()
    try:
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{str(path)!r} is truncated or damaged: {error}") from None
    magic, start = bytes([0, 0, 8, 1 + len(shape)]), 8 + 4 * len(shape)
    if data[:4] != magic:
        raise ConfigError(f"{str(path)!r} is not such an IDX file: magic number {data[:4].hex()}, not {magic.hex()}")
    count, *sides = (int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    if len(data) >= start and tuple(sides) != shape:
        raise ConfigError(f"{str(path)!r} holds images of shape {tuple(sides)}, not {shape}")
    expected = start + count * math.prod(shape)
    if len(data) != expected:
        fault = "truncated" if len(data) < expected else "too long"
        raise ConfigError(f"{str(path)!r} is {fault}: {len(data):,} bytes, not {expected:,}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(count, *shape)


def _read_prepared(folder):
    """An mnist that TFDS has prepared in array_record form, without TensorFlow."""
    from study.data.prepare import read, tfds  # here: TFDS takes seconds to import, and IDX files do without

    builder = tfds.builder_from_directory(folder)
    parts = [read(builder, split) for split in ("train", "test")]
    return _examples("MNIST, prepared by TFDS", *(part[key] for part in parts for key in ("image", "label")))
