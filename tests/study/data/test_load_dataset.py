"""Datasets: rendered and real cars, the splits, the batches, and what is said of folders that are not right."""

import io
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from study import data
from study.config import PROJECT, ConfigError
from study.data import prepare, rendered


@pytest.fixture
def few_rendered(monkeypatch):
    monkeypatch.setattr(prepare, "RENDERED_COUNTS", {"train": 24, "validation": 8, "test": 16})


def make_photographs(folder, classes, count, splits=("train", "test")):
    """Tiny pictures in one folder for each class, each of a colour of its own."""
    colour = 0
    for split in splits:
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                colour += 1
                Image.new("RGB", (40, 20), (colour % 16 * 16, colour // 16 * 16, 0)).save(
                    folder / split / name / f"{index}.jpg"
                )


CLASSES = ["Acura RL Sedan 2012", "Audi TT RS Coupe 2012", "Ram C-V Cargo Van Minivan 2012"]


def test_rendered_cars(few_rendered, capsys):
    cars = data.load_dataset("rendered_cars", image_size=67)
    assert cars.counts == {"train": 24, "validation": 8, "test": 16}
    assert cars.train.images.shape == (24, 75, 75, 3)
    assert cars.train.images.dtype == np.uint8
    assert cars.class_names == list(rendered.BODY_STYLES)
    assert np.bincount(cars.train.labels).tolist() == [3] * 8
    assert "preparing" in capsys.readouterr().out
    again = data.load_dataset("rendered_cars", image_size=67)
    np.testing.assert_array_equal(again.train.images, cars.train.images)
    assert capsys.readouterr().out == ""
    expected, _ = next(rendered.render_dataset(1, 75, seed=2))
    assert (cars.test.images == expected).all(axis=(1, 2, 3)).any()  # stored without loss


def test_rendering():
    one = rendered.render("suv", np.random.default_rng(3), 67)
    np.testing.assert_array_equal(one, rendered.render("suv", np.random.default_rng(3), 67))
    assert one.shape == (67, 67, 3)
    assert one.std() > 10
    *_, (last, label) = rendered.render_dataset(12, 32, seed=5)
    assert label == 11 % 8
    alone = rendered.render(rendered.BODY_STYLES[label], np.random.default_rng((5, 11)), 32)
    np.testing.assert_array_equal(last, alone)  # an image depends on the seed and its index only
    with pytest.raises(ValueError, match=r"body_style must be one of convertible, .* not 'tank'"):
        rendered.render("tank", np.random.default_rng(0), 67)


def test_photographs_in_class_folders(tmp_path, capsys):
    make_photographs(tmp_path / "cars", CLASSES, 20)
    cars = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67)
    assert cars.counts == {"train": 54, "validation": 6, "test": 60}
    assert cars.class_names == CLASSES
    assert np.bincount(cars.validation.labels).tolist() == [2, 2, 2]
    assert data.load_dataset("stanford_cars", tmp_path / "cars", "body", 67).class_names == ["coupe", "sedan", "van"]
    makes = data.load_dataset("stanford_cars", tmp_path / "cars", "make", 67)
    assert makes.class_names == ["Acura", "Audi", "Ram"]
    (tmp_path / "cars" / "train" / CLASSES[0] / "new.jpg").write_bytes(b"not a picture")
    again = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67)  # changed, so prepared anew
    assert "refused train/Acura RL Sedan 2012/new.jpg: not an image" in capsys.readouterr().out
    assert again.digest != cars.digest
    assert sum(again.counts.values()) == 120


def test_photographs_without_splits(tmp_path):
    make_photographs(tmp_path, CLASSES, 20, splits=("cars",))
    cars = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67)
    assert cars.counts == {"train": 48, "validation": 6, "test": 6}


def test_a_split_seed_draws_all_photographs_anew(tmp_path):
    make_photographs(tmp_path / "cars", CLASSES, 10)
    splits = []
    for split_seed in (0, 1):
        cars = data.load_dataset("stanford_cars", tmp_path / "cars", "body", 67, split_seed)
        assert cars.counts == {"train": 45, "validation": 6, "test": 9}  # of all 60: 10 and 15 %
        assert len({file for split in cars.counts for file in getattr(cars, split).files}) == 60
        assert any(file.startswith("test/") for file in cars.train.files)
        splits.append({split: set(getattr(cars, split).files) for split in cars.counts})
    assert splits[0] != splits[1]


