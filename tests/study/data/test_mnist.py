"""MNIST: IDX files, what is said of wrong ones, and what is said without any."""

import gzip

import numpy as np
import pytest

from study import data
from study.config import PROJECT, ConfigError
from study.data import mnist

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = mnist.FILES


@pytest.fixture
def nowhere(project):
    """The project's folder on a machine without MNIST; its neighbour `shared` is looked into."""
    project.mkdir()
    return project


def idx(array):
    """An array of bytes as an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def write_idx(folder, spell=str, pack=bytes):
    """Five training and three test digits; returns their images and labels, by split."""
    folder.mkdir(parents=True, exist_ok=True)
    generator, arrays = np.random.default_rng(0), {"train": {}, "test": {}}
    for name, (split, count) in zip(mnist.FILES, [("train", 5)] * 2 + [("test", 3)] * 2, strict=True):
        key, largest, shape = ("images", 256, (28, 28)) if "images" in name else ("labels", 10, ())
        arrays[split][key] = generator.integers(0, largest, (count, *shape))
        (folder / spell(name)).write_bytes(pack(idx(arrays[split][key])))
    return arrays


@pytest.mark.parametrize(
    ("spell", "pack"),
    [
        (str, bytes),
        ("{}.gz".format, gzip.compress),
        (lambda name: name.replace("-idx", ".idx"), bytes),
        (lambda name: name.replace("-idx", ".idx") + ".gz", gzip.compress),
        ("{}.gz".format, bytes),  # unpacked on the way, name kept
    ],
    ids=["plain", "gz", "dot", "dot-gz", "misnamed"],
)
def test_idx_files(tmp_path, spell, pack):
    arrays = write_idx(tmp_path, spell, pack)
    digits = data.load_dataset("mnist", str(tmp_path))
    for split, expected in arrays.items():
        found = getattr(digits, split)
        np.testing.assert_array_equal(found.images, expected["images"][..., None])
        np.testing.assert_array_equal(found.labels, expected["labels"])
        assert found.images.dtype == np.uint8
        assert found.labels.dtype == np.int64
        assert found.files.tolist() == [f"{split}/{index + 5 * (split == 'test')}" for index in range(len(found))]
    assert digits.source == "MNIST, from IDX files"
    assert digits.class_names == list("0123456789")


def test_changed_files_are_another_dataset(tmp_path):
    first, folder = write_idx(tmp_path), str(tmp_path)
    digits = data.load_dataset("mnist", folder)
    assert data.load_dataset("mnist", folder).digest == digits.digest
    changed = 255 - first["test"]["images"]
    (tmp_path / TEST_IMAGES).write_bytes(idx(changed))
    again = data.load_dataset("mnist", folder)
    np.testing.assert_array_equal(again.test.images[..., 0], changed)
    assert again.digest != digits.digest


def test_validation_is_the_test_split_unless_splits_are_drawn(tmp_path):
    write_idx(tmp_path)
    digits = data.load_dataset("mnist", str(tmp_path))
    assert digits.counts == {"train": 5, "validation": 3, "test": 3}
    np.testing.assert_array_equal(digits.validation.images, digits.test.images)
    for name, count in ((TRAIN_IMAGES, 40), (TRAIN_LABELS, 40), (TEST_IMAGES, 20), (TEST_LABELS, 20)):
        (tmp_path / name).write_bytes(idx(np.zeros((count, 28, 28)) if "images" in name else np.arange(count) % 10))
    drawn = data.load_dataset("mnist", str(tmp_path), split_seed=0)
    assert drawn.counts == {"train": 45, "validation": 6, "test": 9}
    assert len({file for split in drawn.counts for file in getattr(drawn, split).files}) == 60


FAULTS = {
    "lacks t10k-images-idx3-ubyte (plain or with .gz)": lambda d: (d / TEST_IMAGES).unlink(),
    "magic number 00000801, not 00000803": lambda d: (d / TRAIN_IMAGES).write_bytes(idx(np.zeros(5))),
    "magic number , not 00000801": lambda d: (d / TRAIN_LABELS).write_bytes(b""),
    "is truncated: 6 bytes, not 8": lambda d: (d / TEST_LABELS).write_bytes(idx(np.zeros(3))[:6]),
    "is truncated: 1,000 bytes, not 3,936": lambda d: (d / TRAIN_IMAGES).write_bytes(idx(np.zeros((5, 28, 28)))[:1000]),
    "is truncated or damaged": lambda d: (d / TRAIN_IMAGES).write_bytes(gzip.compress(idx(np.ones((5, 28, 28))))[:-9]),
    "is too long: 12 bytes, not 11": lambda d: (d / TEST_LABELS).write_bytes(idx(np.zeros(3)) + b"!"),
    "images of shape (28, 27), not (28, 28)": lambda d: (d / TEST_IMAGES).write_bytes(idx(np.zeros((3, 28, 27)))),
    "holds 5 train images but 4 labels": lambda d: (d / TRAIN_LABELS).write_bytes(idx(np.zeros(4))),
    "must hold labels from 0 to 9": lambda d: (d / TEST_LABELS).write_bytes(idx(np.full(3, 10))),
}


@pytest.mark.parametrize("message", FAULTS)
def test_wrong_idx_files(tmp_path, message):
    write_idx(tmp_path)
    FAULTS[message](tmp_path)
    with pytest.raises(ConfigError) as caught:
        data.load_dataset("mnist", str(tmp_path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="is not a directory"):
        data.load_dataset("mnist", str(tmp_path / "nothing"))


def test_the_first_folder_with_files_is_read(nowhere):
    arrays = write_idx(nowhere.parent / "shared" / "data" / "mnist")
    digits = data.load_dataset("mnist")
    np.testing.assert_array_equal(digits.train.images[..., 0], arrays["train"]["images"])
    write_idx(nowhere / "data" / "raw" / "mnist")
    (nowhere / "data" / "raw" / "mnist" / TEST_LABELS).unlink()
    with pytest.raises(ConfigError, match=f"lacks {TEST_LABELS}"):  # rather than passing over it in silence
        data.load_dataset("mnist")


def test_without_mnist_the_message_says_where_to_put_it(nowhere):
    with pytest.raises(ConfigError) as caught:
        data.load_dataset("mnist")
    assert str(caught.value) == (
        "MNIST is not here: put its four files (train-images-idx3-ubyte, train-labels-idx1-ubyte, "
        "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, plain or with .gz) into data/raw/mnist, "
        "or name their folder as data_dir"
    )


def test_real_mnist():
    folder = PROJECT.parent / "shared" / "data" / "mnist"
    if not folder.is_dir():
        pytest.skip("no MNIST here: ../shared/data/mnist does not exist")
    digits = data.load_dataset("mnist", str(folder))
    assert digits.train.images.shape == (60000, 28, 28, 1)
    assert digits.test.images.shape == (10000, 28, 28, 1)
    assert np.bincount(digits.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
