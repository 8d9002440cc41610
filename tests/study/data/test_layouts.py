"""Every layout in which people have Stanford Cars, in tiny made-up copies; and archives of them."""

import io
import json
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from study import config, data
from study.config import ConfigError
from study.data import archives, layouts

CLASSES = ["Acura RL Sedan 2012", "Audi TT RS Coupe 2012", "Ram C/V Cargo Van Minivan 2012"]
COUNT = 20  # photographs of each class and split


def photograph(path, index, label):
    """40 × 30 pixels, no two alike: the car, in a colour for its class, in a box, a black frame around."""
    image = Image.new("RGB", (40, 30))
    image.paste(((250, 60, 60), (60, 250, 60), (60, 60, 250))[label], (10, 5, 30, 25))
    image.putpixel((0, 0), (index % 256, index // 256 * 50, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path.with_suffix(".png"))
    path.with_suffix(".png").rename(path)  # PNG inside: the frame stays black


def annotation(name, label, key="fname", **more):
    return {"bbox_x1": 11, "bbox_y1": 6, "bbox_x2": 30, "bbox_y2": 25, "class": label + 1, key: name, **more}


def mat(path, annotations=None, class_names=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if annotations is not None:
        keys = list(annotations[0])
        table = np.array([tuple(each[key] for key in keys) for each in annotations], dtype=[(key, "O") for key in keys])
        savemat(
            path, {"annotations": table[None]} | ({"class_names": np.array([class_names], "O")} if class_names else {})
        )
    else:
        savemat(path, {"class_names": np.array([class_names], "O")})


def make_official(root, images="cars_{}", devkit="devkit", labels="cars_test_annos_withlabels.mat", **test):
    """With `test_class`, that is every test photograph's; with `test_names`, the classes as the test file lists them,
    which are those of cars_meta.mat turned by one."""
    for split in ("train", "test"):
        annotations, of_test = [], test if split == "test" else {}
        for index in range(3 * COUNT):
            path = root / images.format(split, split) / f"{index:05}.jpg"
            photograph(path, index + 100 * (split == "test"), index % 3)
            label = (index + 1) % 3 if "test_names" in of_test else index % 3
            annotations.append(annotation(path.name, label))
            annotations[-1] |= {"class": of_test["test_class"]} if "test_class" in of_test else {}
        if split == "test" and labels == "cars_test_annos.mat":
            annotations = [{key: value for key, value in each.items() if key != "class"} for each in annotations]
        name = "cars_train_annos.mat" if split == "train" else labels
        mat(root / devkit / name, annotations, of_test.get("test_names"))
    mat(root / devkit / "cars_meta.mat", class_names=CLASSES)


def make_merged(root, test_class=None):
    annotations = []
    for index in range(6 * COUNT):
        photograph(root / "car_ims" / f"{index:06}.jpg", index, index % 3)
        test = index >= 3 * COUNT
        annotations.append(annotation(f"car_ims/{index:06}.jpg", index % 3, "relative_im_path", test=int(test)))
        annotations[-1] |= {"class": test_class} if test and test_class is not None else {}
    mat(root / "cars_annos.mat", annotations, CLASSES)


def make_folders(root, form, splits=("train", "test")):
    for split in splits:
        for index in range(3 * COUNT):
            slash = CLASSES[index % 3]
            folder = root / form.format(split=split, name=slash.replace("/", "-"), slash=slash)
            photograph(folder / f"{split}{index}.jpg", index + 100 * (split == "test"), index % 3)


def shard(path, labels, names=CLASSES, kind=None, start=0, key="label", **options):
    """A Parquet file of pictures: the i-th is of class i modulo 3, whatever its label says."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pictures = []
    for index in range(len(labels)):
        photograph(path.parent / "picture.jpg", start + index, index % 3)
        pictures.append({"bytes": (path.parent / "picture.jpg").read_bytes(), "path": f"{index}.jpg"})
    (path.parent / "picture.jpg").unlink()
    table = pa.table({"image": pictures} | ({key: pa.array(labels, kind)} if key else {}))
    about = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    table = table.replace_schema_metadata({"huggingface": json.dumps(about)}) if names else table
    pq.write_table(table, path, **options)


def make_parquet(root, train="data/train-00000-of-00001.parquet", test="data/test-00000-of-00001.parquet"):
    for start, name in ((0, train), (100, test)):
        shard(root / name, [index % 3 for index in range(3 * COUNT)], start=start, row_group_size=7)


def make_prepared(root, labels=None, names=CLASSES):
    """A `cars196` as TFDS prepares it; with `labels`, these are the test examples'."""
    import tensorflow_datasets as tfds

    class Cars196(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("2.1.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(names=names),
                "bbox": tfds.features.BBoxFeature(),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in ("train", "test")}

        def _generate_examples(self, split):
            for index in range(3 * COUNT):
                path = root.parent / "picture.jpg"
                photograph(path, index + 100 * (split == "test"), index % 3)
                box = tfds.features.BBox(ymin=5 / 30, xmin=10 / 40, ymax=25 / 30, xmax=30 / 40)
                label = names.index(CLASSES[index % 3]) if split == "train" or labels is None else labels[index]
                yield index, {"image": path.read_bytes(), "label": label, "bbox": box}

    builder = Cars196(data_dir=root, file_format="array_record")
    builder.download_and_prepare()
    return builder


def labels_are_right(found):
    """Whether every photograph has the colour of its class, by whatever name."""
    shown = [np.argmax(Image.open(io.BytesIO(each.read())).getpixel((20, 15))[:3]) for each in found.photographs]
    named = [layouts.official_name(found.class_names[each.label]) for each in found.photographs]
    return named == [CLASSES[index] for index in shown]


def splits(found):
    return dict(Counter(each.split for each in found.photographs))


MAKERS = {
    "torchvision": (make_official, "cars_train/ and cars_test/, official annotations, official test labels", True),
    "Kaggle": (lambda root: make_official(root, "cars_{}/cars_{}"), "nested cars_train/", True),
    "flat": (
        lambda root: make_official(root, devkit="", labels="cars_test_annos_withlabels_eval.mat"),
        ".mat files beside", True,
    ),
    "merged": (make_merged, "car_ims/ with cars_annos.mat", True),
    "folders": (lambda root: make_folders(root, "{split}/{name}"), "class folders, {train,test}/<class>/*.jpg", False),
    "nested folders": (
        lambda root: make_folders(root, "car_data/car_data/{split}/{name}"), "class folders, {train,test}/", False,
    ),
    "Parquet": (make_parquet, "Parquet shards", False),
    "prepared": (make_prepared, "cars196/2.1.0, prepared by TFDS", True),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_a_layout_is_recognised_from_the_folder_alone(name, tmp_path):
    make, words, boxed = MAKERS[name]
    make(tmp_path / "cars")
    cars = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67)
    assert words in cars.source
    assert cars.counts == {"train": 54, "validation": 6, "test": 60}
    assert [each.replace("/", "-") for each in cars.class_names] == [each.replace("/", "-") for each in CLASSES]
    for split in (cars.train, cars.validation, cars.test):
        middle = split.images[:, 37, 37].astype(int)
        assert (middle.argmax(axis=1) == split.labels).all()  # red, green, blue: the labels are the photographs'
        corners = split.images[:, 2, 2].max(axis=1)
        assert (corners > 200).all() if boxed else (corners < 100).all()  # cropped to the box, or not
    assert not cars.refused
    assert sum(cars.outcomes.values()) == 120
    assert data.load_dataset("stanford_cars", tmp_path / "cars", "body", 67).class_names == ["coupe", "sedan", "van"]


def test_without_test_labels_a_part_of_train_is_test(tmp_path):
    make_official(tmp_path, labels="cars_test_annos.mat")
    cars = data.load_dataset("stanford_cars", tmp_path, "model", 67)
    assert cars.counts == {"train": 48, "validation": 6, "test": 6}
    assert "no test labels" in cars.source
    assert cars.outcomes["test photographs without a label"] == 60


def test_one_folder_a_class(tmp_path):
    make_folders(tmp_path, "{name}")
    cars = data.load_dataset("stanford_cars", tmp_path, "body", 67)
    assert cars.counts == {"train": 96, "validation": 12, "test": 12}
    assert cars.source == "class folders, <class>/*.jpg"


@pytest.mark.parametrize(
    "form", ["Train/{name}", "{split}/{name}/front", "x/{split}/y/../{name}", ".hidden/../{split}/{name}"]
)
def test_class_folders_in_other_spellings(form, tmp_path):
    make_folders(tmp_path / "cars", form.replace("Train", "{split}").replace("x/{split}/y/../", "x/{split}/"))
    if form.startswith("Train"):
        for split in ("train", "test"):
            (tmp_path / "cars" / split).rename(tmp_path / "cars" / split.capitalize())
    photograph(tmp_path / "cars" / "__MACOSX" / "train" / "other" / "one.jpg", 0, 0)
    photograph(tmp_path / "cars" / ".ipynb_checkpoints" / "one.jpg", 0, 0)
    cars = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67)
    assert cars.counts == {"train": 54, "validation": 6, "test": 60}
    assert len(cars.class_names) == 3


def test_photographs_without_a_folder_for_each_class_are_refused(tmp_path):
    for split in ("train", "test"):
        photograph(tmp_path / split / "one.jpg", 0, 0)
    with pytest.raises(
        ConfigError, match=r"no photographs .*\(1 test photographs without a label\) \(1 train photographs without"
    ):
        layouts.find(tmp_path)


def test_parquet_files_by_folder_and_of_another_split(tmp_path):
    make_parquet(tmp_path)
    for split in ("train", "test"):
        (tmp_path / "default" / split).mkdir(parents=True)
        (tmp_path / "data" / f"{split}-00000-of-00001.parquet").rename(tmp_path / "default" / split / "0000.parquet")
    (tmp_path / "default" / "contrast").mkdir()
    shutil.copy(tmp_path / "default" / "test" / "0000.parquet", tmp_path / "default" / "contrast" / "0000.parquet")
    cars = data.load_dataset("stanford_cars", tmp_path, "model", 67)
    assert cars.counts == {"train": 54, "validation": 6, "test": 60}
    assert cars.outcomes["photographs outside train/ and test/"] == 60
    (tmp_path / "default" / "test" / "0000.parquet").write_text("version https://git-lfs")
    with pytest.raises(ConfigError, match="is not a Parquet file, or is damaged"):
        layouts.find(tmp_path)


def test_a_group_of_rows_is_read_once(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pictures = []
    for index in range(200):
        photograph(tmp_path / "pictures" / f"{index}.jpg", index, 0)
        pictures.append({"bytes": (tmp_path / "pictures" / f"{index}.jpg").read_bytes()})
    (tmp_path / "cars").mkdir()
    table = pa.table({"image": pictures, "label": [index % 3 for index in range(200)]})
    pq.write_table(table, tmp_path / "cars" / "train.parquet", row_group_size=100)
    read, seen = pq.ParquetFile.read_row_group, []

    def counted(file, group, columns):
        seen.append((group, *columns))
        return read(file, group, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    cars = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67, split_seed=0)
    assert sum(cars.counts.values()) == 200
    assert sorted(each for each in seen if "image" in each) == [(0, "image"), (1, "image")]  # by any number of threads
    assert cars.train.files[0].startswith("train.parquet/0000")
    rows = [int(file.split("/")[1]) for file in cars.train.files]
    assert rows == sorted(rows)
    assert (cars.train.labels == np.array(rows) % 3).all()


def test_a_label_that_no_class_has_is_refused(tmp_path):
    make_merged(tmp_path)
    annotations = [annotation("car_ims/000000.jpg", 7, "relative_im_path", test=0)]
    mat(tmp_path / "cars_annos.mat", annotations, CLASSES)
    with pytest.raises(ConfigError, match=r"^car_ims/000000.jpg: class 7 is none of the 3 classes$"):
        layouts.find(tmp_path)


def test_annotations_and_files_that_do_not_match_are_counted(tmp_path):
    make_official(tmp_path)
    (tmp_path / "cars_train" / "00003.jpg").unlink()
    photograph(tmp_path / "cars_test" / "99999.jpg", 999, 0)
    cars = data.load_dataset("stanford_cars", tmp_path, "model", 67)
    assert cars.outcomes["annotations without a file"] == 1
    assert cars.outcomes["files without annotation"] == 1
    assert sum(cars.counts.values()) == 119


def test_a_cars196_prepared_by_tfds_is_read_as_it_is(tmp_path):
    builder = make_prepared(tmp_path / "tfds")
    assert len(layouts.find(builder.data_path).photographs) == 120  # the innermost folder will do
    cars = data.load_dataset("stanford_cars", tmp_path / "tfds", "model", 67)
    assert "cars196/2.1.0, prepared by TFDS" in cars.source
    assert cars.counts == {"train": 54, "validation": 6, "test": 60}
    assert (cars.train.images[:, 37, 37].argmax(axis=1) == cars.train.labels).all()
    assert (cars.train.images[:, 2, 2].max(axis=1) > 200).all()
    about = builder.data_path / "dataset_info.json"
    about.write_text(about.read_text().replace('"array_record"', '"tfrecord"'))
    with pytest.raises(
        ConfigError, match=r"was prepared as tfrecord, which only TensorFlow reads.*tfds convert_format"
    ):
        data.load_dataset("stanford_cars", tmp_path / "tfds", "model", 67)


@pytest.mark.parametrize("form", ["zip", "tgz"])
def test_archives_are_unpacked_once(form, tmp_path, project, capsys):
    make_official(tmp_path / "cars")
    (tmp_path / "archives").mkdir()
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "archives" / "archive.zip", "w") as archive:
            for path in sorted((tmp_path / "cars").rglob("*.*")):
                archive.write(path, path.relative_to(tmp_path / "cars"))
    else:  # as they were downloaded: three archives, the test labels beside
        for name in ("cars_train", "cars_test", "devkit"):
            with tarfile.open(tmp_path / "archives" / f"{name}.tgz", "w:gz") as archive:
                archive.add(tmp_path / "cars" / name, name)
    for _ in range(2):
        cars = data.load_dataset("stanford_cars", tmp_path / "archives", "model", 67)
        assert cars.counts == {"train": 54, "validation": 6, "test": 60}
    assert capsys.readouterr().out.count("unpacking") == (1 if form == "zip" else 3)
    if form == "zip":  # or the archive itself
        assert (
            data.load_dataset("stanford_cars", tmp_path / "archives" / "archive.zip", "model", 67).digest == cars.digest
        )
    assert [path.name.split("-")[0] for path in (project / "data" / "raw").iterdir()] == [
        "archive" if form == "zip" else "cars_test"
    ]


def test_archives_with_the_same_names_inside_do_not_overwrite_each_other(tmp_path):
    make_folders(tmp_path / "cars", "{split}/{name}")
    (tmp_path / "archives").mkdir()
    for split in ("train", "test"):
        with zipfile.ZipFile(tmp_path / "archives" / f"{split}.zip", "w") as archive:
            for index, path in enumerate(sorted((tmp_path / "cars" / split).rglob("*.jpg"))):
                archive.write(path, f"{path.parent.name}/{index:05}.jpg")
    cars = data.load_dataset("stanford_cars", tmp_path / "archives", "model", 67)
    assert cars.counts == {"train": 54, "validation": 6, "test": 60}


def test_a_part_still_in_its_archive(tmp_path):
    make_official(tmp_path / "cars")
    with tarfile.open(tmp_path / "cars" / "cars_test.tgz", "w:gz") as archive:
        archive.add(tmp_path / "cars" / "cars_test", "cars_test")
    shutil.rmtree(tmp_path / "cars" / "cars_test")
    cars = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67)
    assert cars.counts == {"train": 54, "validation": 6, "test": 60}


@pytest.mark.parametrize(("first", "copy"), [("test/00000", "train/00000"), ("train/00000", "train/00003")])
def test_the_same_photograph_with_another_box_is_still_the_same(first, copy, tmp_path):
    make_official(tmp_path)
    (tmp_path / f"cars_{copy}.jpg").write_bytes((tmp_path / f"cars_{first}.jpg").read_bytes())
    annotations = [annotation(f"{index:05}.jpg", index % 3) for index in range(3 * COUNT)]
    annotations[0]["bbox_x2"] -= 1
    mat(tmp_path / "devkit" / "cars_train_annos.mat", annotations)
    cars = data.load_dataset("stanford_cars", tmp_path, "model", 67)
    assert (sum(cars.counts.values()), cars.counts["test"]) == (119, 60)
    assert cars.refused == [f"cars_{copy}.jpg: the same photograph is in {first.split('/')[0]}"]
    assert cars.outcomes[f"refused: the same photograph is in {first.split('/')[0]}"] == 1


def test_a_devkit_still_in_its_archive(tmp_path):
    make_official(tmp_path / "cars")
    with tarfile.open(tmp_path / "cars" / "car_devkit.tgz", "w:gz") as archive:
        archive.add(tmp_path / "cars" / "devkit", "devkit")
    shutil.rmtree(tmp_path / "cars" / "devkit")
    cars = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67)
    assert cars.counts == {"train": 54, "validation": 6, "test": 60}
    assert "official test labels" in cars.source


def test_archives_beside_what_was_in_them_stay_packed(tmp_path, project):
    make_official(tmp_path / "cars")
    (tmp_path / "cars" / "cars_train.tgz").write_bytes(b"not looked into")
    assert sum(data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67).counts.values()) == 120
    assert not (project / "data" / "raw").exists()