def test_three_photographs_of_a_class_are_enough(tmp_path):
    make_photographs(tmp_path / "cars", CLASSES, 3)
    cars = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67)
    assert cars.counts == {"train": 8, "validation": 1, "test": 9}  # what the folders say is for test, all of it
    make_photographs(tmp_path / "one", CLASSES, 3, splits=("cars",))
    cars = data.load_dataset("stanford_cars", tmp_path / "one" / "cars", "model", 67)
    assert cars.counts == {"train": 7, "validation": 1, "test": 1}


def test_what_is_too_little_for_the_folders_splits_can_be_drawn_anew(tmp_path):
    make_photographs(tmp_path / "few", CLASSES, 2)
    cars = data.load_dataset("stanford_cars", tmp_path / "few", "model", 67, split_seed=0)
    assert cars.counts == {"train": 9, "validation": 1, "test": 2}


def test_the_order_of_the_files_on_the_disk_changes_nothing(tmp_path, project):
    make_photographs(tmp_path / "cars", CLASSES, 8)
    one = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67)
    files = sorted((tmp_path / "cars").rglob("*.jpg"), reverse=True)
    for path in files:  # written again in another order
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    shutil.rmtree(project)
    two = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67)
    assert one.digest == two.digest
    for split in one.counts:
        np.testing.assert_array_equal(getattr(one, split).files, getattr(two, split).files)
        np.testing.assert_array_equal(getattr(one, split).images, getattr(two, split).images)


def test_an_npz_stands_for_the_prepared_data(tmp_path):
    make_photographs(tmp_path / "cars", CLASSES, 10)
    data.save(tmp_path / "cars.npz", "stanford_cars", tmp_path / "cars", 67)
    one = data.load_dataset("stanford_cars", tmp_path / "cars", "body", 67)
    two = data.load_dataset("stanford_cars", tmp_path / "cars.npz", "body", 67)
    np.testing.assert_array_equal(one.test.images, two.test.images)
    np.testing.assert_array_equal(one.test.labels, two.test.labels)
    assert (one.digest, one.class_names) == (two.digest, two.class_names)
    with pytest.raises(ConfigError, match="holds stanford_cars for 67 px, not stanford_cars for 99 px"):
        data.load_dataset("stanford_cars", tmp_path / "cars.npz", "body", 99)


def test_files_that_are_no_npz_of_ours(tmp_path):
    (tmp_path / "cut.npz").write_bytes(b"PK\3\4 and no more")
    (tmp_path / "text.npz").write_bytes(b"<html>404</html>")
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    np.savez(tmp_path / "about.npz", about="[1", given=np.zeros(3))
    np.savez(tmp_path / "before.npz", about="[1", given=np.zeros(3), place=np.zeros(3))  # as it was written once
    np.savez(tmp_path / "damaged.npz", about="[]", given=np.zeros(3))
    content = (tmp_path / "damaged.npz").read_bytes()
    (tmp_path / "damaged.npz").write_bytes(content.replace(b"NUMPY", b"numpy"))
    unreadable, old = "is no .npz file, or is cut short: ", "was not written by this version"
    messages = {
        "cut": unreadable,
        "text": unreadable,
        "other": old,
        "before": old,
        "about": unreadable,
        "damaged": unreadable,
    }
    for name, message in messages.items():
        with pytest.raises(ConfigError, match=message):
            data.load_dataset("stanford_cars", tmp_path / f"{name}.npz", "body", 67)


def test_what_cannot_be_saved_leaves_nothing(tmp_path, few_rendered, monkeypatch):
    def full(path, **arrays):
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(ConfigError, match=r"cars\.npz' cannot be written: .*No space left on device"):
        data.save(tmp_path / "cars.npz", "rendered_cars")
    assert [path.name for path in tmp_path.iterdir()] == ["project"]
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match=r"file/cars\.npz' cannot be written: "):
        data.save(tmp_path / "file" / "cars.npz", "rendered_cars")


