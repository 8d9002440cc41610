"""What a layout is made of: a folder's files, a photograph before it is opened, and the photographs that were found."""

import csv
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from study.config import ConfigError

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Photograph:
    """One photograph and what is known of it before it is opened."""

    name: str  # where it lies, below the collection's folder
    label: int  # index among the class names
    split: str  # "train" or "test"
    read: Callable[[], bytes] = field(compare=False)
    box: tuple | None = None  # left, top, right, bottom of the car: pixels, or fractions of the sides
    fractions: bool = False
    size: int = 0  # bytes, where known without reading it: a changed file is another collection


@dataclass(frozen=True)
class Collection:
    """The photographs of one folder."""

    layout: str  # in words
    class_names: list
    photographs: list
    outcomes: Counter  # {what: how many} of what was left out already


class Folder:
    """What lies in a folder and below: its files by their path, links that lead out and unreadable folders apart."""

    def __init__(self, root):
        self.root, self.files, self.outcomes = Path(root).resolve(), {}, Counter()
        self.add(self.root)

    def add(self, root):
        """Add what lies in another folder, as if it lay in this one."""
        root = Path(root).resolve()
        for here, folders, names in os.walk(root, onerror=self._unreadable):
            folders[:] = sorted(each for each in folders if not each.startswith((".", "__MACOSX", "incomplete.")))
            for folder in folders:
                if Path(here, folder).is_symlink():
                    self.outcomes["links to folders, not followed"] += 1
            for name in sorted(each for each in names if not each.startswith(".")):
                path = Path(here, name)
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    self.outcomes["links that lead out of the folder"] += 1
                elif path.is_file():
                    self.files[path.relative_to(root).as_posix()] = path

    def _unreadable(self, error):
        if Path(error.filename) == self.root:
            raise ConfigError(f"cannot read {error.filename!r}: {error.strerror}")
        self.outcomes["unreadable folders"] += 1

    def named(self, *names):
        """The file of the first of these names that is there, the least nested one, or None."""
        found = [(names.index(p.name), name.count("/"), p) for name, p in self.files.items() if p.name in names]
        return min(found)[2] if found else None

    def images(self, folder):
        """{file name: (name, path)} of the pictures that lie in a folder of that name."""
        found = [(name, path) for name, path in self.files.items() if path.parent.name == folder and is_image(path)]
        return {path.name: (name, path) for name, path in found}


def is_image(path):
    return path.suffix.lower() in SUFFIXES


def checked_class(label, class_names, where):
    if not 0 <= label < len(class_names):
        raise ConfigError(f"{where}: class {label} is none of the {len(class_names)} classes")
    return label


def official_classes():
    """The 196 classes in their official order: {name: {"make": ..., "body_style": ...}}."""
    with open(Path(__file__).with_name("stanford_cars_classes.csv"), newline="") as file:
        return {row["class_name"]: row for row in csv.DictReader(file)}
