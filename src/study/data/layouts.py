"""Stanford Cars as people have it: `find` recognises a folder or an archive, and lists its photographs.

A layout is a function from a `Folder`, and a Counter for what it leaves out, to its name in words, the classes' names
as far as files list them, and the photographs, labelled by name or None; there are none if it is another layout."""

import contextlib
import functools
import json
import re
import threading
from collections import Counter, defaultdict, namedtuple
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import numpy as np
import pandas as pd
from pandas.api.types import is_number

from study.config import ConfigError, check
from study.data.archives import ARCHIVES, PICTURES, Folder, plain, reading, unpack
from study.data.photographs import Photograph

KNOWN = """cars_train/ and cars_test/ with their .mat files; car_ims/ with cars_annos.mat; train/<class>/*.jpg and \
test/<class>/*.jpg, or <class>/*.jpg; *.parquet; a cars196 prepared by TFDS; archives of these"""
SPLIT = r"(?:cars?)?((?:train|trn|val|dev)+|test|tst|eval|holdout)(?:id|ing|(?:id|u)?ation)?(?:s|set|data|images?)*"
BOX = "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"
NO_CLASS = ("", "-1", "nan", "none", "null", "unknown", "unlabeled", "unlabelled", "car_ims")
NUMBER = functools.partial(re.sub, r"^0+|\s*\(\d+\)$", "")  # 00001, 000001 and a browser's "1 (1)" are one picture
KEY = functools.partial(re.sub, r"^[\d\W_]+|[\W_]+", "")  # of a class's name: without an index, blanks and signs
READING = threading.Lock()  # a Parquet file
Collection = namedtuple("Collection", "layout class_names photographs outcomes")  # {what: how many} was left out


def find(source):
    """Recognise a folder or an archive of Stanford Cars: a Collection. A ConfigError if it is none of the layouts, or
    one that cannot be read here."""
    source, name = Path(source), f"data_dir {str(source)!r}"
    check(source.exists(), f"{name} does not exist")
    known = source.is_dir() or source.name.lower().endswith(ARCHIVES)
    check(known, f"{name} is neither a folder nor a .zip, .tar, .tgz or .tar.gz")
    with contextlib.ExitStack() as undo:  # what was unpacked for nothing goes
        folder = Folder(source if source.is_dir() else unpack([source], source.parent, undo))
        archives, collection = sorted(folder.having(ARCHIVES).values()), None
        with contextlib.suppress(ConfigError) if archives else contextlib.nullcontext():
            collection = _recognise(folder)
        if not collection or (archives and collection.outcomes["annotations without a file"]):
            # Only now: many people keep the archives beside what was in them.
            collection = _recognise(Folder(folder.root, unpack(archives, folder.root, undo)))
        undo.pop_all()
    return collection


def _recognise(folder):
    left_out = Counter()
    for layout in (prepared, official, parquet, class_folders):
        outcomes, names = Counter(folder.outcomes), {}
        words, listed, found = layout(folder, outcomes)
        if any(each.split == "train" for each in found):  # else what is in no split is what there is to train on
            outcomes["photographs outside train/ and test/"] = sum(not each.split for each in found)
            found = [each for each in found if each.split]
        outcomes.update(f"{each.split or ''} photographs without a label".strip() for each in found if not each.label)
        known = [each for each in found if each.label]
        used = {each.label for each in known}  # by their official names, in whatever spelling
        for name in [*map(plain, listed), *sorted(used)]:
            names.setdefault(official_name(name) or name, name)
        label = {name: list(names).index(official_name(name) or name) for name in used}
        if used:
            for index, one in enumerate(known):
                known[index] = replace(one, name=plain(one.name), label=label[one.label], split=one.split or "train")
            return Collection(plain(words), list(names.values()), known, +outcomes)
        left_out |= outcomes
    left_out = "".join(f" ({count} {what})" for what, count in left_out.items())
    raise ConfigError(f"no photographs found in {str(folder.root)!r}{left_out}; what is known: {KNOWN}")


