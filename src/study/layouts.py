"""Stanford Cars as people have it: `find` recognises a folder or an archive, and lists its photographs.

A layout is a function from a folder to a `Collection`, or None if the folder is not of that layout; `LAYOUTS` has them
in the order in which they are tried. The official annotations are MATLAB files: classes are counted from 1, boxes are
pixels counted from 1, both ends included.
"""

import functools
import json
import re
import threading
from collections import Counter
from pathlib import Path

import numpy as np

from study.archives import is_archive, unpack
from study.collection import Collection, Folder, Photograph, checked_class, is_image, official_classes
from study.config import ConfigError

SPLITS = {"train": "train", "test": "test", "val": "train", "valid": "train", "validation": "train"}  # by their name
KNOWN = """what is known: cars_train/ and cars_test/ with their .mat files (also nested, also flat); car_ims/ with \
cars_annos.mat; train/<class>/*.jpg and test/<class>/*.jpg, or <class>/*.jpg; *.parquet; a cars196 prepared by TFDS; \
archives of these"""


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
        return find(unpack([source]))
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
        collection = layout(folder)
        if collection and collection.photographs:
            return collection
    left_out = "".join(f" ({count} {what})" for what, count in folder.outcomes.items())
    raise ConfigError(f"no photographs found in {str(folder.root)!r}{left_out}; {KNOWN}")


def official(folder):
    """`cars_train/` and `cars_test/`, as torchvision's or Kaggle's, the annotations in `devkit/` or beside."""
    train = folder.named("cars_train_annos.mat")
    if not train:
        return None
    test = folder.named("cars_test_annos_withlabels.mat", "cars_test_annos_withlabels_eval.mat", "cars_test_annos.mat")
    meta = folder.named("cars_meta.mat")
    class_names = _matlab(meta, "class_names") if meta else list(official_classes())
    outcomes, photographs = Counter(folder.outcomes), []
    for split, path in (("train", train), ("test", test)):
        images = folder.images(f"cars_{split}")
        if not images and split == "train":
            raise ConfigError(f"{str(folder.root)!r} has annotations ({train.name}) but no photographs in cars_train/")
        annotations = _matlab(path, "annotations") if path else []
        photographs += _annotated(annotations, images, "fname", lambda _, split=split: split, class_names, outcomes)
    nested = "nested " if any("cars_train/cars_train/" in name for name in folder.files) else ""
    flat = "" if train.parent.name == "devkit" else ", .mat files beside"
    labels = "official test labels" if any(p.split == "test" for p in photographs) else "no test labels"
    layout = f"{nested}cars_train/ and cars_test/{flat}, official annotations, {labels}"
    return Collection(layout, class_names, photographs, outcomes)


def merged(folder):
    """`car_ims/` and `cars_annos.mat`."""
    path, images = folder.named("cars_annos.mat"), folder.images("car_ims")
    if not path or not images:
        return None
    class_names, outcomes = _matlab(path, "class_names"), Counter(folder.outcomes)
    annotations = _matlab(path, "annotations")

    def split(annotation):
        return "test" if annotation["test"] else "train"

    photographs = _annotated(annotations, images, "relative_im_path", split, class_names, outcomes)
    return Collection("car_ims/ with cars_annos.mat, official annotations", class_names, photographs, outcomes)


def parquet(folder):
    """Parquet shards as on Hugging Face: columns `image` (its bytes) and `label`; the split is the beginning of the
    file's name, or its folder. If any shard is of a split, those of none are left out."""
    shards = {name: path for name, path in folder.files.items() if path.suffix == ".parquet"}
    if not shards:
        return None
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    splits = {name: _split_of_shard(path) for name, path in shards.items()}
    photographs, class_names, outcomes = [], None, Counter(folder.outcomes)
    for name, path in shards.items():
        if splits[name] is None and any(splits.values()):
            outcomes["Parquet files of another split"] += 1
            continue
        try:
            shard = _Shard(path)
            found, about = shard.file.schema_arrow.names, shard.file.schema_arrow.metadata or {}
            if not {"image", "label"} <= set(found):
                raise ConfigError(f"{str(path)!r} needs the columns image and label; it has {', '.join(found)}")
            labels = pq.read_table(path, columns=["label"])["label"].to_pylist()
        except (ArrowException, OSError) as error:
            raise ConfigError(f"{str(path)!r} is not a Parquet file, or is damaged: {error}") from None
        about = json.loads(about.get(b"huggingface", b"{}"))
        names = about.get("info", {}).get("features", {}).get("label", {}).get("names")
        class_names = class_names or names or list(official_classes())
        split, size = splits[name] or "train", path.stat().st_size
        for row, label in enumerate(labels):
            read = functools.partial(shard.read, row)
            label = checked_class(label, class_names, name)
            photographs.append(Photograph(f"{name}/{row}", label, split, read, size=size))
    return Collection("Parquet shards", class_names, photographs, outcomes)