@pytest.mark.parametrize("name", ["../escaped.jpg", "/tmp/escaped.jpg", "a/../../escaped.jpg", "..\\escaped.jpg"])
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_an_archive_that_would_write_elsewhere_is_refused(form, name, tmp_path, project):
    photograph(tmp_path / "one.jpg", 0, 0)
    path = tmp_path / f"cars.{form}"
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "one.jpg", "fine/one.jpg")
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, b"")
    else:
        with tarfile.open(path, "w") as archive:
            archive.add(tmp_path / "one.jpg", "fine/one.jpg")
            archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(ConfigError, match=r"is not safe: its member '.*escaped\.jpg' would lie outside the folder"):
        layouts.find(path)
    assert not list((project / "data" / "raw").iterdir())
    assert not list(tmp_path.rglob("escaped*"))


def test_archives_that_are_damaged_or_too_large(tmp_path, project, monkeypatch):
    photograph(tmp_path / "train" / "a" / "one.jpg", 0, 0)
    with tarfile.open(tmp_path / "cars.tgz", "w:gz") as archive:
        archive.add(tmp_path / "train", "train")
    whole = (tmp_path / "cars.tgz").read_bytes()
    (tmp_path / "half.tgz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "not.zip").write_bytes(b"not an archive")
    for name in ("half.tgz", "not.zip"):
        with pytest.raises(ConfigError, match=rf"cannot unpack '.*{name}'"):
            layouts.find(tmp_path / name)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(ConfigError, match=r"needs 0\.0 GB of space, .* has 0\.0"):
        layouts.find(tmp_path / "cars.tgz")
    assert not list((project / "data" / "raw").iterdir())


def test_what_is_none_of_them(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere' does not exist"):
        layouts.find(tmp_path / "nowhere")
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(ConfigError, match="is neither a folder nor a"):
        layouts.find(tmp_path / "text.txt")
    with pytest.raises(ConfigError, match=r"no photographs found in .* what is known: cars_train/"):
        layouts.find(tmp_path)
    photograph(tmp_path / "lone" / "cars_train" / "00001.jpg", 0, 0)
    with pytest.raises(
        ConfigError, match=r"\(1 train photographs without a label\); what is known: .* with their \.mat files"
    ):
        layouts.find(tmp_path / "lone")
    shutil.rmtree(tmp_path / "lone")
    mat(tmp_path / "cars_train_annos.mat", [annotation("00001.jpg", 0)])
    with pytest.raises(
        ConfigError, match=r"no photographs found in .* \(1 annotations without a file\); what is known:"
    ):
        layouts.find(tmp_path)
    (tmp_path / "cars_train_annos.mat").write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="is not the MATLAB file that it should be"):
        layouts.find(tmp_path)


NAN = float("nan")
WITHOUT_LABEL = {  # what makes a folder of 60 test photographs without a label
    "Parquet, -1": lambda root: shard(root / "data" / "test.parquet", [-1] * 60, start=100),
    "Parquet, null": lambda root: shard(root / "data" / "test.parquet", [None] * 60, kind="int64", start=100),
    "Parquet, NaN": lambda root: shard(root / "data" / "test.parquet", [NAN] * 60, start=100),
    "Parquet, empty": lambda root: shard(root / "data" / "test.parquet", ["", "  "] * 30, None, start=100),
    "Parquet, null text": lambda root: shard(root / "data" / "test.parquet", [None] * 60, None, "string", 100),
    "Parquet, no column": lambda root: shard(root / "data" / "test.parquet", [None] * 60, start=100, key=""),
    "folder": lambda root: [photograph(root / "test" / f"{index}.jpg", 100 + index, 0) for index in range(60)],
    "nested": lambda root: [photograph(root / "test" / "test" / f"{i}.jpg", 100 + i, 0) for i in range(60)],
    "unknown": lambda root: [photograph(root / "test" / "unknown" / f"{i}.jpg", 100 + i, 0) for i in range(60)],
    "prepared, -1": lambda root: make_prepared(root, [-1] * 60),
    "official, no field": lambda root: make_official(root, labels="cars_test_annos.mat"),
    "official, 0": lambda root: make_official(root, test_class=0),
    "official, 0 of a byte": lambda root: make_official(root, test_class=np.uint8(0)),
    "official, NaN": lambda root: make_official(root, test_class=NAN),
    "official, empty": lambda root: make_official(root, test_class=np.zeros((0, 0))),
    "official, no text": lambda root: make_official(root, test_class=""),
    "official, no file": lambda root: make_official(root, labels="elsewhere.mat"),
    "merged, 0": lambda root: make_merged(root, test_class=0),
}


@pytest.mark.parametrize("how", WITHOUT_LABEL)
def test_what_has_no_label_is_left_out_and_counted(how, tmp_path):
    root = tmp_path / "cars"
    if how.startswith("Parquet"):
        shard(root / "data" / "train.parquet", [index % 3 for index in range(60)])
    if how in ("folder", "nested", "unknown"):
        make_folders(root, "{split}/{name}", ("train",))
    WITHOUT_LABEL[how](root)
    found = layouts.find(root)
    assert splits(found) == {"train": 60}
    assert labels_are_right(found)
    what = "files without annotation" if how == "official, no file" else "test photographs without a label"
    assert found.outcomes.pop(what) == 60
    assert sum(found.outcomes.values()) == (how == "Parquet, no column")
    assert set(found.class_names) <= {*CLASSES, CLASSES[2].replace("/", "-")}


def test_without_a_training_folder_what_is_outside_test_is_for_training(tmp_path):
    make_folders(tmp_path, "{name}", ("train",))
    photograph(tmp_path / "Testing_Data" / "0.jpg", 100, 0)
    make_folders(tmp_path / "new", "{split}/{name}", ("test",))
    found = layouts.find(tmp_path)
    assert splits(found) == {"train": 60, "test": 60}
    assert labels_are_right(found)
    assert found.outcomes == {"test photographs without a label": 1}


def test_labels_that_are_text(tmp_path):
    texts = [CLASSES[index % 3] for index in range(60)]
    shard(tmp_path / "p" / "train.parquet", texts, None)
    shard(tmp_path / "p" / "test.parquet", [text.lower() for text in texts], None, "string", 100)
    make_official(tmp_path / "o", test_class="acura_rl_sedan_2012")
    for root in ("p", "o"):
        found = layouts.find(tmp_path / root)
        assert splits(found) == {"train": 60, "test": 60}
        assert found.class_names == CLASSES
    assert {each.label for each in found.photographs if each.split == "test"} == {0}
    assert labels_are_right(layouts.find(tmp_path / "p"))


@pytest.mark.parametrize("labels", ["no labels", "no pictures"])
def test_parquet_files_that_lack_a_column(labels, tmp_path):
    shard(tmp_path / "train.parquet", [0] * 9, key="labels" if labels == "no labels" else "label")
    if labels == "no pictures":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"label": [0], "vector": [1.0]}), tmp_path / "features.parquet")
        assert len(layouts.find(tmp_path).photographs) == 9
        (tmp_path / "train.parquet").unlink()
    columns = "without the columns image and label, with " + (
        "label, v" if labels == "no pictures" else "image, labels"
    )
    with pytest.raises(ConfigError, match=columns):
        layouts.find(tmp_path)