@functools.cache
def split_of(name):
    """Which split a file or folder of that name holds: "train", of which validation is a part, "test", or None."""
    words = [re.fullmatch(SPLIT, word, re.I) for word in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    found = {"test" if word[1].lower() in ("test", "tst", "eval", "holdout") else "train" for word in words if word}
    return found.pop() if len(found) == 1 else None


def class_of(label, names=(), where=""):
    """The class's name that a label means, a text or a number that counts in `names` from 0; None if it means none, as
    -1, NaN and "" do. A ConfigError that says `where`, for a number beyond the names."""
    if isinstance(label, str | bytes):
        text = plain(label.decode(errors="replace") if isinstance(label, bytes) else label).strip()
        return None if text.lower() in NO_CLASS else text
    if not is_number(label) or not label >= 0:
        return None
    check(label in range(len(names)), f"{plain(where)}: class {label:g} is none of the {len(names)} classes")
    return plain(names[int(label)])


def prepared(folder, outcomes):
    """A `cars196` that TFDS has prepared, in array_record form; of several versions the newest."""
    infos = [path for path in folder.having("dataset_info.json").values() if path.with_name("features.json").is_file()]
    here = None
    for path in infos:  # in the order of their names, the newest last
        with reading(f"{str(path)!r} is damaged, or cut short"):
            about = dict(json.loads(path.read_text()))
        if about.get("name") == "cars196":
            here, form = path.parent, about.get("fileFormat", "tfrecord")
    if not here:
        return "", [], []
    command = "tfds convert_format --dataset_dir=IT --out_file_format=array_record --out_path=NEW"
    check(form == "array_record", f"{str(here)!r} was prepared as {form}, which only TensorFlow reads: run {command}")
    import tensorflow_datasets as tfds  # here: it takes seconds, and the other layouts do without

    photographs = []
    with reading(f"{str(here)!r} is damaged"):
        builder = tfds.builder_from_directory(here)
        names = getattr(builder.info.features["label"], "names", [])
        for split in builder.info.splits:
            source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
            for index, each in enumerate(source):
                read = functools.partial(lambda source, index: source[index]["image"], source, index)
                box = tuple(np.take(each["bbox"], (1, 0, 3, 2)).tolist()) if "bbox" in each else None  # ymin, xmin, ...
                about = f"{split}/{index}", class_of(each["label"], names, here), split_of(split), read
                photographs.append(Photograph(*about, len(each["image"]), box))
    return f"{builder.info.full_name}, prepared by TFDS", names, photographs


def official(folder, outcomes):
    """`cars_train/` and `cars_test/`, or `car_ims/`, with the official annotations, MATLAB files in any folder: classes
    are counted from 1, boxes are pixels counted from 1, both ends included."""
    mats = sorted(folder.having(".mat").values(), key=lambda mat: (len(mat.parts), len(mat.name)))  # least nested first
    kinds = "cars_train_annos", "cars_test_annos_withlabels", "cars_test_annos", "cars_annos", "cars_meta"
    train, test, blind, merged, meta = (next((mat for mat in mats if kind in mat.name.lower()), None) for kind in kinds)
    parts, words = {"ims": merged}, "car_ims/ with cars_annos.mat"
    if train:
        parts = {"train": train, "test": test or blind}
        nested = "nested " if any("cars_train/cars_train/" in name for name in folder.files) else ""
        words = f"{nested}cars_train/ and cars_test/{'' if train.parent.name == 'devkit' else ', .mat files beside'}"
    files, photographs, listed = defaultdict(list), [], []
    for name, path in folder.having(PICTURES).items():
        place = re.match("cars?[ _-]*(train|test|ims)", path.parent.name.lower())
        files[place and place[1]].append((name, path))
    for place, annotations in parts.items():
        rows, names = _matlab(annotations) if annotations else ([], [])
        if rows and not names:
            names = _matlab(meta)[1] if meta else official_classes().class_name.tolist()
        listed, used, spelled = listed + names, set(), defaultdict(list)
        for name, path in files[place]:
            for spelling in (path.name, NUMBER(path.stem.lower())):
                spelled[spelling].append((name, path))
        for each in rows:
            file = PureWindowsPath(str(each.get("fname") or each.get("relative_im_path")))
            found = spelled[file.name][:1] or spelled[NUMBER(file.stem.lower())]
            if len(found) != 1:  # none, or several that might be meant
                outcomes["annotations without a file"] += 1
                continue
            (name, path), label, corners = *found, each.get("class"), [each.get(key) for key in BOX]
            label = class_of(float(label) - 1 if is_number(label) else label, names, name)
            boxed = all(is_number(corner) and corner == corner for corner in corners)
            box = tuple(np.subtract(corners, (1, 1, 0, 0)).astype(int).tolist()) if boxed else None
            split = "test" if each.get("test", place == "test") else "train"
            photographs.append(Photograph(name, label, split, path.read_bytes, path.stat().st_size, box))
            used.add(name)
        some = used or not rows or not files[place]
        check(some, f"{str(annotations)!r} names not one of the photographs in {str(folder.root)!r} as they are called")
        outcomes["files without annotation"] += len(files[place]) - len(used)
    tests = any(each.split == "test" and each.label for each in photographs)
    return f"{words}, official annotations, {'official' if tests else 'no'} test labels", listed, photographs


def _matlab(path):
    """The annotations, dicts, and the classes' names, str, in a MATLAB file: two lists, one of them perhaps empty."""
    from scipy.io import loadmat

    with reading(f"{str(path)!r} is not the MATLAB file that it should be"):
        found = loadmat(path, simplify_cells=True)
        check({"annotations", "class_names"} & set(found), f"{str(path)!r} has neither annotations nor class_names")
        rows, names = (np.atleast_1d(found.get(key, [])).tolist() for key in ("annotations", "class_names"))
        return [dict(each) for each in rows], names


def parquet(folder, outcomes):
    """Parquet shards as on Hugging Face: columns `image` and `label`; the split is in a file's or folder's name."""
    shards, photographs = [], []
    for name, path in folder.having(".parquet").items():
        import pyarrow.parquet

        split = next(filter(None, map(split_of, reversed(Path(name).parts))), None)
        with reading(f"{str(path)!r} is not a Parquet file, or is damaged"):
            file = pyarrow.parquet.ParquetFile(path)
            about = json.loads((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
            names = about.get("info", {}).get("features", {}).get("label", {}).get("names")
            groups = [file.read_row_group(each, ["label"]).to_pylist() for each in range(file.num_row_groups)]
        if {"image", "label"} - set(columns := file.schema_arrow.names):
            outcomes[f"Parquet files without the columns image and label, with {plain(', '.join(columns))}"] += 1
        if "image" in columns:
            shards.append((split, name, path, file, tuple(names or ()), groups))
    lists = list(dict.fromkeys(names for *_, names, _ in shards if names))
    for split, name, path, file, names, groups in shards:
        check(names or len(lists) < 2, f"{str(path)!r} lists no classes, and other files list them in unlike orders")
        names = names or (lists[0] if lists else tuple(official_classes().class_name))
        rows_of = functools.lru_cache(2)(file.read_row_group)  # two groups of rows are in memory at a time
        rows = [(group, row, each.get("label")) for group, rows in enumerate(groups) for row, each in enumerate(rows)]
        for number, (group, row, label) in enumerate(rows):
            # Padded, so that the order of the names is that of the rows, and a group of rows is read once.
            about = f"{name}/{number:06}", class_of(label, names, name), split
            photographs.append(Photograph(*about, functools.partial(_image, rows_of, group, row), path.stat().st_size))
    return "Parquet shards", sum(lists, ()), photographs


def _image(rows_of, group, row):
    try:
        with READING:  # one thread reads a group, the others wait for it
            image = rows_of(group, ("image",))["image"][row].as_py()
    except Exception as error:  # of a damaged group; what reads files raises OSError
        raise OSError(str(error)) from None
    return (image["bytes"] if isinstance(image, dict) else image) or b""


def class_folders(folder, outcomes):
    """`{train,test}/<class>/*.jpg`, or `<class>/*.jpg` alone. The class is the folder called like an official one (or
    two of them, where a slash has nested it), else the one below the split's, else the innermost."""
    photographs = []
    for name, path in folder.having(PICTURES).items():
        folders = Path(name).parent.parts
        at = [(split_of(each), folders[index + 1 : index + 2]) for index, each in enumerate(folders) if split_of(each)]
        split, usual = at[-1] if at else (None, folders[-1:])
        spans = ("/".join(folders[i:j]) for i in range(len(folders)) for j in range(i + 1, len(folders) + 1))
        label = class_of(next(filter(official_name, spans), "".join(usual)))
        photographs.append(Photograph(name, label, split, path.read_bytes, path.stat().st_size))
    splits = {each.split for each in photographs if each.split and each.label}
    form = "{train,test}/" if len(splits) == 2 else "".join(f"{split}/" for split in splits)
    return f"class folders, {form}<class>/*.jpg", [], photographs


@functools.cache
def official_classes():
    """The 196 classes in their official order: a table of class_name, make and body, by `KEY`."""
    table = pd.read_csv(Path(__file__).with_name("classes.csv")).rename(columns={"body_style": "body"})
    return table.set_index(table.class_name.str.lower().map(KEY))


@functools.cache
def official_name(name):
    """What a class that is called "0190 ram_c-v_cargo_van_minivan_2012" is called officially; None if it is none."""
    return official_classes().class_name.get(KEY(name.lower()))


def group_classes(class_names, label):
    """The names of the coarser classes, sorted, and the index among them of each of `class_names`, -1 of one that is
    none of Stanford Cars. -> list, (C,) int. A ConfigError if these are more than half."""
    groups = official_classes().reindex([KEY(each.lower()) for each in class_names])[label]
    unknown = [name for name, group in zip(class_names, groups, strict=True) if group != group]
    which = f"{''.join(unknown[:1])!r} is none of them ({len(unknown)} of {len(class_names)} unknown)"
    wanted = f"label {label!r} needs the class names of Stanford Cars; {which}; label 'model' takes any"
    check(len(unknown) <= len(class_names) / 2, wanted)
    mapping, names = pd.factorize(groups, sort=True)
    return names.tolist(), mapping
