"""The datasets as arrays, uint8 in memory: `load_dataset` prepares one if needed, draws its splits, and returns it.

In reading order: `archives` and `layouts` (what lies in a folder), `photographs` (one picture made ready), `rendered`
(cars that are drawn), `prepare` (all pictures, made ready once), `mnist`, `batches` (what training sees).
"""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from study.config import FORMS, check, check_choice
from study.data import mnist
from study.data.batches import augment, batches, distort, normalisation, stored_size, views
from study.data.layouts import group_classes, official_classes

SHARES = {"validation": 0.1, "test": 0.15}  # of all examples, where they are drawn


@dataclass(frozen=True)
class Split:
    """N examples."""

    images: np.ndarray  # (N, S, S, C) uint8
    labels: np.ndarray  # (N,) int64
    files: np.ndarray = ()  # (N,) str, where each came from
    sides: np.ndarray | None = None  # (N, 2) int32, width and height in pixels before it was resized

    def __len__(self):
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Three splits and what is known of them."""

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


def load_dataset(name, data_dir=None, label="body", image_size=67, split_seed=-1):
    """Load a dataset, preparing it first if that was not done before (under data/prepared/).

    Args:
        name: "rendered_cars", drawn by this project, "stanford_cars", or "mnist".
        data_dir: the folder with the photographs of stanford_cars or the files of mnist, or an `.npz` from `save`.
        label: of stanford_cars "body" (8 classes), "make" (49) or "model" (196).
        image_size: of the network, in pixels; the images of cars are an eighth larger, the margin for random crops.
        split_seed: -1 keeps the test images that the source names, and sets aside a tenth of each class for validation
            (of mnist: looks at its test images, as AdaSmooth's paper does); from 0 on all three splits are drawn anew.

    Returns:
        A Dataset. The same files and `split_seed` give the same splits on every machine.

    Raises:
        ConfigError: an unknown name or label, or a folder that is missing or holds no photographs.
    """
    check_choice("dataset", name, FORMS)
    check_choice("label", label, sorted({each for form in FORMS.values() for each in form["label"]}))
    arrays, about = load_examples(name, data_dir, image_size)
    labels, given = arrays["labels"], arrays.pop("given")
    if name == "stanford_cars" and label != "model":
        about["class_names"], mapping = group_classes(about["class_names"], label)
        arrays["labels"] = mapping[labels]
    published = name == "mnist" and split_seed < 0  # whose test images are its validation images too
    where, place = given if published else draw_splits(labels, given, split_seed), arrays.pop("place", None)
    order = np.arange(len(labels)) if place is None or split_seed >= 0 else np.argsort(place)
    parts = "train", "test" if published else "validation", "test"
    chosen = [order[where[order] == part] for part in parts]
    train, validation, test = (Split(**{key: each[part] for key, each in arrays.items()}) for part in chosen)
    return Dataset(name, label, image_size, train=train, validation=validation, test=test, **about)


def load_examples(name, data_dir, image_size):
    """All examples of a dataset, before they are split, in a fixed order: (arrays, about). The arrays are the fields of
    a `Split`, the labels the finest ones, `given`, (N,) str, which split the source says each is of, and of cars
    `place`, (N,) int, where each stands in the published splits; `about` has what else of a `Dataset` is known."""
    if data_dir and Path(data_dir).suffix == ".npz":
        return _load_npz(data_dir, name, image_size)
    if name == "mnist":
        return mnist.load(data_dir)
    photographs = "data_dir, the folder with the photographs (see data/README.md)"
    check(data_dir or name != "stanford_cars", f"stanford_cars needs {photographs}")
    from study.data.prepare import prepare  # here: a bare machine trains from an .npz without TensorFlow Datasets

    return prepare(name, data_dir, stored_size(image_size))


def draw_splits(labels, given, split_seed=-1):
    """Which split each example is of, stratified by class. (N,) int, (N,) str -> (N,) str

    With a `split_seed` of -1 what is given stays, and what is missing is taken from the training examples: a tenth of
    each class, rounded. From 0 on all is drawn, `SHARES` of all examples by largest remainders. A ConfigError if
    nothing would be left for a split; three examples of a class are enough."""
    where = np.array(given, "<U10") if split_seed < 0 else np.full(len(labels), "train", "<U10")
    seed, train, wanted = max(split_seed, 0), where == "train", [split for split in SHARES if split not in where]
    classes, sizes = np.unique(labels[train], return_counts=True)
    counts = [np.round(0.1 * sizes).astype(int) for _ in wanted]
    if split_seed >= 0 or not np.any(counts):
        generator = np.random.default_rng((seed, len(labels)))
        counts = [largest_remainders(sizes, SHARES[split], generator) for split in wanted]
    for index, label in enumerate(classes):
        members = np.random.default_rng((seed, label)).permutation(np.flatnonzero(train & (labels == label)))
        for split, count in zip(wanted, counts, strict=True):
            part, members = np.split(members, [count[index]])
            where[part] = split
    bare = ", ".join(split for split in ("train", *SHARES) if split not in where)
    check(not bare, f"too few photographs ({len(labels)}): none would be left for {bare} (three of a class are enough)")
    return where


def largest_remainders(sizes, share, generator):
    """How many examples of each class to take, so that they are `share` of all: the whole part of `share` of each
    class, then one more of those that lack most; of equals by lot, of classes of less than three none. -> (C,) int"""
    quotas = share * sizes
    counts = quotas.astype(int)
    order = np.lexsort((generator.random(len(sizes)), counts - quotas))
    order = order[sizes[order] >= 3]
    counts[order[: max(1, round(share * sizes.sum())) - counts.sum()]] += 1
    return counts


def save(path, name, data_dir=None, image_size=67):
    """Write a dataset into one `.npz`, for a machine without TFDS."""
    arrays, about = load_examples(name, data_dir, image_size)
    partial = Path(path).with_suffix(".partial.npz")
    np.savez_compressed(partial, about=json.dumps((name, image_size, about)), **arrays)
    partial.replace(path)


def _load_npz(path, name, image_size):
    check(Path(path).is_file(), f"data_dir {str(path)!r} does not exist")
    check(zipfile.is_zipfile(path), f"{str(path)!r} is no .npz file, or is cut short")
    with np.load(path, allow_pickle=False) as stored:
        ours = "given" in stored
        check(ours, f"{str(path)!r} was not written by this version of study.data.save; write it again")
        arrays = dict(stored)
    held, size, about = json.loads(str(arrays.pop("about")))
    same = (held, size) == (name, image_size)
    check(same, f"{path} holds {held} for {size} px, not {name} for {image_size} px")
    return arrays, about
