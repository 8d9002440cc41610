"""Every layout in which people have Stanford Cars, in tiny made-up copies; and archives of them."""

import json
import shutil
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from study import data
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


def make_official(root, images="cars_{}", devkit="devkit", labels="cars_test_annos_withlabels.mat"):
    for split in ("train", "test"):
        annotations = []
        for index in range(3 * COUNT):
            photograph(
                root / images.format(split, split) / f"{index:05}.jpg", index + 100 * (split == "test"), index % 3
            )
            annotations.append(annotation(f"{index:05}.jpg", index % 3))
        if split == "test" and labels == "cars_test_annos.mat":
            annotations = [{key: value for key, value in each.items() if key != "class"} for each in annotations]
        mat(root / devkit / ("cars_train_annos.mat" if split == "train" else labels), annotations)
    mat(root / devkit / "cars_meta.mat", class_names=CLASSES)


def make_merged(root):
    annotations = []
    for index in range(6 * COUNT):
        photograph(root / "car_ims" / f"{index:06}.jpg", index, index % 3)
        annotations.append(
            annotation(f"car_ims/{index:06}.jpg", index % 3, "relative_im_path", test=int(index >= 3 * COUNT))
        )
    mat(root / "cars_annos.mat", annotations, CLASSES)


def make_folders(root, form):
    for split in ("train", "test"):
        for index in range(3 * COUNT):
            name = CLASSES[index % 3].replace("/", "-")
            photograph(
                root / form.format(split=split, name=name) / f"{split}{index}.jpg",
                index + 100 * (split == "test"),
                index % 3,
            )


def make_parquet(root):
    import pyarrow as pa
    import pyarrow.parquet as pq

    make_folders(root / "tmp", "{split}/{name}")
    info = {
        "info": {"features": {"label": {"names": [name.replace("/", "-") for name in CLASSES], "_type": "ClassLabel"}}}
    }
    for split in ("train", "test"):
        rows = []
        for label, name in enumerate(CLASSES):
            for path in sorted((root / "tmp" / split / name.replace("/", "-")).iterdir()):
                rows.append({"image": {"bytes": path.read_bytes(), "path": path.name}, "label": label})
        table = pa.Table.from_pandas(pd.DataFrame(rows)).replace_schema_metadata({"huggingface": json.dumps(info)})
        (root / "data").mkdir(exist_ok=True)
        pq.write_table(table, root / "data" / f"{split}-00000-of-00001.parquet", row_group_size=7)
    shutil.rmtree(root / "tmp")


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
    with pytest.raises(ConfigError, match="has photographs in test, train but no folder for each class inside"):
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
    assert cars.outcomes["Parquet files of another split"] == 1
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
    import tensorflow_datasets as tfds

    class Cars196(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("2.1.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(names=CLASSES),
                "bbox": tfds.features.BBoxFeature(),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in ("train", "test")}

        def _generate_examples(self, split):
            for index in range(3 * COUNT):
                path = tmp_path / "pictures" / f"{split}{index}.jpg"
                photograph(path, index + 100 * (split == "test"), index % 3)
                box = tfds.features.BBox(ymin=5 / 30, xmin=10 / 40, ymax=25 / 30, xmax=30 / 40)
                yield index, {"image": path.read_bytes(), "label": index % 3, "bbox": box}

    builder = Cars196(data_dir=tmp_path / "tfds", file_format="array_record")
    builder.download_and_prepare()
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


def test_the_same_photograph_with_another_box_is_still_the_same(tmp_path):
    make_official(tmp_path)
    content = (tmp_path / "cars_test" / "00000.jpg").read_bytes()
    (tmp_path / "cars_train" / "00000.jpg").write_bytes(content)
    annotations = [annotation(f"{index:05}.jpg", index % 3) for index in range(3 * COUNT)]
    annotations[0]["bbox_x2"] -= 1
    mat(tmp_path / "devkit" / "cars_train_annos.mat", annotations)
    cars = data.load_dataset("stanford_cars", tmp_path, "model", 67)
    assert cars.counts["test"] == 60
    assert cars.outcomes["refused: the same photograph is in test"] == 1


def test_two_boxes_on_the_same_photograph_are_one_photograph(tmp_path):
    make_official(tmp_path)
    (tmp_path / "cars_train" / "00003.jpg").write_bytes((tmp_path / "cars_train" / "00000.jpg").read_bytes())
    annotations = [annotation(f"{index:05}.jpg", index % 3) for index in range(3 * COUNT)]
    annotations[0]["bbox_x2"] -= 1
    mat(tmp_path / "devkit" / "cars_train_annos.mat", annotations)
    cars = data.load_dataset("stanford_cars", tmp_path, "model", 67)
    assert sum(cars.counts.values()) == 119
    assert cars.outcomes["refused: the same photograph is in train"] == 1
    assert cars.refused == ["cars_train/00003.jpg: the same photograph is in train"]


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
    with pytest.raises(ConfigError, match=r"has photographs in cars_train but not their annotations: cars_train_annos"):
        layouts.find(tmp_path / "lone")
    shutil.rmtree(tmp_path / "lone")
    (tmp_path / "cars_train_annos.mat").write_bytes(b"nonsense")
    with pytest.raises(
        ConfigError, match=r"has annotations \(cars_train_annos.mat\) but no photographs in cars_train/"
    ):
        layouts.find(tmp_path)
    photograph(tmp_path / "cars_train" / "00001.jpg", 0, 0)
    with pytest.raises(ConfigError, match="is not the MATLAB file that it should be"):
        layouts.find(tmp_path)
