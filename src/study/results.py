"""What a run leaves behind: a table of its epochs (.csv) and all else about it (.json); and reading them again."""

import base64
import json
import os
import platform
import resource
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from study.config import PROJECT, ConfigError, with_defaults


@dataclass(frozen=True)
class Result:
    """A finished run."""

    config: dict  # the RunConfig's fields
    history: pd.DataFrame  # a row an epoch: epoch, step, train_loss, val_loss, val_accuracy, seconds
    summary: dict  # final numbers, versions, machine
    test_labels: np.ndarray | None  # (N,); None if the test split was not evaluated
    test_logits: np.ndarray | None  # (N, num_classes)
    filters: np.ndarray  # (11, 11, 3, C), the weights of conv1

    def save(self, path):
        """Write `path`.csv and `path`.json; the .json comes last and says that the run is complete."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.history.to_csv(f"{path}.csv", index=False, float_format="%.7g")
        summary = {  # JSON has neither NaN nor infinity
            key: None if isinstance(value, float) and not np.isfinite(value) else value
            for key, value in self.summary.items()
        }
        record = {"config": self.config, "summary": summary}
        if self.test_logits is not None:
            classes, predictions = self.test_logits.shape[1], self.test_logits.argmax(axis=1)
            if classes <= 64:
                confusion = np.zeros((classes, classes), int)  # [true class][predicted class]
                np.add.at(confusion, (self.test_labels, predictions), 1)
                record["confusion"] = confusion.tolist()
            else:  # in the order of the test split
                record |= {"test_labels": self.test_labels.tolist(), "predictions": predictions.tolist()}
                record["conv1"] = encode_filters(self.filters)
        write_json(f"{path}.json", record)


def write_json(path, record):
    """Write a record (without NaN, which JSON has not) beside and rename it: there is never half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(f"{path}.partial")
    partial.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    os.replace(partial, path)


def encode_filters(weights):
    """Filters as text, a byte a weight: each filter from its smallest weight (0) to its largest (255)."""
    low, high = weights.min(axis=(0, 1, 2)), weights.max(axis=(0, 1, 2))
    shades = np.rint(255 * (weights - low) / np.maximum(high - low, 1e-12)).astype(np.uint8)
    return base64.b64encode(shades.tobytes()).decode()


def decode_filters(text):
    """What `encode_filters` wrote, as images. -> (C, 11, 11, 3) uint8"""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(11, 11, 3, -1).transpose(3, 0, 1, 2)


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
    return {
        "machine": f"{cpu}, {os.cpu_count()} cores",
        "versions": {name: metadata.version(name) for name in ("numpy", "jax", "optax")}
        | {"python": platform.python_version()},
        "git_commit": commit,
    }


def peak_memory():
    """The most memory that this process has held so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on macOS
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))


def load_runs(folder):
    """All runs below a folder.

    Returns:
        runs: a DataFrame with a row a run: `run` ("group/name"), `group`, the configuration and the summary.
        histories: a DataFrame with a row an epoch and run: the history, and the columns of `runs` that identify it.

    Raises:
        ConfigError: there are none.
    """
    folder = Path(folder)
    rows, tables = [], []
    for path in sorted(folder.glob("*/*.json")):
        record = json.loads(path.read_text())
        name = path.relative_to(folder).with_suffix("").as_posix()
        identity = {"run": name, "group": path.parent.name} | with_defaults(record["config"])
        rows.append(identity | record["summary"] | {"confusion": record.get("confusion")})
        tables.append(pd.read_csv(path.with_suffix(".csv")).assign(**identity))
    if not rows:
        raise ConfigError(f"no finished runs in {str(folder)!r}; make them with: make report")
    return pd.DataFrame(rows), pd.concat(tables, ignore_index=True)