def test_a_file_that_lists_classes_lists_its_own(tmp_path):
    turned = [CLASSES[2].lower(), CLASSES[0].replace(" ", "_"), CLASSES[1]]
    shard(tmp_path / "p" / "train-0.parquet", [index % 3 for index in range(60)])
    shard(tmp_path / "p" / "train-1.parquet", [(index + 1) % 3 for index in range(60)], turned, start=60)
    make_official(tmp_path / "o", test_names=turned)
    make_prepared(tmp_path / "t", names=CLASSES[::-1])
    for root, count in (("p", {"train": 120}), ("o", {"train": 60, "test": 60}), ("t", {"train": 60, "test": 60})):
        found = layouts.find(tmp_path / root)
        assert splits(found) == count
        assert labels_are_right(found)
        assert found.class_names == (CLASSES[::-1] if root == "t" else CLASSES)
    shard(tmp_path / "p" / "train-2.parquet", [0], None)
    with pytest.raises(
        ConfigError, match=r"train-2.parquet' lists no classes, and other files list them in unlike orders"
    ):
        layouts.find(tmp_path / "p")


def test_what_lists_no_classes_is_counted_as_the_others_are(tmp_path):
    shard(tmp_path / "test.parquet", [index % 3 for index in range(60)], None, start=100)
    shard(tmp_path / "train.parquet", [index % 3 for index in range(60)])
    assert labels_are_right(layouts.find(tmp_path))


