"""MNIST as arrays, from the files that are there; nothing is downloaded."""

import gzip
import hashlib
import json
import math
import os
import zlib
from pathlib import Path

import numpy as np

from study.config import ConfigError, check, digest, project_path

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FOLDERS = ("data/raw/mnist", "../shared/data/mnist")  # where IDX files are looked for
TFDS_FOLDERS = ("data/prepared", os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))


def load(data_dir=""):
    """The IDX files in `data_dir`; without it those in the first of FOLDERS that has any, else a prepared mnist; as
    `study.data.load_examples` returns them, the training digits first. A ConfigError if a file is missing, cut short or
    not what its name says, or counts do not match."""
    folders = [project_path(Path(each).expanduser()) for each in ([data_dir] if data_dir else FOLDERS)]
    if having := [each for each in folders if data_dir or any(_find(each))]:
        source, arrays = "MNIST, from IDX files", _read_folder(having[0])
    else:
        source, arrays = "MNIST, prepared by TFDS", _read_prepared()
    images, labels = np.concatenate(arrays[::2]), np.concatenate(arrays[1::2])
    given = np.repeat(["train", "test"], [len(each) for each in arrays[1::2]])
    content = digest(*(hashlib.sha256(each).hexdigest() for each in (images, labels)))
    arrays = {"images": images.reshape(-1, 28, 28, 1), "labels": labels.astype(np.int64), "given": given}
    arrays["files"] = np.char.add(given, np.char.mod("/%d", np.arange(len(given))))
    return arrays, {"class_names": list("0123456789"), "source": source, "digest": content}


def _find(folder):
    """The path of each of FILES, plain or gzipped, with `-idx` or `.idx` in its name; None where there is none."""
    spellings = [[each + end for each in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")] for name in FILES]
    return [next((folder / each for each in names if (folder / each).is_file()), None) for names in spellings]


def _read_folder(root):
    """The four IDX files in a folder: training images and labels, test images and labels."""
    check(root.is_dir(), f"data_dir {str(root)!r} is not a directory")
    paths = _find(root)
    missing = ", ".join(name for name, path in zip(FILES, paths, strict=True) if path is None)
    check(not missing, f"{str(root)!r} lacks {missing} (plain or with .gz)")
    arrays = [_read_idx(path, shape) for path, shape in zip(paths, ((28, 28), ()) * 2, strict=True)]
    for split, images, labels, path in (("train", *arrays[:2], paths[1]), ("test", *arrays[2:], paths[3])):
        check(len(images) == len(labels), f"{str(root)!r} holds {len(images)} {split} images but {len(labels)} labels")
        check(labels.size and labels.max() <= 9, f"{path.name} must hold labels from 0 to 9, and at least one")
    return arrays


def _read_idx(path, shape):
    """An IDX file of bytes -> (N, *shape) uint8."""
    name, data = repr(str(path)), path.read_bytes()
    try:
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{name} is truncated or damaged: {error}") from None
    magic, start = bytes([0, 0, 8, 1 + len(shape)]), 8 + 4 * len(shape)
    check(data.startswith(magic), f"{name} is not such an IDX file: magic number {data[:4].hex()}, not {magic.hex()}")
    count, *sides = (int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    check(tuple(sides) == shape or len(data) < start, f"{name} holds images of shape {tuple(sides)}, not {shape}")
    expected = start + count * math.prod(shape)
    fault = "truncated" if len(data) < expected else "too long"
    check(len(data) == expected, f"{name} is {fault}: {len(data):,} bytes, not {expected:,}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(count, *shape)


def _read_prepared():
    """The first mnist that TFDS has prepared in array_record form, without TensorFlow; as `_read_folder`."""
    folders, arrays = [project_path(Path(each).expanduser()) for each in TFDS_FOLDERS], []
    infos = [path for each in folders for path in sorted(each.glob("mnist/**/dataset_info.json"), reverse=True)]
    forms = {each.parent: json.loads(each.read_text()).get("fileFormat") for each in infos}
    found = [each for each, form in forms.items() if form == "array_record" and "incomplete" not in each.name]
    names = f"put its four files ({', '.join(FILES)}, plain or with .gz) into {FOLDERS[0]}"
    check(found, f"MNIST is not here: {names}, or name their folder as data_dir")
    from study.data.prepare import tfds  # here: it takes seconds to import, and IDX files do without

    for records in map(tfds.builder_from_directory(found[0]).as_data_source, ("train", "test")):
        examples = records.__getitems__(range(len(records)))
        arrays += [np.array([each[key] for each in examples], np.uint8) for key in ("image", "label")]
    return arrays
