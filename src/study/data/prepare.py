"""Pictures made ready once: `prepare` writes all examples of a dataset as array_record files, through a TFDS builder,
and reads them again; TensorFlow is never imported."""

import contextlib
import errno
import io
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image
from tensorflow_datasets.core.hashing import Hasher
from tqdm import tqdm

from study.config import ConfigError, digest, project_path
from study.data import draw_splits, layouts, photographs, rendered

logging.set_verbosity(logging.ERROR)  # TFDS warns that our configurations are our own
tfds.disable_progress_bar()

RENDERED_COUNTS = {"train": 4800, "validation": 400, "test": 800}


class Pictures(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Pictures of `size` × `size` pixels, from a generator, in its order; kept with `about` as it is at the end."""

    VERSION = tfds.core.Version("3.0.0")

    def __init__(self, name, size, about, examples):
        self.name, self.size, self.about, self.examples = name, size, about, examples
        # Prepared data is kept under a name made of what went in: a changed folder is prepared anew.
        config = tfds.core.BuilderConfig(name=f"{size}px-{about['digest']}")
        super().__init__(data_dir=project_path("data/prepared"), config=config, file_format="array_record")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(self.size, self.size, 3)),  # as PNG or JPEG
            "label": tfds.features.ClassLabel(names=self.about["class_names"]),
            "file": tfds.features.Text(),  # where it came from
            "sides": tfds.features.Tensor(shape=(2,), dtype=np.int32),  # width and height before it was resized
            "given": tfds.features.Text(),  # which split its source says it is of
        }
        features, metadata = tfds.features.FeaturesDict(features), tfds.core.MetadataDict(self.about)
        return tfds.core.DatasetInfo(builder=self, features=features, metadata=metadata, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"pictures": self._generate_examples()}

    def _generate_examples(self):
        yield from enumerate(self.examples)


def prepare(name, source, size):
    """All examples of rendered_cars, or of the photographs in the folder `source`, prepared first if need be; as
    `study.data.load_examples` returns them. A ConfigError if the folder is none of the known layouts or has no readable
    image, or the disk is full."""
    if name == "rendered_cars":
        about = {"class_names": list(rendered.BODY_STYLES), "source": "drawn by study.data.rendered", "outcomes": {}}
        code = Path(rendered.__file__)
        made_of = RENDERED_COUNTS, code.read_text(), code.with_name("rendered_styles.csv").read_text()
        count, examples = sum(RENDERED_COUNTS.values()), drawn(size)
    else:
        found = layouts.find(source)
        about = {"class_names": found.class_names, "source": found.layout, "outcomes": found.outcomes}
        # Test first: of a photograph that is there twice, the copy that stays is the one that training never sees.
        pictures = sorted(found.photographs, key=lambda each: (each.split != "test", each.name))
        listing = [(each.name, each.size, each.box, each.label, each.split) for each in pictures]
        made_of = listing, found.class_names, Path(photographs.__file__).read_text()
        count, examples = len(pictures), photographs.examples(pictures, size, about)
    about |= {"digest": digest(*made_of), "refused": []}
    builder = Pictures(name, size, about, tqdm(examples, total=count, unit="image", disable=None))
    if not builder.data_path.exists():
        print(f"{name}: {about['source']}; {count:,} images; {len(about['class_names'])} classes", flush=True)
        _write(builder)
    records = builder.as_data_source("pictures", decoders={"image": tfds.decode.SkipDecoding()})
    examples = records.__getitems__(range(len(records)))  # together, for one by one takes six times as long
    with ThreadPoolExecutor() as threads:
        images = threads.map(lambda each: np.asarray(Image.open(io.BytesIO(each["image"])).convert("RGB")), examples)
        images = np.fromiter(images, np.dtype((np.uint8, (size, size, 3))), len(examples))
    keys = {"labels": "label", "files": "file", "sides": "sides", "given": "given"}
    arrays = {"images": images} | {name: np.array([each[key] for each in examples]) for name, key in keys.items()}
    arrays |= {name: np.char.decode(arrays[name]) for name in ("files", "given")}
    # TFDS shuffled the published splits by this hash: the batches that a seed gives rest on their order.
    with contextlib.suppress(ConfigError):  # where they are too few for these, all can still be drawn anew
        where = zip(draw_splits(arrays["labels"], arrays["given"]).tolist(), arrays["files"].tolist(), strict=True)
        hashes = [Hasher(split).hash_key(file) for split, file in where]
        arrays["place"] = np.argsort(np.argsort(np.array(hashes, object)))
    return arrays, dict(builder.info.metadata)


def drawn(size):
    """The examples of rendered_cars; every split has a seed of its own."""
    for seed, (split, count) in enumerate(RENDERED_COUNTS.items()):
        for index, (image, label) in enumerate(rendered.render_dataset(count, size, seed)):
            image, file = Image.fromarray(image), f"{seed}/{index}"
            yield {"image": image, "label": label, "file": file, "sides": (size, size), "given": split}


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
        if error.errno == errno.ENOSPC:
            raise ConfigError(f"no space left for the prepared images in {builder.data_path.parent}") from None
        if not builder.data_path.exists():  # of two processes that prepare, the other was first
            raise
        builder.info.read_from_directory(builder.data_path)
    refused = builder.about["refused"]
    more = [f"{len(refused) - 10} more; the data notebook counts them"] if len(refused) > 10 else []
    for line in [*refused[:10], *more]:
        print(f"refused {line}", flush=True)