TESTS = (
    "test Test TESTING testing_data cars_test car-test stanford_cars_test testset test_images TestSet test2 tst eval"
)
TRAINS = (
    "train Train TRAINING training_data cars_train trainset val valid Validation dev trainval train_val valid_images"
)
NEITHER = [
    "train_test_split",
    "latest",
    "contest",
    "Ferrari Testarossa 1990",
    "value",
    "valley",
    "devkit",
    "cars",
    "2012",
]


@pytest.mark.parametrize(
    ("split", "names"), [("test", TESTS.split()), ("train", TRAINS.split()), (None, [*NEITHER, *CLASSES])]
)
def test_what_split_a_name_is_of(split, names):
    assert {name: layouts.split_of(name) for name in names} == dict.fromkeys(names, split)


@pytest.mark.parametrize("name", ["testing_data", "cars_test", "TEST", "Test Set", "data/test/images"])
def test_test_photographs_by_any_spelling(name, tmp_path):
    parent = name.removesuffix("/images")
    make_folders(tmp_path / "f", "{split}/{name}")
    (tmp_path / "f" / parent).parent.mkdir(exist_ok=True)
    (tmp_path / "f" / "test").rename(tmp_path / "f" / parent)
    make_parquet(tmp_path / "p", test=f"{name}/0000.parquet")
    make_parquet(tmp_path / "q", test=f"data/cars_{name.replace('/', '-')}.parquet")
    for root in "fpq":
        found = layouts.find(tmp_path / root)
        assert splits(found) == {"train": 60, "test": 60}
        assert labels_are_right(found)