@pytest.mark.parametrize(
    ("name", "label", "choices"),
    [
        ("stanford_cars", "digit", "body, make, model"),
        ("rendered_cars", "model", "body"),
        ("rendered_cars", "", "body"),
    ],
)
def test_a_label_that_a_dataset_does_not_have(name, label, choices, tmp_path):
    make_photographs(tmp_path / "cars", CLASSES, 3)
    with pytest.raises(ConfigError, match=rf"^unknown label of {name} '{label}' \(choices: {choices}\)$"):
        data.load_dataset(name, tmp_path / "cars", label)


def test_folders_that_are_not_right(tmp_path, project):
    with pytest.raises(ConfigError, match="nowhere' does not exist"):
        data.load_dataset("stanford_cars", tmp_path / "nowhere")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"no photographs found in .* train/<class>"):
        data.load_dataset("stanford_cars", tmp_path / "empty")
    with pytest.raises(ConfigError, match="needs data_dir"):
        data.load_dataset("stanford_cars")
    with pytest.raises(ConfigError, match="unknown dataset 'cars'"):
        data.load_dataset("cars")
    make_photographs(tmp_path / "few", CLASSES, 2)
    few = r"too few photographs \(12\): none would be left for validation \(three of a class are enough\)"
    with pytest.raises(ConfigError, match=few):
        data.load_dataset("stanford_cars", tmp_path / "few")
    make_photographs(tmp_path / "broken", CLASSES, 20)
    for path in (tmp_path / "broken" / "test").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(ConfigError, match="not one readable image"):
        data.load_dataset("stanford_cars", tmp_path / "broken")
    make_photographs(tmp_path / "pets", ["cat", "dog"], 10)
    with pytest.raises(ConfigError, match=r"'cat' is none of them \(2 of 2 unknown\)"):
        data.load_dataset("stanford_cars", tmp_path / "pets", "body")
    assert not list((project / "data" / "prepared").rglob("incomplete*"))


def test_batches(generator):
    images = generator.integers(0, 256, (50, 75, 75, 3), np.uint8)
    split = data.Split(images, np.arange(50))
    drawn = list(data.batches(split, 67, 16, seed=0))
    assert [len(labels) for _, labels in drawn] == [16, 16, 16]
    assert len(np.unique(np.concatenate([labels for _, labels in drawn]))) == 48
    for start in (0, 2):  # the same again, and in the middle of an epoch
        again = list(data.batches(split, 67, 16, seed=0, start=start))
        for (one, labels), (two, others) in zip(drawn[start:], again, strict=True):
            np.testing.assert_array_equal(one, two)
            np.testing.assert_array_equal(labels, others)
    other_orders = [next(data.batches(split, 67, 16, **change))[1] for change in ({"seed": 1}, {"seed": 0, "epoch": 1})]
    assert len({labels.tobytes() for labels in (drawn[0][1], *other_orders)}) == 3
    plain, labels = next(data.batches(split, 67, 16, 0, augmented=False))
    np.testing.assert_array_equal(plain, images[labels][:, 4:71, 4:71])


def test_augmentation_crops_and_flips(generator):
    image = np.arange(6 * 6, dtype=np.uint8).reshape(1, 6, 6, 1).repeat(3, axis=3)
    views = data.augment(image.repeat(400, axis=0), 4, generator)
    crops = {image[0, top : top + 4, left : left + 4].tobytes() for top in range(3) for left in range(3)}
    flips = {np.frombuffer(crop, np.uint8).reshape(4, 4, 3)[:, ::-1].tobytes() for crop in crops}
    assert {view.tobytes() for view in views} == crops | flips


def test_distorted_crops(generator):
    images = generator.integers(0, 256, (40, 24, 24, 3), np.uint8)
    np.testing.assert_array_equal(data.distort(images, 24, generator, zoom=1, colour=0), images)
    ramp = np.broadcast_to(np.arange(0, 240, 10, np.uint8)[:, None, None], (40, 24, 24, 3))
    zoomed = data.augment(ramp, 12, generator, zoom=0.5)
    assert (zoomed[:, :, :1] == zoomed).all()  # resized, and the sides not exchanged
    shares = (zoomed[:, -1, 0, 0].astype(float) - zoomed[:, 0, 0, 0]) / 230
    assert 0.4 < shares.min() < 0.6 < 0.8 < shares.max() <= 1
    grey = np.full((400, 4, 4, 3), 138, np.uint8)
    shades = data.augment(grey, 4, generator, colour=0.25)[:, 0, 0].astype(int)
    assert 95 <= shades.min() < 105 < 165 < shades.max() <= 172  # 128 ± 32, and 10 ± 2.5
    assert np.ptp(shades, axis=1).mean() > 10  # a cast, not brightness alone
    dark = data.augment(np.full((99, 4, 4, 3), 64, np.uint8), 4, generator, colour=0.7)
    assert dark.max() <= 128 + 0.7 * 128 - 0.3 * 64 + 1  # nothing wraps around
    assert dark.min() == 0


