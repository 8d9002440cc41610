"""What a run leaves behind: a table of its epochs (.csv) and all else about it (.json); and reading them again."""

import base64
import contextlib
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from study.config import PROJECT, ConfigError, check, project_path, recorded, whole
from study.profiles import load_profile, read_yaml
from study.statistics import Estimate

SCHEMA = 2  # of run files; 1 had no number, and before `arm` no arm
CODE = ("src", "Snakefile", "study.yaml", "pyproject.toml", "constraints.txt")  # what makes a run what it is
EXPLODED = 1e3  # nats: a run that ends above has diverged, finite or not; guessing among 196 classes costs 5.3

Loss = Annotated[float, Field(ge=0)] | None  # None: not finite
Share = Annotated[float, Field(ge=0, le=1)]


class Summary(BaseModel, extra="allow"):
    """What a run file's summary must hold, with the ranges of its numbers; versions and the machine stand beside."""

    val_loss: Loss
    train_loss: Loss
    test_loss: Loss = None
    val_accuracy: Share
    test_accuracy: Share | None = None
    test_top5: Share | None = None
    diverged: bool
    steps: int = Field(gt=0)
    seconds: float = Field(ge=0)
    counts: dict[str, int]
    class_names: list[str]


@dataclass(frozen=True)
class Result:
    """A finished run."""

    config: dict  # the RunConfig's fields
    history: pd.DataFrame  # a row an epoch: epoch, step, train_loss, val_loss, val_accuracy, seconds
    summary: dict  # final numbers, versions, machine
    test_labels: np.ndarray  # (N,)
    test_logits: np.ndarray | None  # (N, num_classes); None if the test split was not evaluated
    weights: dict  # {"conv1.weight": array, ...}, the trained network
    test_places: np.ndarray = ()  # (N,) int, where each test example stands among all, by the names of their files

    def save(self, path, arm=""):
        """Write `path`.csv and `path`.json; the .json comes last and says that the run is complete.

        `arm` is what tables and legends call the run; by default its optimizer.
        """
        with whole(f"{path}.csv") as partial:
            self.history.to_csv(partial, index=False, float_format="%.7g")
        record = {"schema": SCHEMA, "arm": arm or self.config["optimizer"], "config": self.config}
        infinite = [key for key, value in self.summary.items() if isinstance(value, float) and not np.isfinite(value)]
        record["summary"] = self.summary | dict.fromkeys(infinite)  # None: JSON has neither NaN nor infinity
        if self.test_logits is not None:
            classes, predictions = self.test_logits.shape[1], self.test_logits.argmax(axis=1)
            record |= {"test_places": list(map(int, self.test_places)), "test_labels": self.test_labels.tolist()}
            record["predictions"] = predictions.tolist()
            if classes <= 64:
                confusion = np.zeros((classes, classes), int)  # [true class][predicted class]
                np.add.at(confusion, (self.test_labels, predictions), 1)
                record["confusion"] = confusion.tolist()
            else:
                conv1 = self.weights["conv1.weight"]  # a byte a weight: a filter's smallest is 0, its largest 255
                shades = 255 * (conv1 - conv1.min(axis=(0, 1, 2))) / np.ptp(conv1, axis=(0, 1, 2))
                record["conv1"] = base64.b64encode(shades.round().astype(np.uint8).tobytes()).decode()
        with whole(f"{path}.json") as partial:
            partial.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")


def describe_machine():
    """Where and with what a number was made: processor, cores, versions, git commit."""
    try:  # virtual machines of very different speed have the same model name
        fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in open("/proc/cpuinfo"))}
        cpu = "{model name} (family {cpu family}, model {model})".format_map(fields)
    except (OSError, KeyError):
        cpu = platform.processor() or platform.machine()
    try:  # "-dirty" is appended if the code differs from the commit; saved notebooks do not count
        ask = partial(subprocess.run, cwd=PROJECT, capture_output=True, text=True)
        commit = ask(["git", "rev-parse", "--short=10", "HEAD"]).stdout.strip() or None
        if commit and ask(["git", "status", "--porcelain", "--", *CODE]).stdout:
            commit += "-dirty"
    except OSError:
        commit = None
    versions = {name: metadata.version(name) for name in ("numpy", "jax", "optax")} | {
        "python": platform.python_version()
    }
    return {"machine": f"{cpu}, {os.cpu_count()} cores", "versions": versions, "git_commit": commit}