@pytest.mark.parametrize(
    ("form", "outcomes"),
    [
        ("{name}/{split}", {}),
        ("{split}/Some make/{name}", {}),
        ("{split}/{name}/extra/val", {}),
        ("{split}/{slash}", {}),
        ("{slash}/{split}", {}),
        ("all/{slash}/front", {}),
    ],
)
def test_classes_are_folders_called_like_them(form, outcomes, tmp_path):
    make_folders(tmp_path / "cars", form)
    found = layouts.find(tmp_path / "cars")
    assert len(found.class_names) == 3
    assert labels_are_right(found)
    assert found.outcomes == outcomes
    expected = {"train": 120} if "{split}" not in form or "val" in form else {"train": 60, "test": 60}
    assert splits(found) == expected
    assert data.group_classes(found.class_names, "body")[0] == ["coupe", "sedan", "van"]


def test_folders_that_hold_no_photographs(tmp_path):
    make_folders(tmp_path, "{split}/{name}")
    for name in "@eaDir .thumbnails __MACOSX .ipynb_checkpoints Thumbnails @__thumb $RECYCLE.BIN".split():
        for place in (tmp_path, tmp_path / "train", tmp_path / "train" / CLASSES[0]):
            photograph(place / name / "one.jpg" / "small.jpg", 0, 0)
    photograph(tmp_path / "train" / "stray.jpg", 0, 0)
    photograph(tmp_path / "stray.jpg", 0, 0)
    photograph(tmp_path / "more" / "stray.jpg", 0, 0)
    found = layouts.find(tmp_path)
    assert splits(found) == {"train": 60, "test": 60}
    assert len(found.class_names) == 3
    assert found.outcomes == {"train photographs without a label": 1, "photographs outside train/ and test/": 2}


