"""The datasets as arrays: `load_dataset` prepares one if needed and returns it; `batches` draws from it.

Everything fits in memory as uint8. A batch is chosen by index, cropped and flipped at random, and normalised.
"""

import csv
import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from study.collection import official_classes
from study.config import DATASETS, LABELS, PROJECT, ConfigError, check_choice


@dataclass(frozen=True)
class Split:
    """Some examples: `images` (N, S, S, 3) uint8 and `labels` (N,) int64, the names of the `files` they came from, and
    their `sides` (N, 2) int32, width and height in pixels before they were resized."""

    images: np.ndarray
    labels: np.ndarray
    files: tuple = ()
    sides: np.ndarray | None = None

    def __len__(self):
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Three splits and what is known of them. S = image_size + image_size // 8, the margin for random crops."""

    name: str
    label: str
    image_size: int
    class_names: list
    train: Split
    validation: Split
    test: Split
    source: str  # what was read, in words
    digest: str  # of what was read: equal digests, equal data
    outcomes: dict = field(default_factory=dict)  # {"as it was": 7000, "refused: empty file": 1, ...}
    refused: list = field(default_factory=list)  # "file: why"

    @property
    def counts(self):
        return {name: len(getattr(self, name)) for name in ("train", "validation", "test")}

    def about(self):
        """What was found, for the report: counts, source, digest, outcomes and what was refused."""
        keys = "counts", "source", "digest", "outcomes", "refused"
        return {key: getattr(self, key) for key in keys}


def stored_size(image_size):
    """Height and width of the stored images, from which crops of `image_size` are drawn."""
    return image_size + image_size // 8


def load_dataset(name, data_dir=None, label="body", image_size=67):
    """Load a dataset, preparing it first if that was not done before (under data/prepared/).

    Args:
        name: "rendered_cars", drawn by this project, or "stanford_cars".
        data_dir: the folder with the photographs of stanford_cars, or an `.npz` that `save` wrote.
        label: "body" (8 classes), "make" (49) or "model" (196).
        image_size: of the network, in pixels; the images are an eighth larger.

    Returns:
        A Dataset.

    Raises:
        ConfigError: an unknown name or label, or a folder that is missing or holds no photographs.
    """
    check_choice("dataset", name, DATASETS)
    check_choice("label", label, LABELS)
    if data_dir and Path(data_dir).suffix == ".npz":
        stored, class_names, about = _load_npz(data_dir, name, image_size)
    else:
        stored, class_names, about = _load_prepared(name, data_dir, stored_size(image_size))
    if name == "stanford_cars" and label != "model":
        class_names, mapping = group_classes(class_names, label)
    else:
        mapping = np.arange(len(class_names))
    splits = {
        split: Split(_decode(images, stored_size(image_size)), mapping[labels], files, sides)
        for split, (images, labels, files, sides) in stored.items()
    }
    return Dataset(name, label, image_size, class_names, **splits, **about)


def write_split(dataset, path):
    """Write down which file is in which split, as CSV: file, split."""
    files = sorted((file, name) for name in dataset.counts for file in getattr(dataset, name).files)
    with open(path, "w", newline="") as target:
        csv.writer(target, lineterminator="\n").writerows([("file", "split"), *files])


def save(path, name, data_dir=None, image_size=67):
    """Write a prepared dataset into one `.npz` for a machine without TFDS: the compressed images, back to back."""
    stored, class_names, about = _load_prepared(name, data_dir, stored_size(image_size))
    about = json.dumps(about | {"name": name, "image_size": image_size})
    arrays = {"about": np.array(about), "class_names": np.array(class_names)}
    for split, (images, labels, files, sides) in stored.items():
        arrays[f"{split}_bytes"] = np.frombuffer(b"".join(images), np.uint8)
        arrays[f"{split}_ends"] = np.cumsum([len(image) for image in images])
        arrays |= {f"{split}_labels": labels, f"{split}_files": np.array(files), f"{split}_sides": sides}
    partial = Path(path).with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.replace(path)


def _load_npz(path, name, image_size):
    if not Path(path).is_file():
        raise ConfigError(f"data_dir {str(path)!r} does not exist")
    if not zipfile.is_zipfile(path):
        raise ConfigError(f"{str(path)!r} is no .npz file, or is cut short")
    with np.load(path, allow_pickle=False) as arrays:
        if "train_sides" not in arrays:
            raise ConfigError(f"{str(path)!r} was not written by this version of study.data.save; write it again")
        about = json.loads(str(arrays["about"]))
        stored_name, size = about.pop("name"), about.pop("image_size")
        if (stored_name, size) != (name, image_size):
            raise ConfigError(f"{path} holds {stored_name} for {size} px, not {name} for {image_size} px")
        stored = {}
        for split in ("train", "validation", "test"):
            ends = arrays[f"{split}_ends"][:-1]
            images = [part.tobytes() for part in np.split(arrays[f"{split}_bytes"], ends)]
            stored[split] = images, *(arrays[f"{split}_{key}"] for key in ("labels", "files", "sides"))
        return stored, [str(each) for each in arrays["class_names"]], about


