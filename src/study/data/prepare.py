"""Pictures made ready once: `prepare` writes all examples of a dataset as array_record files, through a TFDS builder, and
reads them again; TensorFlow is never imported.

An example is {"image": the stored PNG or JPEG, "label": index of the class, "file": where it came from, "sides": width
and height before it was resized, "given": which split its source says it is of}.
"""

import contextlib
import errno
import inspect
import io
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image
from tqdm import tqdm

from study.config import ConfigError, digest, project_path
from study.data import layouts, photographs, rendered

logging.set_verbosity(logging.ERROR)  # TFDS warns that our configurations are our own
tfds.disable_progress_bar()

RENDERED_COUNTS = {"train": 4800, "validation": 400, "test": 800}


def prepare(name, source, size):
    """All examples of rendered_cars, or of the photographs in the folder `source`, prepared first if need be.

    Returns:
        As `study.data.load_examples`.

    Raises:
        ConfigError: the folder is none of the known layouts, has no readable image, or the disk is full.
    """
    about = {"outcomes": Counter(), "refused": []}
    if name == "rendered_cars":
        made_of = [inspect.getsource(rendered), Path(rendered.__file__).with_name("rendered_styles.csv").read_text()]
        about |= {"class_names": list(rendered.BODY_STYLES), "source": "drawn by study.data.rendered"}
        about["digest"] = digest(*made_of, RENDERED_COUNTS)
        count, examples = sum(RENDERED_COUNTS.values()), drawn(size)
    else:
        found = layouts.find(source)
        # Test first: of a photograph that is there twice, the copy that stays is the one that training never sees.
        pictures = sorted(found.photographs, key=lambda each: (each.split != "test", each.name))
        listing = [(each.name, each.size, each.box, each.label, each.split) for each in pictures]
        about |= {"class_names": found.class_names, "source": found.layout, "outcomes": +found.outcomes}
        about["digest"] = digest(listing, found.class_names, inspect.getsource(photographs))
        count, examples = len(pictures), photographs.examples(pictures, size, about["outcomes"], about["refused"])
    builder = Pictures(name, size, about, tqdm(examples, total=count, unit="image", disable=None))
    if not builder.data_path.exists():
        print(f"{name}: {about['source']}; {count:,} images; {len(about['class_names'])} classes", flush=True)
        _write(builder)
    columns = read(builder, "pictures")
    arrays = {f"{key}s": columns[key] for key in ("image", "label", "file")}
    return arrays | {key: columns[key] for key in ("sides", "given")}, about | builder.info.metadata


def drawn(size):
    """The examples of rendered_cars; every split has a seed of its own."""
    for seed, (split, count) in enumerate(RENDERED_COUNTS.items()):
        for index, (image, label) in enumerate(rendered.render_dataset(count, size, seed)):
            about = {"file": f"{seed}/{index}", "sides": (size, size), "given": split}
            yield {"image": Image.fromarray(image), "label": label} | about


class Pictures(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Pictures of `size` × `size` pixels, in the order in which the generator `examples` yields them."""

    VERSION = tfds.core.Version("3.0.0")

    def __init__(self, name, size, about, examples):
        self.name, self.size, self.about, self.examples = name, size, about, examples
        # Prepared data is kept under a name made of what went in: a changed folder is prepared anew.
        config = tfds.core.BuilderConfig(name=f"{size}px-{about['digest']}")
        super().__init__(data_dir=project_path("data/prepared"), config=config, file_format="array_record")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(self.size, self.size, 3)),
            "label": tfds.features.ClassLabel(names=self.about["class_names"]),
            "file": tfds.features.Text(),
            "sides": tfds.features.Tensor(shape=(2,), dtype=np.int32),
            "given": tfds.features.Text(),
        }
        features, metadata = tfds.features.FeaturesDict(features), tfds.core.MetadataDict()
        return tfds.core.DatasetInfo(builder=self, features=features, metadata=metadata, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"pictures": self._generate_examples()}

    def _generate_examples(self):
        yield from enumerate(self.examples)
        self.info.metadata.update(outcomes=self.about["outcomes"], refused=self.about["refused"])


def _write(builder):
    """Write the array_record files; TFDS renames them into place when they are complete."""
    for leftover in builder.data_path.parent.glob("incomplete.*"):  # of a preparation that was killed
        if time.time() - leftover.stat().mtime > 3600:  # else perhaps of one that runs beside
            shutil.rmtree(leftover)
    print(f"preparing {builder.name} at {builder.size} px (once) ...", flush=True)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS's own messages speak of downloads
            builder.download_and_prepare(file_format="array_record")
    except OSError as error:
        if builder.data_path.exists():  # of two processes that prepare, the other was first
            builder.info.read_from_directory(builder.data_path)
            return
        if error.errno != errno.ENOSPC:
            raise
        raise ConfigError(f"no space left for the prepared images in {builder.data_path.parent}") from None
    refused = builder.about["refused"]
    for line in refused[:10]:
        print(f"refused {line}", flush=True)
    if len(refused) > 10:
        print(f"refused {len(refused) - 10} more; the data notebook counts them", flush=True)


def read(builder, split):
    """All examples of a split, as an array for each feature: images (N, *shape) uint8, text as str."""
    records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    examples = records.__getitems__(range(len(records)))  # together, for one by one takes six times as long
    shape = builder.info.features["image"].shape

    def decode(example):
        image = Image.open(io.BytesIO(example.pop("image")))
        return np.asarray(image.convert("L" if shape[-1] == 1 else "RGB")).reshape(shape)

    with ThreadPoolExecutor() as threads:
        images = np.fromiter(threads.map(decode, examples), np.dtype((np.uint8, shape)), len(examples))
    columns = {key: np.array([each[key] for each in examples]) for key in examples[0]}
    columns = {key: np.char.decode(each) if each.dtype.kind == "S" else each for key, each in columns.items()}
    return {"image": images} | columns