def _split_of_shard(path):
    """ "train" or "test", or None if neither the file's name nor its folder says."""
    for name in (path.name, path.parent.name):
        if found := re.match(rf"({'|'.join(SPLITS)})(?![a-z])", name.lower()):
            return SPLITS[found[1]]
    return None


class _Shard:
    """A Parquet file of which one group of rows is in memory at a time."""

    def __init__(self, path):
        import pyarrow.parquet as pq

        self.file, self.lock, self.group, self.images = pq.ParquetFile(path), threading.Lock(), None, []
        sizes = [self.file.metadata.row_group(index).num_rows for index in range(self.file.num_row_groups)]
        self.ends = np.cumsum(sizes)

    def read(self, row):
        group = int(np.searchsorted(self.ends, row, side="right"))
        with self.lock:
            if group != self.group:
                self.group = group
                self.images = self.file.read_row_group(group, columns=["image"])["image"]
            image = self.images[row - int(self.ends[group]) + len(self.images)].as_py()
        return (image["bytes"] if isinstance(image, dict) else image) or b""


def prepared(folder):
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
            name, label, size, box = f"{split}/{index}", int(each["label"]), len(each["image"]), each.get("bbox")
            if box is not None:  # ymin, xmin, ymax, xmax
                box = tuple(float(box[side]) for side in (1, 0, 3, 2))
            read = functools.partial(lambda source, index: source[index]["image"], source, index)
            part = SPLITS.get(split, "train")
            photographs.append(Photograph(name, label, part, read, box, fractions=True, size=size))
    layout = f"{builder.info.full_name}, prepared by TFDS"
    return Collection(layout, builder.info.features["label"].names, photographs, Counter(folder.outcomes))


def class_folders(folder):
    """`{train,test}/<class>/*.jpg`, or `<class>/*.jpg` alone; folders inside a class's belong to it."""
    by_class = {}
    for name, path in folder.files.items():
        if is_image(path) and len(parts := Path(name).parts) >= 2:
            at = [index for index, part in enumerate(parts[:-2]) if part.lower() in SPLITS]
            split, class_name = (SPLITS[parts[at[-1]].lower()], parts[at[-1] + 1]) if at else ("", parts[-2])
            class_name = class_name.encode("utf-8", "backslashreplace").decode()
            by_class.setdefault((split, class_name), []).append((name, path))
    if bare := {name for _, name in by_class} & {"cars_train", "cars_test", "car_ims"}:
        raise ConfigError(
            f"{str(folder.root)!r} has photographs in {', '.join(sorted(bare))} but not their annotations: "
            "cars_train_annos.mat in devkit/ or beside (for car_ims: cars_annos.mat)"
        )
    outcomes = Counter(folder.outcomes)
    if any(split for split, _ in by_class):
        outcomes["pictures outside train/ and test/"] = sum(len(files) for key, files in by_class.items() if not key[0])
        by_class = {key: files for key, files in by_class.items() if key[0]}
    if bare := {name for _, name in by_class if name.lower() in SPLITS}:
        raise ConfigError(
            f"{str(folder.root)!r} has photographs in {', '.join(sorted(bare))} but no folder for each class inside"
        )
    class_names, photographs = sorted({name for _, name in by_class}), []
    for (split, name), files in sorted(by_class.items()):
        for each, path in files:
            label, size = class_names.index(name), path.stat().st_size
            photographs.append(Photograph(each, label, split or "train", path.read_bytes, size=size))
    form = sorted({split for split, _ in by_class}, reverse=True)
    form = {"": "", "train": "train/", "test": "test/"}[form[0]] if len(form) == 1 else "{train,test}/"
    return Collection(f"class folders, {form}<class>/*.jpg", class_names, photographs, +outcomes)


LAYOUTS = (prepared, official, merged, parquet, class_folders)


def _matlab(path, name):
    """A variable of a MATLAB file: a list of str or of dicts."""
    from scipy.io import loadmat

    try:
        value = loadmat(path, simplify_cells=True)[name]
    except Exception as error:  # a cut file raises anything
        raise ConfigError(f"{str(path)!r} is not the MATLAB file that it should be: {error!r}") from None
    return [value] if isinstance(value, dict | str) else list(value)


def _annotated(annotations, images, column, split_of, class_names, outcomes):
    """The photographs of a list of annotations; counts what is only on one side."""
    images, photographs = dict(images), []
    for each in annotations:
        name, path = images.pop(Path(each[column]).name, (None, None))
        if path is None:
            outcomes["annotations without a file"] += 1
        elif "class" not in each:
            outcomes["test photographs without a label"] += 1
        else:
            label, size = checked_class(int(each["class"]) - 1, class_names, path.name), path.stat().st_size
            left, top, right, bottom = (int(each[f"bbox_{side}"]) for side in ("x1", "y1", "x2", "y2"))
            box = left - 1, top - 1, right, bottom
            photographs.append(Photograph(name, label, split_of(each), path.read_bytes, box, size=size))
    outcomes["files without annotation"] += len(images)
    return photographs
