"""TFDS builders of our datasets, written in array_record form, so that TensorFlow is never imported.

An example is {"image": the stored PNG or JPEG, "label": index of the class, "file": where it came from}. Images are
stored S × S, S the network's size plus a margin for random crops.
"""

import contextlib
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image

from study import rendered_cars
from study.config import ConfigError

logging.set_verbosity(logging.ERROR)  # TFDS warns that our configurations are our own
tfds.disable_progress_bar()

RENDERED_COUNTS = {"train": 4800, "validation": 400, "test": 800}
PHOTOGRAPHS = (".jpg", ".jpeg", ".png")
VALIDATION = 0.1  # the part of each training class that is set aside


class RenderedCars(tfds.core.GeneratorBasedBuilder):
    """Cars of 8 body styles, drawn by `study.rendered_cars`; every split has seeds of its own."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, size, data_dir):
        self.size = size
        self.digest = _digest(Path(rendered_cars.__file__).read_text(), RENDERED_COUNTS)
        self.layout = "drawn by study.rendered_cars"
        super().__init__(data_dir=data_dir, config=_config(self), file_format="array_record")

    def _info(self):
        return _info(self, self.size, "png", rendered_cars.BODY_STYLES)

    def _split_generators(self, dl_manager):
        return {
            split: self._generate_examples(seed, count) for seed, (split, count) in enumerate(RENDERED_COUNTS.items())
        }

    def _generate_examples(self, seed, count):
        for index, (image, label) in enumerate(rendered_cars.render_dataset(count, self.size, seed)):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "png", compress_level=1)
            yield index, {"image": buffer.getvalue(), "label": label, "file": f"{seed}/{index}"}


class StanfordCars(tfds.core.GeneratorBasedBuilder):
    """Photographs in one folder for each class: `{train,test}/<class>/*.jpg`, or `<class>/*.jpg` alone.

    Classes are the folders' names, sorted. Of every class a seeded, stratified part of the training photographs
    is set aside for validation; without a `test` folder another part for test.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, source, size, data_dir):
        self.source, self.size, self.skipped = Path(source), size, []
        self.files, self.class_names, self.layout = find_photographs(source)
        listing = sorted((path.relative_to(source).as_posix(), path.stat().st_size) for path, *_ in self.files)
        self.digest = _digest(listing, VALIDATION)
        super().__init__(data_dir=data_dir, config=_config(self), file_format="array_record")

    def _info(self):
        return _info(self, self.size, "jpeg", self.class_names)

    def _split_generators(self, dl_manager):
        splits = {"train": [], "validation": [], "test": []}
        for path, split, label in self.files:
            splits[split].append((path, label))
        return {split: self._generate_examples(files) for split, files in splits.items()}

    def _generate_examples(self, files):
        with ThreadPoolExecutor() as pool:  # Pillow decodes and resizes outside the interpreter lock
            for (path, label), image in zip(files, pool.map(self._shrink, files), strict=True):
                name = path.relative_to(self.source).as_posix()
                if image is None:
                    self.skipped.append(name)
                else:
                    yield name, {"image": image, "label": label, "file": name}

    def _shrink(self, file):
        try:
            with Image.open(file[0]) as image:
                small = image.convert("RGB").resize((self.size, self.size), Image.Resampling.LANCZOS)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None
        buffer = io.BytesIO()
        small.save(buffer, "jpeg", quality=92)
        return buffer.getvalue()


def prepare(builder):
    """Write the array_record files unless they are there; TFDS renames them into place when they are complete."""
    if builder.data_path.exists():
        return
    print(f"preparing {builder.name} at {builder.size} px (once) ...", flush=True)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS's own messages speak of downloads
            builder.download_and_prepare(file_format="array_record")
    except AssertionError as error:  # how TFDS says that a split came out empty
        raise ConfigError(f"{builder.name}: not one readable image for some split ({error})") from None
    for name in getattr(builder, "skipped", []):
        print(f"skipped {name}: not a readable image", flush=True)


def _digest(*ingredients):
    return hashlib.sha256(repr(ingredients).encode()).hexdigest()[:12]


def _config(builder):
    """Prepared data is kept under a name made of what went in: a changed folder is prepared anew."""
    return tfds.core.BuilderConfig(name=f"{builder.size}px-{builder.digest}")


def _info(builder, size, encoding, class_names):
    features = {
        "image": tfds.features.Image(shape=(size, size, 3), encoding_format=encoding),
        "label": tfds.features.ClassLabel(names=list(class_names)),
        "file": tfds.features.Text(),
    }
    return tfds.core.DatasetInfo(builder=builder, features=tfds.features.FeaturesDict(features))


def find_photographs(source):
    """The photographs below a folder: [(path, split, label)], the class names, and the layout in words.

    Raises:
        ConfigError: the folder does not exist, or no layout that we know is in it.
    """
    source = Path(source)
    if not source.is_dir():
        raise ConfigError(f"data_dir {str(source)!r} is not a directory")
    by_folder = {split: _class_folders(source / split) for split in ("train", "test")}
    if by_folder["train"]:
        layout = (
            "class folders, {train,test}/<class>/*.jpg" if by_folder["test"] else "class folders, train/<class>/*.jpg"
        )
    else:
        by_folder = {"train": _class_folders(source), "test": {}}
        layout = "class folders, <class>/*.jpg"
    class_names = sorted(set(by_folder["train"]) | set(by_folder["test"]))
    if not class_names:
        raise ConfigError(
            f"no photographs found in {str(source)!r}; expected train/<class>/*.jpg and test/<class>/*.jpg, "
            "or <class>/*.jpg"
        )
    files = []
    for label, name in enumerate(class_names):
        paths = by_folder["train"].get(name, [])
        order = np.random.default_rng((0, label)).permutation(len(paths))
        part = round(len(paths) * VALIDATION)
        for rank, index in enumerate(order):
            in_test = not by_folder["test"] and part <= rank < 2 * part
            files.append((paths[index], "validation" if rank < part else "test" if in_test else "train", label))
        files += [(path, "test", label) for path in by_folder["test"].get(name, [])]
    empty = {"train", "validation", "test"} - {split for _, split, _ in files}
    if empty:
        raise ConfigError(
            f"too few photographs in {str(source)!r}: none would be left for {', '.join(sorted(empty))} "
            "(a tenth of each class, rounded, goes to validation: at least 5 in some class)"
        )
    return files, class_names, layout


def _class_folders(folder):
    """{class name: its photographs, sorted}"""
    if not folder.is_dir():
        return {}
    classes = {
        each.name: sorted(path for path in each.iterdir() if path.suffix.lower() in PHOTOGRAPHS)
        for each in folder.iterdir()
        if each.is_dir()
    }
    return {name: paths for name, paths in classes.items() if paths}