def test_pictures_with_any_ending(tmp_path, capsys):
    make_folders(tmp_path, "{split}/{name}")
    folder = tmp_path / "train" / CLASSES[0]
    for index, ending in enumerate("JPG jpeg JPE jfif png webp bmp gif tif TIFF".split()):
        Image.new("RGB", (40, 30), (250, 10 * index, 60)).save(folder / f"x.{ending}")
    Image.new("RGB", (40, 30), (250, 0, 60)).save(folder / "x.ppm")
    photograph(tmp_path / "train" / "0.jpg", 0, 0)
    cars = data.load_dataset("stanford_cars", tmp_path, "model", 67)
    assert sum(cars.counts.values()) == 130
    assert cars.refused == [f"train/{CLASSES[0]}/x.ppm: not an image"]
    assert cars.outcomes["train photographs without a label"] == 1
    assert "3 classes; left out: 1 train photographs without a label\n" in capsys.readouterr().out
    photograph(tmp_path / "train" / "1.jpg", 1, 0)
    again = data.load_dataset("stanford_cars", tmp_path, "model", 67)  # not what was counted for the other folder
    assert again.outcomes["train photographs without a label"] == 2


@pytest.mark.parametrize(
    ("form", "matched"),
    [
        ("{:05}.JPG", True),
        ("{:05}.jpeg", True),
        ("{:06}.jpg", True),
        ("{}.webp", True),
        ("{:05} (1).jpg", True),
        ("IMG_{}.jpg", False),
    ],
)
def test_photographs_that_are_called_otherwise_than_in_their_annotations(form, matched, tmp_path):
    make_official(tmp_path)
    for index in range(3 * COUNT):
        (tmp_path / "cars_train" / f"{index:05}.jpg").rename(tmp_path / "cars_train" / form.format(index))
    photograph(tmp_path / "cars_test" / "3.jpg", 250, 0)  # beside 00003.jpg, which is it
    if matched:
        found = layouts.find(tmp_path)
        assert splits(found) == {"train": 60, "test": 60}
        assert labels_are_right(found)
        assert found.outcomes == {"files without annotation": 1}
    else:
        with pytest.raises(ConfigError, match=r"cars_train_annos.mat' names not one of the photographs in"):
            layouts.find(tmp_path)


@pytest.mark.parametrize("copy", ["{} (1).mat", "{}(2).mat", "{} - Copy.mat", "Copy of {}.MAT"])
def test_annotations_that_a_browser_has_renamed(copy, tmp_path):
    make_official(tmp_path, images="Cars_{}")
    for path in (tmp_path / "devkit").iterdir():
        path.rename(tmp_path / copy.format(path.stem))
    mat(tmp_path / "devkit" / "cars_test_annos.mat", [{"fname": "00000.jpg"}])
    mat(tmp_path / "unrelated.mat", class_names=["cat"])
    found = layouts.find(tmp_path)
    assert splits(found) == {"train": 60, "test": 60}
    assert labels_are_right(found)