def test_ten_views():
    images = np.arange(2 * 6 * 6 * 3).reshape(2, 6, 6, 3)
    ten = list(data.views(images, 4, 10))
    corners = [images[:, top : top + 4, left : left + 4] for top, left in ((1, 1), (0, 0), (0, 2), (2, 0), (2, 2))]
    for view, mirrored, corner in zip(ten[::2], ten[1::2], corners, strict=True):
        np.testing.assert_array_equal(view, corner)
        np.testing.assert_array_equal(mirrored, corner[:, :, ::-1])
    (middle,) = data.views(images, 4)
    np.testing.assert_array_equal(middle, ten[0])


def published_split():
    table = pd.read_csv(PROJECT / "data" / "results" / "stanford_cars" / "split.csv")
    return table.set_index("file").split


def test_the_published_split_is_written_down():
    split = published_split()
    assert split.index.is_unique
    assert split.value_counts().to_dict() == {"train": 5720, "test": 1176, "validation": 638}


def test_the_real_photographs(photographs):
    cars = data.load_dataset("stanford_cars", photographs, "model")
    assert len(cars.class_names) == 196
    assert cars.source == "class folders, {train,test}/<class>/*.jpg"
    splits = {split: getattr(cars, split).files.tolist() for split in cars.counts}
    assert len({file for files in splits.values() for file in files}) == 7534  # no photograph is in two splits
    assert cars.counts == {"train": 5720, "validation": 638, "test": 1176}
    assert {file: split for split, files in splits.items() for file in files} == published_split().to_dict()
    names, mapping = data.group_classes(cars.class_names, "body")
    assert len(names) == 8
    assert len(mapping) == 196
    assert len(data.group_classes(cars.class_names, "make")[0]) == 49


def test_reading_goes_through_a_tfds_data_source_and_never_through_tensorflow(monkeypatch):
    import tensorflow_datasets as tfds

    class Records(list):
        def __getitems__(self, keys):
            return [self[key] for key in keys]

    def example(builder, split, **_):
        assert split == "pictures"
        examples = []
        for given, count in {"train": 5, "validation": 10, "test": 4}.items():
            image, label = next(rendered.render_dataset(1, builder.size, seed=count))
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "png")
            one = {"image": buffer.getvalue(), "label": label, "file": given.encode(), "sides": np.array([75, 75])}
            examples += [one | {"given": given.encode()} for _ in range(count)]
        return Records(examples)

    monkeypatch.setattr(prepare, "_write", lambda builder: None)
    with tfds.testing.mock_data(as_data_source_fn=example):
        cars = data.load_dataset("rendered_cars")
    assert cars.counts == {"train": 5, "validation": 10, "test": 4}
    assert cars.validation.files.tolist() == ["validation"] * 10
    np.testing.assert_array_equal(cars.test.images[0], next(rendered.render_dataset(1, 75, seed=4))[0])
    assert "tensorflow" not in sys.modules


def test_a_bare_machine_trains_from_an_npz(tmp_path):
    make_photographs(tmp_path / "cars", CLASSES, 10)
    data.save(tmp_path / "cars.npz", "stanford_cars", tmp_path / "cars", 67)
    program = """
        import sys
        for name in "tensorflow_datasets yaml seaborn matplotlib papermill nbconvert pyarrow scipy.io".split():
            sys.modules[name] = None  # importing it is an ImportError
        from study import data
        print(data.load_dataset("stanford_cars", sys.argv[1], "body", 67).counts)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "cars.npz")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.strip() == "{'train': 27, 'validation': 3, 'test': 30}", result.stderr