def load_run(path):
    """The record of a run (a dict) and its history (a DataFrame with a row an epoch), both checked.

    Raises:
        ConfigError: the file is none of a run's, or damaged: one line that names it and the mistake.
    """
    try:
        record = json.loads(Path(path).read_text())
        record["config"], history = recorded(record), pd.read_csv(Path(path).with_suffix(".csv"))
        record["summary"] = Summary(**record["summary"]).model_dump()
        expected = range(1, record["config"]["epochs"] + 1)[: len(history) if record["summary"]["diverged"] else None]
        check(len(history) and list(history.epoch) == list(expected), f"its table has not {len(expected)} epochs")
        check(history.val_accuracy.between(0, 1).all(), "its table's accuracies are no shares")
        for name in ("train_loss", "val_loss", "val_accuracy"):
            recorded_last, last = record["summary"][name], history[name].iloc[-1]
            same = recorded_last is None or np.isclose(last, recorded_last, rtol=1e-5, atol=1e-6)
            check(same, f"its table ends with another {name}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{str(path)!r} is no complete run: {' '.join(str(error).split())}") from None
    return record, history


def runs_named_for(folder):
    """{"group/name": configuration} of the profiles whose run files lie in a folder; None if it is no profile's."""
    named, dataset = {}, Path(folder).name
    for name in read_yaml(project_path("study.yaml").read_text("utf-8"), "study.yaml"):
        with contextlib.suppress(ConfigError):  # of a profile that is not asked for
            profile = load_profile(name, "" if dataset == "rendered_cars" else PROJECT)
            if project_path(profile.folders[1]) / dataset == project_path(folder):
                named |= {run: config.to_dict() for run, config in profile.runs.items()}
    return {run.partition("/")[2]: config for run, config in named.items() if run.startswith(f"{dataset}/")} or None


def load_runs(folder):
    """All runs below a folder (relative to the project's), of groups in folders of their own; if the folder is a
    profile's, only the profile's. Damaged files, and what does not belong, are named and left out.

    Returns:
        runs: a DataFrame with a row a run: `run` ("group/name"), `group`, `arm`, the configuration and the summary.
        histories: a DataFrame with a row an epoch and run: the history, and the columns of `runs` that identify it.

    Raises:
        ConfigError: there are none.
    """
    folder, rows, tables = project_path(folder), [], []
    named = runs_named_for(folder)
    for path in sorted(folder.glob("*/*.json")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            record, history = load_run(path)
            check(named is None or named.get(name) == record["config"], f"{str(path)!r} is no run of this profile")
        except ConfigError as error:
            print(f"left out: {error}")
            continue
        identity = {"run": name, "group": path.parent.name, "arm": record.get("arm", record["config"]["optimizer"])}
        identity |= record["config"]
        rows.append(identity | record["summary"] | {"confusion": record.get("confusion")})
        tables.append(history.assign(**identity))
    check(rows, f"no finished runs in {str(folder)!r}; make them with: make report")
    runs = pd.DataFrame(rows)
    runs["diverged"] |= (runs[["train_loss", "val_loss"]].astype(float) > EXPLODED).any(axis=1)
    return runs, pd.concat(tables, ignore_index=True)


def write_facts(facts, folder="", name=""):
    """{key: Estimate} as a table, written as `folder`/`name`.csv if there is a folder."""
    table = pd.DataFrame(facts.values(), index=facts, columns=Estimate._fields).rename_axis("key").reset_index()
    if folder:
        project_path(folder).mkdir(parents=True, exist_ok=True)
        table.to_csv(project_path(folder) / f"{name}.csv", index=False, float_format="%.9g")
    return table


def load_facts(path):
    """{key: Estimate} of a table that `write_facts` wrote."""
    table = pd.read_csv(project_path(path), index_col="key").fillna({"unit": ""})
    return {key: Estimate(*fields) for key, *fields in table.itertuples(name=None)}
