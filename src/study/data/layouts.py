"""Stanford Cars as people have it: `find` recognises a folder or an archive, and lists its photographs.

A layout is a function from a `Folder`, and a Counter for what is left out, to a `Collection`, or None if the folder is
not of that layout; `LAYOUTS` has them in the order in which they are tried. The official annotations are MATLAB files:
classes are counted from 1, boxes are pixels counted from 1, both ends included.
"""

import csv
import functools
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from study.config import ConfigError
from study.data.archives import Folder, is_archive, is_image, unpack
from study.data.photographs import Photograph

SPLITS = {"train": "train", "test": "test", "val": "train", "valid": "train", "validation": "train"}  # by their name
TEST_ANNOTATIONS = "cars_test_annos_withlabels.mat", "cars_test_annos_withlabels_eval.mat", "cars_test_annos.mat"
KNOWN = """what is known: cars_train/ and cars_test/ with their .mat files (also nested, also flat); car_ims/ with \
cars_annos.mat; train/<class>/*.jpg and test/<class>/*.jpg, or <class>/*.jpg; *.parquet; a cars196 prepared by TFDS; \
archives of these"""


@dataclass(frozen=True)
class Collection:
    """The photographs of one folder."""

    layout: str  # in words
    class_names: list
    photographs: list
    outcomes: Counter  # {what: how many} of what was left out already


def find(source):
    """Recognise a folder or an archive of Stanford Cars.

    Raises:
        ConfigError: it does not exist, is none of the layouts, or is one that cannot be read here; one line.
    """
    source = Path(source)
    if not source.exists():
        raise ConfigError(f"data_dir {str(source)!r} does not exist")
    if source.is_file():
        if not is_archive(source):
            raise ConfigError(f"data_dir {str(source)!r} is neither a folder nor a .zip, .tar, .tgz or .tar.gz")
        source = unpack([source], source.parent)
    folder = Folder(source)
    archives = sorted(path for path in folder.files.values() if is_archive(path))
    try:
        collection = _recognise(folder)
        if not archives or not collection.outcomes["annotations without a file"]:
            return collection
    except ConfigError:
        if not archives:
            raise
    folder.add(unpack(archives, folder.root))  # only now: many people keep the archives beside what was in them
    return _recognise(folder)


def _recognise(folder):
    for layout in LAYOUTS:
        collection = layout(folder, Counter(folder.outcomes))
        if collection and collection.photographs:
            count = len(collection.class_names)
            for each in collection.photographs:
                if not 0 <= each.label < count:
                    raise ConfigError(f"{each.name}: class {each.label} is none of the {count} classes")
            return collection
    left_out = "".join(f" ({count} {what})" for what, count in (+folder.outcomes).items())
    raise ConfigError(f"no photographs found in {str(folder.root)!r}{left_out}; {KNOWN}")


def split_of(*names):
    """Which split the first of these names that begins like one stands for: "train", "test", or None."""
    found = (re.match(rf"({'|'.join(SPLITS)})(?![a-z])", name.lower()) for name in names)
    return next((SPLITS[each[1]] for each in found if each), None)


