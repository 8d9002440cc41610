"""Stanford Cars as people have it: `find` recognises a folder or an archive, and lists its photographs.

A layout is a function from a `Folder`, and a Counter for what it leaves out, to its name in words, the classes' names
and the photographs, of which there are none if the folder is not of that layout.
"""

import functools
import json
import re
import threading
from collections import Counter, namedtuple
from pathlib import Path

import numpy as np
import pandas as pd

from study.config import ConfigError, check
from study.data.archives import ARCHIVES, PICTURES, Folder, unpack
from study.data.photographs import Photograph

SPLITS = {"train": "train", "test": "test", "val": "train", "valid": "train", "validation": "train"}  # by their name
TEST_ANNOTATIONS = "cars_test_annos_withlabels.mat", "cars_test_annos_withlabels_eval.mat", "cars_test_annos.mat"
KNOWN = """what is known: cars_train/ and cars_test/ with their .mat files (also nested, also flat); car_ims/ with \
cars_annos.mat; train/<class>/*.jpg and test/<class>/*.jpg, or <class>/*.jpg; *.parquet; a cars196 prepared by TFDS; \
archives of these"""
ANNOTATION = "class", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"
READING = threading.Lock()  # a Parquet file

# What was found: the layout in words, the classes' names, the photographs, and {what: how many} of what was left out.
Collection = namedtuple("Collection", "layout class_names photographs outcomes")


def find(source):
    """Recognise a folder or an archive of Stanford Cars: a Collection. One line, as ConfigError, if it does not exist,
    is none of the layouts, or is one that cannot be read here."""
    source, name = Path(source), f"data_dir {str(source)!r}"
    check(source.exists(), f"{name} does not exist")
    known = source.is_dir() or source.name.lower().endswith(ARCHIVES)
    check(known, f"{name} is neither a folder nor a .zip, .tar, .tgz or .tar.gz")
    folder = Folder(source if source.is_dir() else unpack([source], source.parent))
    archives = sorted(folder.having(ARCHIVES).values())
    try:
        collection = _recognise(folder)
        if not archives or not collection.outcomes["annotations without a file"]:
            return collection
    except ConfigError:
        if not archives:
            raise
    # Only now: many people keep the archives beside what was in them.
    return _recognise(Folder(folder.root, unpack(archives, folder.root)))


def _recognise(folder):
    for layout in (prepared, official, parquet, class_folders):
        outcomes = Counter(folder.outcomes)
        words, class_names, photographs = layout(folder, outcomes)
        for each in photographs:
            right = 0 <= each.label < len(class_names)
            check(right, f"{each.name}: class {each.label} is none of the {len(class_names)} classes")
        if photographs:
            return Collection(words, class_names, photographs, +outcomes)
    left_out = "".join(f" ({count} {what})" for what, count in (+folder.outcomes).items())
    raise ConfigError(f"no photographs found in {str(folder.root)!r}{left_out}; {KNOWN}")


def split_of(name):
    """Which split a folder of that name holds: "train", "test", or None."""
    return SPLITS.get(name.lower())


def prepared(folder, outcomes):
    """A `cars196` that TFDS has prepared, in array_record form; of several versions the newest."""
    infos = [path for path in folder.having("dataset_info.json").values() if path.with_name("features.json").is_file()]
    abouts = {path.parent: json.loads(path.read_text()) for path in infos}
    found = {here: about for here, about in abouts.items() if about.get("name") == "cars196"}
    if not found:
        return "", [], []
    here = max(found, key=lambda each: [int(part) for part in re.findall(r"\d+", found[each].get("version", "0"))])
    form = found[here].get("fileFormat", "tfrecord")
    command = f"tfds convert_format --dataset_dir={here} --out_file_format=array_record --out_path=NEW_FOLDER"
    advice = f"which only TensorFlow reads; where TensorFlow is installed, run: {command}"
    check(form == "array_record", f"{str(here)!r} was prepared as {form}, {advice}")
    import tensorflow_datasets as tfds  # here: it takes seconds, and the other layouts do without

    builder, photographs = tfds.builder_from_directory(here), []
    for split in builder.info.splits:
        source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        for index, each in enumerate(source):
            read = functools.partial(lambda source, index: source[index]["image"], source, index)
            box = tuple(np.take(each["bbox"], (1, 0, 3, 2)).tolist()) if "bbox" in each else None  # of ymin, xmin, ...
            about = f"{split}/{index}", int(each["label"]), split_of(split) or "train", read, len(each["image"]), box
            photographs.append(Photograph(*about))
    return f"{builder.info.full_name}, prepared by TFDS", builder.info.features["label"].names, photographs


