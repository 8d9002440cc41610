"""The datasets as arrays, uint8 in memory: `load_dataset` prepares one if needed, draws its splits, and returns it.

In reading order: `archives` and `layouts` (what lies in a folder), `photographs` (one picture made ready), `rendered`
(cars that are drawn), `prepare` (all pictures, made ready once), `mnist`, `batches` (what training sees)."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from study.config import FORMS, check, check_choice, whole
from study.data import mnist
from study.data.archives import reading
from study.data.batches import augment, batches, distort, normalisation, stored_size, views
from study.data.layouts import group_classes

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
    """A Dataset, prepared first if need be (under data/prepared/). The same files and `split_seed` give the same splits
    on every machine. A ConfigError for an unknown name or label, or a folder that is missing or holds no photographs.

    Args:
        name: "rendered_cars", drawn by this project, "stanford_cars", or "mnist".
        data_dir: the folder with the photographs of stanford_cars or the files of mnist, or an `.npz` from `save`.
        label: of stanford_cars "body" (8 classes), "make" (49) or "model" (196).
        image_size: of the network, in pixels; the images of cars are an eighth larger, the margin for random crops.
        split_seed: -1 keeps the test images that the source names, and sets aside a tenth of each class for validation
            (of mnist: looks at its test images, as AdaSmooth's paper does); from 0 on all three splits are drawn anew.
    """
    check_choice("dataset", name, FORMS)
    check_choice(f"label of {name}", label, (label,) if name == "mnist" else FORMS[name]["label"])
    arrays, about = load_examples(name, data_dir, image_size)
    labels = arrays["labels"]
    if name == "stanford_cars" and label != "model":
        about["class_names"], mapping = group_classes(about["class_names"], label)
        if strays := int((mapping[labels] < 0).sum()):
            about["outcomes"]["of classes that are none of Stanford Cars"] = strays
            arrays = {key: each[mapping[labels] >= 0] for key, each in arrays.items()}
        labels, arrays["labels"] = arrays["labels"], mapping[arrays["labels"]]
    given, order = arrays.pop("given"), np.arange(len(labels))
    paper = name == "mnist" and split_seed < 0  # its test images are the validation images too
    where = given if paper else draw_splits(labels, given, split_seed)
    if name != "mnist" and split_seed < 0:  # as TFDS shuffled the published splits: the batches of a seed rest on it
        order = np.argsort([hashlib.md5(key.encode()).hexdigest() for key in np.char.add(where, arrays["files"])])
    parts = [order[where[order] == part] for part in ("train", "test" if paper else "validation", "test")]
    train, validation, test = (Split(**{key: each[part] for key, each in arrays.items()}) for part in parts)
    return Dataset(name, label, image_size, train=train, validation=validation, test=test, **about)


def load_examples(name, data_dir, image_size):
    """All examples of a dataset, in a fixed order: (arrays, about). The arrays are the fields of a `Split`, the labels
    the finest ones, and `given`, (N,) str, which split the source says each is of; `about` has what else is known."""
    if data_dir and Path(data_dir).suffix == ".npz":
        path = repr(str(data_dir))
        check(Path(data_dir).is_file(), f"data_dir {path} does not exist")
        with reading(f"{path} is no .npz file, or is cut short"), np.load(data_dir, allow_pickle=False) as stored:
            ours = {"given", "about"} <= set(stored) and "place" not in stored
            check(ours, f"{path} was not written by this version of study.data.save; write it again")
            arrays = dict(stored)
            held, size, about = json.loads(str(arrays.pop("about")))
        same = (held, size) == (name, image_size)
        check(same, f"{path} holds {held} for {size} px, not {name} for {image_size} px")
        return arrays, about
    if name == "mnist":
        return mnist.load(data_dir)
    check(data_dir or name != "stanford_cars", "stanford_cars needs data_dir, the folder with its photographs")
    from study.data.prepare import prepare  # here: a bare machine trains from an .npz without TensorFlow Datasets

    return prepare(name, data_dir, stored_size(image_size))


def draw_splits(labels, given, split_seed=-1):
    """Which split each example is of, stratified by class. (N,) int, (N,) str -> (N,) str. With a `split_seed` of -1
    what is given stays, and what is missing is a tenth of each class of those for training, rounded; from 0 on all is
    drawn, `SHARES` by largest remainders. A ConfigError if nothing would be left for a split."""
    where = np.array(given, "<U10") if split_seed < 0 else np.full(len(labels), "train", "<U10")
    seed, train, wanted = max(split_seed, 0), where == "train", [split for split in SHARES if split not in where]
    classes, sizes = np.unique(labels[train], return_counts=True)
    counts = [np.round(0.1 * sizes).astype(int) for _ in wanted]
    if split_seed >= 0 or not np.any(counts):
        generator = np.random.default_rng((seed, len(labels)))
        counts = [largest_remainders(sizes, SHARES[split], generator) for split in wanted]
    for label, *taken in zip(classes, *counts, strict=True):
        members = np.random.default_rng((seed, label)).permutation(np.flatnonzero(train & (labels == label)))
        for split, part in zip((*wanted, "train"), np.split(members, np.cumsum(taken, dtype=int)), strict=True):
            where[part] = split
    bare = ", ".join(split for split in ("train", *SHARES) if split not in where)
    check(not bare, f"too few photographs ({len(labels)}): none would be left for {bare} (three of a class are enough)")
    return where


def largest_remainders(sizes, share, generator):
    """How many of each class make up `share` of all: that share of each class, rounded down, and one more of those that
    lack most, of equals by lot; of classes of less than three none. (C,) int -> (C,) int"""
    quotas = share * sizes
    counts = quotas.astype(int)
    order = np.lexsort((generator.random(len(sizes)), counts - quotas))
    order = order[sizes[order] >= 3]
    counts[order[: max(1, round(share * sizes.sum())) - counts.sum()]] += 1
    return counts


def save(path, name, data_dir=None, image_size=67):
    """Write a dataset into one `.npz`, for a machine without TFDS."""
    arrays, about = load_examples(name, data_dir, image_size)
    with whole(path) as partial:
        np.savez_compressed(partial, about=json.dumps((name, image_size, about)), **arrays)