def official(folder, outcomes):
    """The official annotations: of `cars_train/` and `cars_test/`, as torchvision's or Kaggle's, in `devkit/` or beside;
    or `cars_annos.mat` of `car_ims/`."""
    train, merged = folder.named("cars_train_annos.mat"), folder.named("cars_annos.mat")
    if train:
        parts = {"cars_train": train, "cars_test": folder.named(*TEST_ANNOTATIONS)}
        meta, words = folder.named("cars_meta.mat"), ["cars_train/ and cars_test/"]
        if not folder.images("cars_train"):
            raise ConfigError(f"{str(folder.root)!r} has annotations ({train.name}) but no photographs in cars_train/")
        if any("cars_train/cars_train/" in name for name in folder.files):
            words[0] = f"nested {words[0]}"
        if train.parent.name != "devkit":
            words += [".mat files beside"]
    elif merged and folder.images("car_ims"):
        parts, meta, words = {"car_ims": merged}, merged, ["car_ims/ with cars_annos.mat"]
    else:
        return None
    photographs = []
    for images, annotations in parts.items():
        files = folder.images(images)
        for each in _matlab(annotations, "annotations") if annotations else []:
            name, path = files.pop(Path(each.get("fname") or each["relative_im_path"]).name, (None, None))
            if path is None:
                outcomes["annotations without a file"] += 1
            elif "class" not in each:
                outcomes["test photographs without a label"] += 1
            else:
                left, top, right, bottom = (int(each[f"bbox_{side}"]) for side in ("x1", "y1", "x2", "y2"))
                label, box = int(each["class"]) - 1, (left - 1, top - 1, right, bottom)
                split = "test" if each.get("test", images == "cars_test") else "train"
                photographs.append(Photograph(name, label, split, path.read_bytes, box, size=path.stat().st_size))
        outcomes["files without annotation"] += len(files)
    labels = "official test labels" if any(each.split == "test" for each in photographs) else "no test labels"
    class_names = _matlab(meta, "class_names") if meta else list(official_classes())
    return Collection(", ".join([*words, "official annotations", labels]), class_names, photographs, outcomes)


def _matlab(path, name):
    """A variable of a MATLAB file: a list of str or of dicts."""
    from scipy.io import loadmat

    try:
        value = loadmat(path, simplify_cells=True)[name]
    except Exception as error:  # a cut file raises anything
        raise ConfigError(f"{str(path)!r} is not the MATLAB file that it should be: {error!r}") from None
    return [value] if isinstance(value, dict | str) else list(value)


def parquet(folder, outcomes):
    """Parquet shards as on Hugging Face: columns `image` (its bytes) and `label`; the split is the beginning of the
    file's name, or its folder. If any shard is of a split, those of none are left out."""
    shards = {name: path for name, path in folder.files.items() if path.suffix == ".parquet"}
    if not shards:
        return None
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    splits = {name: split_of(path.name, path.parent.name) for name, path in shards.items()}
    photographs, class_names = [], None
    for name, path in shards.items():
        if splits[name] is None and any(splits.values()):
            outcomes["Parquet files of another split"] += 1
            continue
        try:
            file = pq.ParquetFile(path)
            found, about = file.schema_arrow.names, file.schema_arrow.metadata or {}
            if not {"image", "label"} <= set(found):
                raise ConfigError(f"{str(path)!r} needs the columns image and label; it has {', '.join(found)}")
            groups = [file.read_row_group(each, ["label"])["label"] for each in range(file.num_row_groups)]
        except (ArrowException, OSError) as error:
            raise ConfigError(f"{str(path)!r} is not a Parquet file, or is damaged: {error}") from None
        about = json.loads(about.get(b"huggingface", b"{}"))
        names = about.get("info", {}).get("features", {}).get("label", {}).get("names")
        class_names = class_names or names or list(official_classes())
        rows = [(group, row) for group, labels in enumerate(groups) for row in range(len(labels))]
        for number, (group, row) in enumerate(rows):
            label, read = groups[group][row].as_py(), functools.partial(_image, file, group, row)
            # Padded, so that the order of the names is that of the rows, and a group of rows is read once.
            each = f"{name}/{number:06}"
            photographs.append(Photograph(each, label, splits[name] or "train", read, size=path.stat().st_size))
    return Collection("Parquet shards", class_names, photographs, outcomes)


def _image(file, group, row, lock=threading.Lock()):
    """The bytes of an image in a Parquet file; one thread at a time, so that each group of rows is read once."""
    with lock:
        image = _images(file, group)[row].as_py()
    return (image["bytes"] if isinstance(image, dict) else image) or b""


@functools.lru_cache(2)
def _images(file, group):
    """The images of one group of rows of a Parquet file; two groups are in memory at a time."""
    return file.read_row_group(group, ["image"])["image"]


