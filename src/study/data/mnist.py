"""MNIST as arrays, from its four IDX files; nothing is downloaded."""

import gzip
import hashlib
import math
from pathlib import Path

import numpy as np

from study.config import check, digest, project_path
from study.data.archives import reading

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FOLDERS = ("data/raw/mnist", "../shared/data/mnist")  # where they are looked for


def load(data_dir=""):
    """The digits in `data_dir`, or in the first of FOLDERS that has any, as `study.data.load_examples` returns them. A
    ConfigError if a file is missing, cut short or not what its name says, or counts do not match."""
    folders = [project_path(Path(each).expanduser()) for each in ([data_dir] if data_dir else FOLDERS)]
    root = next((each for each in folders if data_dir or any(_find(each))), None)
    advice = f"put its four files ({', '.join(FILES)}, plain or with .gz) into {FOLDERS[0]}"
    check(root, f"MNIST is not here: {advice}, or name their folder as data_dir")
    check(root.is_dir(), f"data_dir {str(root)!r} is not a directory")
    paths = _find(root)
    missing = ", ".join(name for name, path in zip(FILES, paths, strict=True) if path is None)
    check(not missing, f"{str(root)!r} lacks {missing} (plain or with .gz)")
    images, labels = [_read_idx(path, (28, 28)) for path in paths[::2]], [_read_idx(path, ()) for path in paths[1::2]]
    for split, shown, digits, path in zip(("train", "test"), images, labels, paths[1::2], strict=True):
        check(len(shown) == len(digits), f"{str(root)!r} holds {len(shown)} {split} images but {len(digits)} labels")
        check(digits.size and digits.max() <= 9, f"{path.name} must hold labels from 0 to 9, and at least one")
    given = np.repeat(["train", "test"], [len(each) for each in labels])
    images, labels = np.concatenate(images), np.concatenate(labels)
    content = digest(*(hashlib.sha256(each).hexdigest() for each in (images, labels)))
    files = np.char.add(given, np.char.mod("/%d", np.arange(len(given))))
    arrays = {"images": images[..., None], "labels": labels.astype(np.int64), "given": given, "files": files}
    return arrays, {"class_names": list("0123456789"), "source": "MNIST, from IDX files", "digest": content}


def _find(folder):
    """The path of each of FILES, plain or gzipped, with `-idx` or `.idx` in its name; None where there is none."""
    spellings = [[each + end for each in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")] for name in FILES]
    return [next((folder / each for each in names if (folder / each).is_file()), None) for names in spellings]


def _read_idx(path, shape):
    """An IDX file of bytes -> (N, *shape) uint8."""
    name, data = repr(str(path)), path.read_bytes()
    with reading(f"{name} is truncated or damaged"):
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    magic, start = bytes([0, 0, 8, 1 + len(shape)]), 8 + 4 * len(shape)
    check(data.startswith(magic), f"{name} is not such an IDX file: magic number {data[:4].hex()}, not {magic.hex()}")
    count, *sides = (int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    check(tuple(sides) == shape or len(data) < start, f"{name} holds images of shape {tuple(sides)}, not {shape}")
    expected = start + count * math.prod(shape)
    fault = "truncated" if len(data) < expected else "too long"
    check(len(data) == expected, f"{name} is {fault}: {len(data):,} bytes, not {expected:,}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(count, *shape)