def official(folder, outcomes):
    """Photographs with the official annotations: `cars_train/` and `cars_test/`, as torchvision's or Kaggle's, with the
    annotations in `devkit/` or beside; or `car_ims/` with `cars_annos.mat`. These are MATLAB files: classes are counted
    from 1, boxes are pixels counted from 1, both ends included."""
    by_depth = sorted(folder.having(".mat").items(), key=lambda item: (item[0].count("/"), item[0]), reverse=True)
    named = {path.name: path for _, path in by_depth}  # the least nested one of each name
    train, merged, names = map(named.get, ("cars_train_annos.mat", "cars_annos.mat", "cars_meta.mat"))
    pictures, photographs = folder.having(PICTURES).items(), []
    folders = {path.parent.name for _, path in pictures}
    if train:
        parts = {"cars_train": train, "cars_test": next(filter(None, map(named.get, TEST_ANNOTATIONS)), None)}
        nested = "nested " if any("cars_train/cars_train/" in name for name in folder.files) else ""
        flat = "" if train.parent.name == "devkit" else ", .mat files beside"
        words = f"{nested}cars_train/ and cars_test/{flat}"
        found = f"{str(folder.root)!r} has annotations ({train.name})"
        check("cars_train" in folders, f"{found} but no photographs in cars_train/")
    elif merged and "car_ims" in folders:
        parts, names, words = {"car_ims": merged}, merged, "car_ims/ with cars_annos.mat"
    else:
        return "", [], []
    for images, annotations in parts.items():
        files = {path.name: (name, path) for name, path in pictures if path.parent.name == images}
        for each in _matlab(annotations, "annotations") if annotations else []:
            name, path = files.pop(Path(each.get("fname") or each["relative_im_path"]).name, (None, None))
            if path is None:
                outcomes["annotations without a file"] += 1
            elif "class" not in each:
                outcomes["test photographs without a label"] += 1
            else:
                split = "test" if each.get("test", images == "cars_test") else "train"
                label, left, top, *end = (int(each[key]) for key in ANNOTATION)
                box = left - 1, top - 1, *end
                photographs.append(Photograph(name, label - 1, split, path.read_bytes, path.stat().st_size, box))
        outcomes["files without annotation"] += len(files)
    labels = "official test labels" if any(each.split == "test" for each in photographs) else "no test labels"
    class_names = _matlab(names, "class_names") if names else list(official_classes())
    return f"{words}, official annotations, {labels}", class_names, photographs


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
    splits, photographs, class_names = {}, [], None
    for name, path in folder.having(".parquet").items():
        beginnings = [re.match("[A-Za-z]*", each)[0] for each in (path.name, path.parent.name)]
        splits[name] = split_of(beginnings[0]) or split_of(beginnings[1])
    if any(splits.values()):
        outcomes["Parquet files of another split"] = list(splits.values()).count(None)
        splits = {name: split for name, split in splits.items() if split}
    for name, split in splits.items():
        import pyarrow.parquet

        path = folder.files[name]
        try:
            file = pyarrow.parquet.ParquetFile(path)
            found, about = file.schema_arrow.names, file.schema_arrow.metadata or {}
            needed = {"image", "label"} <= set(found)
            check(needed, f"{str(path)!r} needs the columns image and label; it has {', '.join(found)}")
            groups = [file.read_row_group(each, ["label"])["label"].to_pylist() for each in range(file.num_row_groups)]
        except (pyarrow.ArrowException, OSError) as error:
            raise ConfigError(f"{str(path)!r} is not a Parquet file, or is damaged: {error}") from None
        about = json.loads(about.get(b"huggingface", b"{}"))
        names = about.get("info", {}).get("features", {}).get("label", {}).get("names")
        class_names = class_names or names or list(official_classes())
        rows_of = functools.lru_cache(2)(file.read_row_group)  # two groups of rows are in memory at a time
        rows = [(group, row, label) for group, labels in enumerate(groups) for row, label in enumerate(labels)]
        for number, (group, row, label) in enumerate(rows):
            read = functools.partial(_image, rows_of, group, row)
            # Padded, so that the order of the names is that of the rows, and a group of rows is read once.
            photographs.append(Photograph(f"{name}/{number:06}", label, split or "train", read, path.stat().st_size))
    return "Parquet shards", class_names, photographs


