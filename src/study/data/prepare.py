"""Pictures made ready once: `prepare` writes all examples of a dataset as array_record files, through a TFDS builder,
and reads them again; TensorFlow is never imported."""

import contextlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image

from study.config import ConfigError, digest, project_path
from study.data import layouts, photographs, rendered
from study.data.archives import plain
from study.progress import bar

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
        return enumerate(self.examples)


def prepare(name, source, size):
    """All examples of rendered_cars, or of the photographs in `source`, prepared first if need be; as
    `study.data.load_examples` returns them. A ConfigError if none can be read there, or the disk is full."""
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
        made_of = listing, found.class_names, Path(photographs.__file__).read_text(), *sorted(found.outcomes.items())
        count, examples = len(pictures), photographs.examples(pictures, size, about)
    about |= {"digest": digest(*made_of), "refused": []}
    builder = Pictures(name, size, about, bar(examples, total=count, unit="image"))
    if not builder.data_path.exists():
        left_out = "".join(f"; left out: {many:,} {what}" for what, many in about["outcomes"].items())
        print(f"preparing {name} (once): {about['source']}; {len(about['class_names'])} classes{left_out}", flush=True)
        _write(builder)
    records = builder.as_data_source("pictures", decoders={"image": tfds.decode.SkipDecoding()})
    examples = records.__getitems__(range(len(records)))  # together, for one by one takes six times as long
    with ThreadPoolExecutor() as threads:
        images = threads.map(lambda each: np.asarray(Image.open(io.BytesIO(each["image"])).convert("RGB")), examples)
        images = np.fromiter(images, np.dtype((np.uint8, (size, size, 3))), len(examples))
    keys = "label", "file", "sides", "given"
    labels, files, sides, given = (np.array([each[key] for each in examples]) for key in keys)
    arrays = {"images": images, "labels": labels, "sides": sides}
    return arrays | {"files": np.char.decode(files), "given": np.char.decode(given)}, dict(builder.info.metadata)


def drawn(size):
    """The examples of rendered_cars; every split has a seed of its own."""
    for seed, (split, count) in enumerate(RENDERED_COUNTS.items()):
        for index, (image, label) in enumerate(rendered.render_dataset(count, size, seed)):
            image, file = Image.fromarray(image), f"{seed}/{index}"
            yield {"image": image, "label": label, "file": file, "sides": (size, size), "given": split}


def _write(builder):
    """Write the array_record files; TFDS renames them into place when they are complete."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS's own messages speak of downloads
            builder.download_and_prepare(file_format="array_record")
    except OSError as error:
        if not builder.data_path.exists():  # else of two processes that prepare, the other was first
            raise ConfigError(f"cannot write the prepared images in {builder.data_dir!r}: {plain(error)}") from None
        builder.info.read_from_directory(builder.data_path)
    for line in builder.about["refused"][:10]:  # the data notebook counts all
        print(f"refused {line}", flush=True)
