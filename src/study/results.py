"""What a run leaves behind: a table of its epochs (.csv) and all else about it (.json); and reading them again."""

import base64
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from study.config import PROJECT, ConfigError, project_path, recorded
from study.statistics import Estimate


@dataclass(frozen=True)
class Result:
    """A finished run."""

    config: dict  # the RunConfig's fields
    history: pd.DataFrame  # a row an epoch: epoch, step, train_loss, val_loss, val_accuracy, seconds
    summary: dict  # final numbers, versions, machine
    test_labels: np.ndarray  # (N,)
    test_logits: np.ndarray | None  # (N, num_classes); None if the test split was not evaluated
    weights: dict  # {"conv1.weight": array, ...}, the trained network

    def save(self, path, arm=""):
        """Write `path`.csv and `path`.json; the .json comes last and says that the run is complete.

        `arm` is what tables and legends call the run; by default its optimizer.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.history.to_csv(f"{path}.csv", index=False, float_format="%.7g")
        record = {"arm": arm or self.config["optimizer"], "config": self.config, "summary": dict(self.summary)}
        for key, value in self.summary.items():
            if isinstance(value, float) and not np.isfinite(value):
                record["summary"][key] = None  # JSON has neither NaN nor infinity
        if self.test_logits is not None:
            classes, predictions = self.test_logits.shape[1], self.test_logits.argmax(axis=1)
            if classes <= 64:
                confusion = np.zeros((classes, classes), int)  # [true class][predicted class]
                np.add.at(confusion, (self.test_labels, predictions), 1)
                record["confusion"] = confusion.tolist()
            else:  # in the order of the test split
                record |= {"test_labels": self.test_labels.tolist(), "predictions": predictions.tolist()}
                record["conv1"] = encode_filters(self.weights["conv1.weight"])
        partial = Path(f"{path}.partial")  # beside, then renamed: there is never half a file
        partial.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
        os.replace(partial, f"{path}.json")


def encode_filters(weights):
    """Filters (11, 11, 3, C) as text, a byte a weight, each from its smallest weight (0) to its largest (255)."""
    low, high = weights.min(axis=(0, 1, 2)), weights.max(axis=(0, 1, 2))
    shades = np.rint(255 * (weights - low) / np.maximum(high - low, 1e-12)).astype(np.uint8)
    return base64.b64encode(shades.tobytes()).decode()


def describe_machine():
    """Where and with what a number was made: processor, cores, versions, git commit."""
    try:  # virtual machines of very different speed have the same model name
        fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in open("/proc/cpuinfo"))}
        cpu = "{model name} (family {cpu family}, model {model})".format_map(fields)
    except (OSError, KeyError):
        cpu = platform.processor() or platform.machine()
    try:  # "-dirty" is appended if the code differs from the commit
        command = ["git", "describe", "--always", "--dirty", "--exclude", "*", "--abbrev=10"]
        commit = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True).stdout.strip() or None
    except OSError:
        commit = None
    versions = {name: metadata.version(name) for name in ("numpy", "jax", "optax")}
    versions["python"] = platform.python_version()
    return {"machine": f"{cpu}, {os.cpu_count()} cores", "versions": versions, "git_commit": commit}


def load_runs(folder):
    """All runs below a folder (relative to the project's), of groups in folders of their own.

    Returns:
        runs: a DataFrame with a row a run: `run` ("group/name"), `group`, `arm`, the configuration and the summary.
        histories: a DataFrame with a row an epoch and run: the history, and the columns of `runs` that identify it.

    Raises:
        ConfigError: there are none.
    """
    folder, rows, tables = project_path(folder), [], []
    for path in sorted(folder.glob("*/*.json")):
        record = json.loads(path.read_text())
        name, config = path.relative_to(folder).with_suffix("").as_posix(), recorded(record)
        identity = {"run": name, "group": path.parent.name, "arm": record.get("arm", config["optimizer"])} | config
        rows.append(identity | record["summary"] | {"confusion": record.get("confusion")})
        tables.append(pd.read_csv(path.with_suffix(".csv")).assign(**identity))
    if not rows:
        raise ConfigError(f"no finished runs in {str(folder)!r}; make them with: make report")
    return pd.DataFrame(rows), pd.concat(tables, ignore_index=True)


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