def _image(rows_of, group, row):
    with READING:  # one thread reads a group, the others wait for it
        image = rows_of(group, ("image",))["image"][row].as_py()
    return (image["bytes"] if isinstance(image, dict) else image) or b""


def class_folders(folder, outcomes):
    """`{train,test}/<class>/*.jpg`, or `<class>/*.jpg` alone; folders inside a class's belong to it."""
    found = []  # split or None, class, name, path
    for name, path in folder.having(PICTURES).items():
        if len(parts := Path(name).parts) >= 2:
            at = [index for index, part in enumerate(parts[:-2]) if split_of(part)]
            split, class_name = (split_of(parts[at[-1]]), parts[at[-1] + 1]) if at else (None, parts[-2])
            found.append((split, class_name.encode("utf-8", "backslashreplace").decode(), name, path))
    bare = {each[1] for each in found} & {"cars_train", "cars_test", "car_ims"}
    lacking = "not their annotations: cars_train_annos.mat in devkit/ or beside (for car_ims: cars_annos.mat)"
    if splits := {each[0] for each in found} - {None}:
        outcomes["pictures outside train/ and test/"] = sum(not each[0] for each in found)
        found = [each for each in found if each[0]]
    class_names = sorted({each[1] for each in found})
    if not bare:
        bare, lacking = set(filter(split_of, class_names)), "no folder for each class inside"
    check(not bare, f"{str(folder.root)!r} has photographs in {', '.join(sorted(bare))} but {lacking}")
    photographs = [
        Photograph(name, class_names.index(class_name), split or "train", path.read_bytes, path.stat().st_size)
        for split, class_name, name, path in found
    ]
    form = "{train,test}/" if len(splits) == 2 else "".join(f"{split}/" for split in splits)
    return f"class folders, {form}<class>/*.jpg", class_names, photographs


def official_classes():
    """The 196 classes in their official order: {name: {"make": ..., "body_style": ...}}."""
    return pd.read_csv(Path(__file__).with_name("classes.csv"), index_col="class_name").to_dict("index")


def group_classes(class_names, label):
    """The names of the coarser classes, sorted, and the index among them of each of `class_names`. -> list, (C,) int"""
    table = {name.replace("/", "-"): row for name, row in official_classes().items()}
    class_names = [name.replace("/", "-") for name in class_names]  # as folders must: "Ram C/V Cargo Van Minivan 2012"
    unknown = [name for name in class_names if name not in table]
    which = f"{''.join(unknown[:1])!r} is none of them ({len(unknown)} of {len(class_names)} unknown)"
    advice = "label 'model' takes the folders as they are"
    check(not unknown, f"label {label!r} needs the class names of Stanford Cars; {which}; {advice}")
    groups = [table[name]["body_style" if label == "body" else label] for name in class_names]
    names, mapping = np.unique(groups, return_inverse=True)
    return names.tolist(), mapping