def test_annotations_without_a_box(tmp_path):
    make_official(tmp_path)
    rows = [annotation(f"{index:05}.jpg", index % 3) for index in range(3)]
    rows[0]["bbox_x1"], rows[1]["bbox_y2"] = np.zeros((0, 0)), NAN
    mat(tmp_path / "devkit" / "cars_train_annos.mat", rows)
    assert [each.box for each in layouts.find(tmp_path).photographs][:3] == [None, None, (10, 5, 30, 25)]
    del rows[0]["fname"], rows[1]["fname"], rows[2]["fname"]
    mat(tmp_path / "devkit" / "cars_train_annos.mat", rows)
    with pytest.raises(ConfigError, match="names not one of the photographs"):
        layouts.find(tmp_path)
    savemat(tmp_path / "devkit" / "cars_train_annos.mat", {"annotations": np.ones(3)})
    with pytest.raises(ConfigError, match="is not the MATLAB file that it should be"):
        layouts.find(tmp_path)
    savemat(tmp_path / "devkit" / "cars_train_annos.mat", {"other": np.ones(3)})
    with pytest.raises(ConfigError, match=r"cars_train_annos\.mat' has neither annotations nor class_names"):
        layouts.find(tmp_path)


def test_annotations_beside_class_folders_are_passed_over(tmp_path):
    make_folders(tmp_path, "{split}/{name}")
    mat(tmp_path / "devkit" / "cars_train_annos.mat", [annotation("00001.jpg", 0)])
    assert splits(layouts.find(tmp_path)) == {"train": 60, "test": 60}


@pytest.mark.parametrize(
    "spell",
    [
        str.lower,
        str.upper,
        lambda name: name.replace(" ", "_").replace("/", "-"),
        lambda name: name.replace("C/V", "CV"),
        lambda name: name.replace("C/V", "C_V"),
        lambda name: name.replace(" ", "").replace("/", ":"),
        lambda name: f"0190 {name}",
        lambda name: f"12.{name.replace(' ', '-')}",
    ],
)
def test_class_names_as_people_write_them(spell):
    names = [*map(spell, CLASSES), "stray folder"]
    groups, index = data.group_classes(names, "body")
    assert groups == ["coupe", "sedan", "van"]
    assert index.tolist() == [1, 0, 2, -1]
    with pytest.raises(
        ConfigError, match=r"needs the class names of Stanford Cars; 'a' is none of them \(2 of 3 unknown\)"
    ):
        data.group_classes(["a", "b", names[0]], "make")


def test_every_official_name_is_its_own():
    assert len({layouts.official_name(name) for name in layouts.official_classes().class_name}) == 196


def test_a_stray_folder_does_not_stop_the_others(tmp_path):
    make_folders(tmp_path, "{split}/{name}")
    for index in range(9):
        photograph(tmp_path / "train" / "New folder" / f"{index}.jpg", 200 + index, 0)
    cars = data.load_dataset("stanford_cars", tmp_path, "body", 67)
    assert cars.class_names == ["coupe", "sedan", "van"]
    assert cars.counts == {"train": 54, "validation": 6, "test": 60}
    assert cars.outcomes["of classes that are none of Stanford Cars"] == 9
    for split in (cars.train, cars.test):
        assert (split.images[:, 37, 37].argmax(axis=1) == np.take([1, 0, 2], split.labels)).all()
        assert not any("New folder" in file for file in split.files)
    assert sum(data.load_dataset("stanford_cars", tmp_path, "model", 67).counts.values()) == 129


def test_a_snapshot_of_hugging_face_consists_of_links(tmp_path):
    data_folder = tmp_path / "hub" / "datasets--someone--cars" / "snapshots" / "3f0c" / "data"
    make_parquet(tmp_path / "made")
    data_folder.mkdir(parents=True)
    (data_folder.parents[2] / "blobs").mkdir()
    for index, path in enumerate(sorted((tmp_path / "made" / "data").iterdir())):
        path.rename(data_folder.parents[2] / "blobs" / f"{index}")
        (data_folder / path.name).symlink_to(f"../../../blobs/{index}")
    (data_folder / "test-2.parquet").symlink_to("/etc/hostname")
    for root in (data_folder, data_folder.parent):
        found = layouts.find(root)
        assert splits(found) == {"train": 60, "test": 60}
        assert found.outcomes == {"links that lead out of the folder": 1}


@pytest.mark.parametrize("text", ['{"name": "cars196", "versi', "[1]", "", "\0"])
def test_metadata_that_are_cut_short(text, tmp_path):
    here = tmp_path / "cars196" / "2.1.0"
    here.mkdir(parents=True)
    (here / "features.json").write_text("{}")
    (here / "dataset_info.json").write_text(text)
    with pytest.raises(ConfigError, match=r"dataset_info.json' is damaged, or cut short: [^\n]+$"):
        layouts.find(tmp_path)


def test_prepared_files_that_are_damaged(tmp_path):
    builder = make_prepared(tmp_path / "tfds")
    for path in sorted(builder.data_path.glob("*array_record*")):
        path.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"2\.1\.0' is damaged: "):
        layouts.find(tmp_path / "tfds")