def _load_prepared(name, data_dir, size):
    """{split: (compressed images, labels, files, sides)}, class names, and what is known of them, from TFDS."""
    from study import builders  # here: a bare machine trains from an .npz without TensorFlow Datasets

    prepared = PROJECT / "data" / "prepared"
    if name == "rendered_cars":
        builder = builders.RenderedCars(size, data_dir=prepared)
    else:
        if not data_dir:
            raise ConfigError("stanford_cars needs data_dir, the folder with the photographs (see data/README.md)")
        builder = builders.StanfordCars(data_dir, size, data_dir=prepared)
    builders.prepare(builder)
    stored = {}
    for split in ("train", "validation", "test"):
        examples = builders.read(builder, split)
        images, labels, files, sides = ([each[key] for each in examples] for key in ("image", "label", "file", "sides"))
        stored[split] = images, np.array(labels), [file.decode() for file in files], np.array(sides)
    about = {"source": builder.layout, "digest": builder.digest}
    about |= {key: builder.info.metadata.get(key, kind()) for key, kind in (("outcomes", dict), ("refused", list))}
    return stored, builder.info.features["label"].names, about


def _decode(images, size):
    """Compressed images -> (N, size, size, 3) uint8."""
    decoded = np.empty((len(images), size, size, 3), np.uint8)

    def decode(index):
        decoded[index] = Image.open(io.BytesIO(images[index])).convert("RGB")

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(decode, range(len(images))):
            pass
    return decoded


def group_classes(class_names, label):
    """The names of the coarser classes, sorted, and the index among them of each of `class_names`."""
    table = {name.replace("/", "-"): row for name, row in official_classes().items()}
    class_names = [name.replace("/", "-") for name in class_names]  # as folders must: "Ram C/V Cargo Van Minivan 2012"
    unknown = [name for name in class_names if name not in table]
    if unknown:
        raise ConfigError(
            f"label {label!r} needs the class names of Stanford Cars; {unknown[0]!r} is none of them "
            f"({len(unknown)} of {len(class_names)} unknown); label 'model' takes the folders as they are"
        )
    column = {"make": "make", "body": "body_style"}[label]
    groups = [table[name][column] for name in class_names]
    names = sorted(set(groups))
    return names, np.array([names.index(group) for group in groups])


def normalisation(images):
    """Mean and standard deviation of each channel of uint8 images. (N, S, S, 3) -> (3,), (3,) float32"""
    sample = images[:: max(1, len(images) // 1000)].reshape(-1, 3)
    return sample.mean(axis=0, dtype=np.float64).astype(np.float32), sample.std(axis=0).astype(np.float32)


def augment(images, size, generator, zoom=1.0, colour=0.0):
    """A random crop of each image, flipped half of the time. (N, S, S, 3) -> (N, size, size, 3)

    With `zoom` or `colour` as in `distort`, else of `size` pixels as they are.
    """
    count, margin = len(images), images.shape[1] - size
    if zoom < 1 or colour:
        crops = distort(images, size, generator, zoom, colour)
    else:
        corners = sliding_window_view(images, (size, size), axis=(1, 2))  # (N, ·, ·, 3, size, size)
        top, left = generator.integers(0, margin + 1, (2, count))
        crops = corners[np.arange(count), top, left].transpose(0, 2, 3, 1)
    flip = generator.random(count) < 0.5
    return np.where(flip[:, None, None, None], crops[:, :, ::-1], crops)


def distort(images, size, generator, zoom, colour):
    """Crops whose height and width are random shares, `zoom` to 1, of the image's, resized; of each the contrast is
    changed by a random factor 1 ± `colour` and every channel's brightness by up to ± `colour` of half the range.
    (N, S, S, 3) uint8 -> (N, size, size, 3) uint8"""
    count, whole = images.shape[:2]
    sides = whole * generator.uniform(zoom, 1, (count, 2))
    first = (whole - sides) * generator.random((count, 2))
    boxes = np.concatenate([first, first + sides], axis=1).clip(0, whole)
    contrast = 1 + colour * generator.uniform(-1, 1, (count, 1, 1))
    brightness = 128 * (1 + colour * generator.uniform(-1, 1, (count, 3, 1)))
    shades = (contrast * (np.arange(256) - 128) + brightness).clip(0, 255).astype(np.uint8).reshape(count, -1)
    crops = np.empty((count, size, size, 3), np.uint8)
    for image, box, table, crop in zip(images, boxes, shades, crops, strict=True):
        resized = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, tuple(box))
        crop[:] = resized.point(table.tolist())
    return crops


def views(images, size, count=1):
    """What a trained network looks at: of each image the middle, or with a `count` of 10 also the corners, and all five
    mirrored (AlexNet's paper, section 4.1). (N, S, S, 3) -> `count` times (N, size, size, 3)"""
    last = images.shape[1] - size
    corners = [(0, 0), (0, last), (last, 0), (last, last)] if count == 10 else []
    for top, left in [(last // 2, last // 2), *corners]:
        crop = images[:, top : top + size, left : left + size]
        yield from (crop, crop[:, :, ::-1]) if count == 10 else (crop,)


def batches(split, size, batch_size, seed, epoch=0, augmented=True, start=0, **distortion):
    """One epoch in random order: (images, labels) with images (batch_size, size, size, 3) uint8, augmented with
    `distortion`.

    The order depends on the seed and the epoch, crops and flips on the batch's index besides: from `start` on the
    batches are the same as without it. The last, incomplete batch is left out: all steps are of one size, and compiled
    once.
    """
    order = np.random.default_rng((seed, epoch)).permutation(len(split))
    for index in range(start, len(order) // batch_size):
        chosen = order[index * batch_size : (index + 1) * batch_size]
        images = split.images[chosen]
        if augmented:
            images = augment(images, size, np.random.default_rng((seed, epoch, index)), **distortion)
        else:
            (images,) = views(images, size)
        yield images, split.labels[chosen]
