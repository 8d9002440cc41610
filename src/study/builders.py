"""TFDS builders of our datasets, written in array_record form, so that TensorFlow is never imported.

An example of the cars is {"image": the stored PNG or JPEG, "label": index of the class, "file": where it came from,
"sides": width and height before it was resized}. Images are stored S × S, S the network's size plus a margin for random
crops.
"""

import contextlib
import errno
import functools
import hashlib
import inspect
import io
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image

from study import layouts, photographs, rendered_cars
from study.config import ConfigError, digest
from study.progress import progress_bar

logging.set_verbosity(logging.ERROR)  # TFDS warns that our configurations are our own
tfds.disable_progress_bar()

RENDERED_COUNTS = {"train": 4800, "validation": 400, "test": 800}
VALIDATION = 0.1  # the part of each training class that is set aside


class RenderedCars(tfds.core.GeneratorBasedBuilder):
    """Cars of 8 body styles, drawn by `study.rendered_cars`; every split has seeds of its own."""

    VERSION = tfds.core.Version("2.0.0")

    def __init__(self, size, data_dir):
        self.size = size
        self.digest = digest(inspect.getsource(rendered_cars), RENDERED_COUNTS)
        self.layout = "drawn by study.rendered_cars"
        self.splits = {split: range(count) for split, count in RENDERED_COUNTS.items()}
        super().__init__(data_dir=data_dir, config=_config(self), file_format="array_record")

    def _info(self):
        return _info(self, self.size, "png", rendered_cars.BODY_STYLES)

    def _split_generators(self, dl_manager):
        return {
            split: self._generate_examples(seed, count) for seed, (split, count) in enumerate(RENDERED_COUNTS.items())
        }

    def _generate_examples(self, seed, count):
        for index, (image, label) in enumerate(rendered_cars.render_dataset(count, self.size, seed)):
            self.progress.update()
            yield index, {"image": _png(image), "label": label, "file": f"{seed}/{index}", "sides": image.shape[:2]}


class StanfordCars(tfds.core.GeneratorBasedBuilder):
    """Photographs in any layout of `study.layouts`, each cropped to its box if there is one.

    Of every class a seeded, stratified part of the training photographs is set aside for validation; without labelled
    test photographs another part for test. What became of every photograph is counted in the metadata.
    """

    VERSION = tfds.core.Version("2.0.0")

    def __init__(self, source, size, data_dir):
        self.size, self.collection = size, layouts.find(source)
        self.layout, self.class_names = self.collection.layout, self.collection.class_names
        self.splits = divide(self.collection)
        listing = [(p.name, p.size, p.box, p.label, split) for split, them in self.splits.items() for p in them]
        self.digest = digest(listing, self.class_names, inspect.getsource(photographs))
        self.outcomes, self.refused, self.seen = Counter(self.collection.outcomes), [], {}
        super().__init__(data_dir=data_dir, config=_config(self), file_format="array_record")

    def _info(self):
        return _info(self, self.size, "jpeg", self.class_names)

    def _split_generators(self, dl_manager):
        # Test first: of a photograph that is in two splits, the copy that stays is the one that training never sees.
        return {split: self._generate_examples(split) for split in ("test", "validation", "train")}

    def _generate_examples(self, split):
        with ThreadPoolExecutor() as pool:  # Pillow decodes and resizes outside the interpreter lock
            for photograph, result in zip(self.splits[split], pool.map(self._make, self.splits[split]), strict=True):
                image, outcomes, sides, content = result
                name = photograph.name.encode("utf-8", "backslashreplace").decode()
                if image is not None:
                    first, boxes = self.seen.setdefault(content, (split, set()))
                    if first != split or photograph.box in boxes:  # two cars of one picture may be in one split
                        image, outcomes = None, [f"refused: the same photograph is in {first}"]
                    boxes.add(photograph.box)
                self.outcomes.update(outcomes)
                self.progress.update()
                if image is None:
                    self.refused.append(f"{name}: {outcomes[0].removeprefix('refused: ')}")
                else:
                    yield name, {"image": image, "label": photograph.label, "file": name, "sides": sides}
        self.info.metadata.update(outcomes=dict(self.outcomes), refused=self.refused)

    def _make(self, photograph):
        try:
            data = photograph.read()
        except OSError as error:
            return None, [f"refused: {error.strerror or 'cannot be read'}"], (0, 0), None
        result = photographs.shrink(data, self.size, photograph.box, photograph.fractions)
        return *result, hashlib.sha256(data).digest()