def test_a_group_of_rows_that_is_damaged_is_refused_and_counted(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    make_parquet(tmp_path)
    read = pq.ParquetFile.read_row_group

    def damaged(file, group, columns):
        if group == 0 and "image" in columns:
            raise pa.ArrowInvalid("Couldn't deserialize thrift")
        return read(file, group, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", damaged)
    cars = data.load_dataset("stanford_cars", tmp_path, "model", 67)
    assert cars.outcomes["refused: cannot be read"] == 14
    assert sum(cars.counts.values()) == 106


ODD = ["two words", "it's", 'say "cars"', "#2", "2024: cars", "{full}", "$HOME", "ü 🚗", "100%20", "a;b&c", "new\nline"]


@pytest.mark.parametrize("maker", ["torchvision", "folders", "Parquet", "prepared"])
def test_folders_with_any_name(maker, tmp_path, project, monkeypatch):
    root = tmp_path.joinpath(*ODD)
    monkeypatch.setattr(config, "PROJECT", tmp_path / ODD[0] / ODD[7] / ODD[5])
    MAKERS[maker][0](root)
    cars = data.load_dataset("stanford_cars", root, "body", 67)
    assert cars.counts == {"train": 54, "validation": 6, "test": 60}
    data.save(root / "all #1.npz", "stanford_cars", root, 67)
    assert data.load_dataset("stanford_cars", root / "all #1.npz", "body", 67).digest == cars.digest
    (root / "nothing").mkdir()
    with pytest.raises(ConfigError, match=r"^[^\n]+$"):
        layouts.find(root / "nothing")


def test_classes_with_any_name_are_text_in_one_line(tmp_path, capsys):
    names = [*ODD[:-1], "a\x1b[31mb", "new\nline", "line\u2028end"]
    for number, name in enumerate(names):
        for index in range(3):
            photograph(tmp_path / "cars" / name / f"{index}\n.jpg", 10 * number + index, 0)
    photograph(tmp_path / "cars" / names[0] / "x\n\x1b[2J.jpg", 200, 0)
    (tmp_path / "cars" / names[0] / "x\n\x1b[2J.jpg").write_bytes(b"")
    cars = data.load_dataset("stanford_cars", tmp_path / "cars", "model", 67, split_seed=0)
    assert len(cars.class_names) == len(names)
    texts = [*cars.class_names, *cars.train.files, *cars.refused, *capsys.readouterr().out.splitlines()]
    assert all(text.isprintable() for text in texts)
    assert "new\\nline" in cars.class_names
    with pytest.raises(ConfigError, match=r"^[^\n\x1b]+$"):
        data.load_dataset("stanford_cars", tmp_path / "cars", "body", 67)


def zipped(path, *members, **options):
    """A .zip of members: (name, content)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)


def test_an_archive_made_by_windows(tmp_path):
    make_folders(tmp_path / "cars", "{split}/{name}")
    files = [path for path in sorted((tmp_path / "cars").rglob("*.jpg"))]
    names = [str(path.relative_to(tmp_path / "cars")).replace("/", "\\") for path in files]
    zipped(tmp_path / "cars.zip", ("train\\", b""), *zip(names, map(Path.read_bytes, files), strict=True))
    found = layouts.find(tmp_path / "cars.zip")
    assert splits(found) == {"train": 60, "test": 60}
    assert labels_are_right(found)


@pytest.mark.parametrize("form", ["zip", "tgz"])
@pytest.mark.parametrize("limit", ["HARMLESS", "LARGEST", "MEMBERS"])
def test_an_archive_beyond_the_limits_is_refused_and_leaves_nothing(limit, form, tmp_path, project, monkeypatch):
    if form == "zip":
        zipped(tmp_path / "bomb.zip", ("a/0.jpg", bytes(300_000)), ("a/1.jpg", b""), ("a/2.jpg", b""))
    else:
        (tmp_path / "a").mkdir()
        for index, size in enumerate((300_000, 0)):
            (tmp_path / "a" / f"{index}.jpg").write_bytes(bytes(size))
        with tarfile.open(tmp_path / "bomb.tgz", "w:gz") as archive:
            archive.add(tmp_path / "a", "a")
    assert archives.HARMLESS < archives.LARGEST
    monkeypatch.setattr(archives, limit, 2 if limit == "MEMBERS" else 10_000)
    with pytest.raises(
        ConfigError, match=r"bomb.*' is not safe: (it has more than 2 members|its [\d,]+ bytes hold more)"
    ):
        layouts.find(tmp_path / f"bomb.{form}")
    assert not list((project / "data" / "raw").iterdir())


@pytest.mark.parametrize("name", ["text.txt", "train/a.jpg", "\x1b[31m\n.txt"])
def test_an_archive_without_photographs_leaves_nothing(name, tmp_path, project, capsys):
    zipped(tmp_path / "new\nline.zip", (name, b"not a photograph"))
    with pytest.raises(ConfigError, match=r"^[^\n\x1b]+$"):
        layouts.find(tmp_path / "new\nline.zip")
    assert not list((project / "data" / "raw").iterdir())
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_where_nothing_can_be_unpacked_one_line_says_so(tmp_path, project):
    zipped(tmp_path / "cars.zip", ("a/0.jpg", b""))
    project.mkdir()
    (project / "data").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"cannot unpack into '.*raw': .*(Not a directory|File exists)"):
        layouts.find(tmp_path / "cars.zip")