def prepared(folder, outcomes):
    """A `cars196` that TFDS has prepared, in array_record form; of several versions the newest."""
    abouts = {}
    for path in folder.files.values():
        if path.name == "dataset_info.json" and (path.parent / "features.json").is_file():
            about = json.loads(path.read_text())
            if about.get("name") == "cars196":
                version = tuple(map(int, re.findall(r"\d+", about.get("version", "0"))))
                abouts[version, path.parent] = about
    if not abouts:
        return None
    (_, here), about = max(abouts.items(), key=lambda item: item[0])
    if (form := about.get("fileFormat", "tfrecord")) != "array_record":
        raise ConfigError(
            f"{str(here)!r} was prepared as {form}, which only TensorFlow reads; where TensorFlow is installed, run: "
            f"tfds convert_format --dataset_dir={here} --out_file_format=array_record --out_path=NEW_FOLDER"
        )
    import tensorflow_datasets as tfds  # here: it takes seconds, and the other layouts do without

    builder, photographs = tfds.builder_from_directory(here), []
    for split in builder.info.splits:
        source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        for index, each in enumerate(source):
            box = each.get("bbox")
            if box is not None:  # ymin, xmin, ymax, xmax
                box = tuple(float(box[side]) for side in (1, 0, 3, 2))
            read = functools.partial(lambda source, index: source[index]["image"], source, index)
            about = f"{split}/{index}", int(each["label"]), split_of(split) or "train", read
            photographs.append(Photograph(*about, box, fractions=True, size=len(each["image"])))
    words, class_names = f"{builder.info.full_name}, prepared by TFDS", builder.info.features["label"].names
    return Collection(words, class_names, photographs, outcomes)


def class_folders(folder, outcomes):
    """`{train,test}/<class>/*.jpg`, or `<class>/*.jpg` alone; folders inside a class's belong to it."""
    found = []  # split or None, class, name, path
    for name, path in folder.files.items():
        if is_image(path) and len(parts := Path(name).parts) >= 2:
            at = [index for index, part in enumerate(parts[:-2]) if split_of(part)]
            split, class_name = (split_of(parts[at[-1]]), parts[at[-1] + 1]) if at else (None, parts[-2])
            found.append((split, class_name.encode("utf-8", "backslashreplace").decode(), name, path))
    bare = f"{str(folder.root)!r} has photographs in {{}} but "
    if folders := sorted({each[1] for each in found} & {"cars_train", "cars_test", "car_ims"}):
        raise ConfigError(
            f"{bare.format(', '.join(folders))}not their annotations: cars_train_annos.mat in devkit/ or beside "
            "(for car_ims: cars_annos.mat)"
        )
    splits = {each[0] for each in found} - {None}
    if splits:
        outcomes["pictures outside train/ and test/"] = sum(not each[0] for each in found)
        found = [each for each in found if each[0]]
    class_names = sorted({each[1] for each in found})
    if folders := list(filter(split_of, class_names)):
        raise ConfigError(f"{bare.format(', '.join(folders))}no folder for each class inside")
    photographs = [
        Photograph(name, class_names.index(class_name), split or "train", path.read_bytes, size=path.stat().st_size)
        for split, class_name, name, path in found
    ]
    form = "{train,test}/" if len(splits) == 2 else "".join(f"{split}/" for split in splits)
    return Collection(f"class folders, {form}<class>/*.jpg", class_names, photographs, outcomes)


LAYOUTS = (prepared, official, parquet, class_folders)


def official_classes():
    """The 196 classes in their official order: {name: {"make": ..., "body_style": ...}}."""
    with open(Path(__file__).with_name("classes.csv"), newline="") as file:
        return {row["class_name"]: row for row in csv.DictReader(file)}


def group_classes(class_names, label):
    """The names of the coarser classes, sorted, and the index among them of each of `class_names`. -> list, (C,) int"""
    table = {name.replace("/", "-"): row for name, row in official_classes().items()}
    class_names = [name.replace("/", "-") for name in class_names]  # as folders must: "Ram C/V Cargo Van Minivan 2012"
    unknown = [name for name in class_names if name not in table]
    if unknown:
        raise ConfigError(
            f"label {label!r} needs the class names of Stanford Cars; {unknown[0]!r} is none of them "
            f"({len(unknown)} of {len(class_names)} unknown); label 'model' takes the folders as they are"
        )
    column = {"make": "make", "body": "body_style"}[label]
    names, mapping = np.unique([table[name][column] for name in class_names], return_inverse=True)
    return names.tolist(), mapping