class Mnist(tfds.core.GeneratorBasedBuilder):
    """MNIST from its four files, in their order; the examples are as in TFDS's own `mnist`.

    Args:
        contents: the files' bytes, for the digest.
        read: () -> `study.mnist.Digits`; called once, to prepare.
    """

    VERSION = tfds.core.Version("1.0.0")
    layout, size = "MNIST, from IDX files", 28

    def __init__(self, contents, read, data_dir):
        self.read, self.digest = read, digest(*(hashlib.sha256(each).digest() for each in contents))
        super().__init__(data_dir=data_dir, config=_config(self), file_format="array_record")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        features = tfds.features.FeaturesDict(features)
        metadata = tfds.core.MetadataDict()
        return tfds.core.DatasetInfo(builder=self, features=features, metadata=metadata, disable_shuffling=True)

    @functools.cached_property
    def splits(self):
        digits = self.read()
        return {
            split: list(zip(getattr(digits, f"{split}_images"), getattr(digits, f"{split}_labels"), strict=True))
            for split in ("train", "test")
        }

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(examples) for split, examples in self.splits.items()}

    def _generate_examples(self, examples):
        for index, (image, label) in enumerate(examples):
            self.progress.update()
            yield index, {"image": _png(image), "label": label}


def divide(collection):
    """{split: photographs}, for a collection in which some are "train" and perhaps some "test".

    The same files give the same split on every machine.

    Raises:
        ConfigError: nothing would be left for a split.
    """
    tested = any(each.split == "test" for each in collection.photographs)
    splits = {"train": [], "validation": [], "test": [each for each in collection.photographs if each.split == "test"]}
    by_class = {}
    for each in sorted(collection.photographs, key=lambda each: each.name):
        if each.split == "train":
            by_class.setdefault(each.label, []).append(each)
    for label, members in sorted(by_class.items()):
        part = round(len(members) * VALIDATION)
        for rank, index in enumerate(np.random.default_rng((0, label)).permutation(len(members))):
            split = "validation" if rank < part else "test" if not tested and rank < 2 * part else "train"
            splits[split].append(members[index])
    if empty := [split for split, members in splits.items() if not members]:
        raise ConfigError(
            f"too few photographs ({len(collection.photographs)}, {collection.layout}): none would be left for "
            f"{', '.join(empty)} (a tenth of each class, rounded, goes to validation: at least 5 in some class)"
        )
    return splits


def prepare(builder):
    """Write the array_record files unless they are there; TFDS renames them into place when they are complete.

    Raises:
        ConfigError: a split came out empty, or the disk is full.
    """
    if builder.data_path.exists():
        return
    for leftover in builder.data_path.parent.glob("incomplete.*"):  # of a preparation that was killed
        if time.time() - leftover.stat().mtime > 3600:  # else perhaps of one that runs beside
            shutil.rmtree(leftover)
    counts = ", ".join(f"{len(members):,} {split}" for split, members in builder.splits.items())
    print(
        f"{builder.name}: {builder.layout}; {counts}; {len(builder.info.features['label'].names)} classes", flush=True
    )
    print(f"preparing {builder.name} at {builder.size} px (once) ...", flush=True)
    builder.progress = progress_bar(sum(map(len, builder.splits.values())), unit="image")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS's own messages speak of downloads
            builder.download_and_prepare(file_format="array_record")
    except AssertionError as error:  # how TFDS says that a split came out empty
        raise ConfigError(f"{builder.name}: not one readable image for some split ({error})") from None
    except OSError as error:
        if builder.data_path.exists():  # of two processes that prepare, the other was first
            builder.info.read_from_directory(builder.data_path)
            return
        if error.errno != errno.ENOSPC:
            raise
        raise ConfigError(f"no space left for the prepared images in {builder.data_path.parent}") from None
    finally:
        builder.progress.close()
    refused = builder.info.metadata.get("refused", [])
    for line in refused[:10]:
        print(f"refused {line}", flush=True)
    if len(refused) > 10:
        print(f"refused {len(refused) - 10} more; the data notebook counts them", flush=True)


def read(builder, split):
    """All examples of a split, their images still compressed; together, for one by one takes six times as long."""
    records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    return records.__getitems__(range(len(records)))


def _png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _config(builder):
    """Prepared data is kept under a name made of what went in: a changed folder is prepared anew."""
    return tfds.core.BuilderConfig(name=f"{builder.size}px-{builder.digest}")


def _info(builder, size, encoding, class_names):
    features = {
        "image": tfds.features.Image(shape=(size, size, 3), encoding_format=encoding),
        "label": tfds.features.ClassLabel(names=list(class_names)),
        "file": tfds.features.Text(),
        "sides": tfds.features.Tensor(shape=(2,), dtype=np.int32),
    }
    features = tfds.features.FeaturesDict(features)
    return tfds.core.DatasetInfo(builder=builder, features=features, metadata=tfds.core.MetadataDict())
