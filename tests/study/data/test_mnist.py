"""MNIST: IDX files and what is said of wrong ones, a prepared TFDS dataset, the digits drawn without either."""

import gzip
import io

import numpy as np
import pytest
from PIL import Image

from study import mnist
from study.config import ConfigError, project_path

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = mnist.FILES.values()


@pytest.fixture(autouse=True)
def prepared(tmp_path, monkeypatch):
    """Where the builder writes."""
    monkeypatch.setattr(mnist, "PREPARED", tmp_path / "prepared")
    return tmp_path / "prepared"


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No MNIST anywhere on this machine."""
    monkeypatch.setattr(mnist, "FOLDERS", [tmp_path / "raw", tmp_path / "shared"])
    monkeypatch.setattr(mnist, "TFDS_FOLDERS", [tmp_path / "prepared"])
    return tmp_path


def idx(array):
    """An array of bytes as an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def write_idx(folder, spell=str, pack=bytes):
    """Five training and three test digits; returns their arrays, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    generator, arrays = np.random.default_rng(0), {}
    for (key, name), count in zip(mnist.FILES.items(), (5, 5, 3, 3), strict=True):
        shape = (count, 28, 28) if key.endswith("images") else (count,)
        arrays[key] = generator.integers(0, 256 if key.endswith("images") else 10, shape)
        (folder / spell(name)).write_bytes(pack(idx(arrays[key])))
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
    digits = mnist.load_mnist(str(tmp_path))
    for key, expected in arrays.items():
        found = getattr(digits, key)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == (np.uint8 if key.endswith("images") else np.int64)
    assert digits.source == "MNIST, from IDX files"
    assert not digits.drawn


def test_files_are_prepared_once_and_anew_when_they_change(tmp_path, prepared, monkeypatch):
    first, folder = write_idx(tmp_path), str(tmp_path)
    mnist.load_mnist(folder)
    with monkeypatch.context() as patch:
        patch.setattr(mnist, "read_idx", lambda *args: pytest.fail("read again"))
        np.testing.assert_array_equal(mnist.load_mnist(folder).train_images, first["train_images"])
    changed = 255 - first["test_images"]
    (tmp_path / TEST_IMAGES).write_bytes(idx(changed))
    np.testing.assert_array_equal(mnist.load_mnist(folder).test_images, changed)
    assert len(list(prepared.glob("mnist/28px-*/1.0.0/dataset_info.json"))) == 2
    assert list(prepared.rglob("*.array_record*"))


def test_what_was_prepared_is_found_without_the_files(nowhere, monkeypatch):
    arrays = write_idx(nowhere / "raw")
    mnist.load_mnist()
    for file in (nowhere / "raw").iterdir():
        file.unlink()
    np.testing.assert_array_equal(mnist.load_mnist().train_images, arrays["train_images"])


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
        mnist.load_mnist(str(tmp_path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("dataset_info.json"))  # nothing that later loads


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="is not a directory"):
        mnist.load_mnist(str(tmp_path / "nothing"))


def test_the_first_folder_with_files_is_read(nowhere):
    arrays = write_idx(nowhere / "shared")
    np.testing.assert_array_equal(mnist.load_mnist().train_images, arrays["train_images"])
    write_idx(nowhere / "raw")
    (nowhere / "raw" / TEST_LABELS).unlink()
    with pytest.raises(ConfigError, match=f"lacks {TEST_LABELS}"):  # rather than passing over it in silence
        mnist.load_mnist()


def test_a_dataset_prepared_by_tfds(nowhere):
    import sys

    import tensorflow_datasets as tfds

    def png(value):
        buffer = io.BytesIO()
        Image.fromarray(np.full((28, 28), value, np.uint8)).save(buffer, "png")
        return buffer.getvalue()

    with tfds.core.registered.skip_registration():

        class Mnist(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("3.0.1")

            def _info(self):
                features = {
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples(4), "test": self._generate_examples(2)}

            def _generate_examples(self, count):
                yield from ((index, {"image": png(20 * index), "label": index}) for index in range(count))

    Mnist(data_dir=nowhere / "prepared", file_format="array_record").download_and_prepare(file_format="array_record")
    digits = mnist.load_mnist()
    assert digits.source == "MNIST, prepared by TFDS"
    assert digits.train_images.shape == (4, 28, 28)
    assert digits.train_images.dtype == np.uint8
    assert digits.test_labels.dtype == np.int64
    assert sorted(digits.train_labels) == [0, 1, 2, 3]
    np.testing.assert_array_equal(digits.train_images[:, 5, 5], 20 * digits.train_labels)
    assert "tensorflow" not in sys.modules


def test_drawn_digits(nowhere, monkeypatch):
    monkeypatch.setattr(mnist, "DRAWN_COUNTS", {"train": 60, "test": 30})
    digits, again = mnist.load_mnist(), mnist.load_mnist()
    assert digits.drawn
    assert "not MNIST" in digits.source
    assert digits.train_images.shape == (60, 28, 28)
    assert digits.train_images.dtype == np.uint8
    assert digits.test_labels.dtype == np.int64
    assert np.bincount(digits.test_labels).tolist() == [3] * 10
    np.testing.assert_array_equal(digits.train_images, again.train_images)
    assert (digits.train_images != mnist.draw_digits(seed=1).train_images).any()
    assert (digits.train_images > 128).mean(axis=(1, 2)).min() > 0.02  # there is ink in every image


def test_real_mnist():
    folder = project_path("../shared/data/mnist")
    if not folder.is_dir():
        pytest.skip("no MNIST here: ../shared/data/mnist does not exist")
    digits = mnist.load_mnist(str(folder))
    assert digits.train_images.shape == (60000, 28, 28)
    assert digits.test_images.shape == (10000, 28, 28)
    assert np.bincount(digits.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
