"""Run files: what is damaged or does not belong is named and left out, never averaged in."""

import json

import numpy as np
import pandas as pd
import pytest

from study import RunConfig, results
from study.config import PROJECT, ConfigError, whole
from study.results import SCHEMA, Result, load_run, load_runs, runs_named_for


def write(path, seed=0, **summary):
    """A run file of two epochs."""
    history = pd.DataFrame({"epoch": [1, 2], "step": [5, 10], "train_loss": [2.0, 1.0], "val_loss": [2.0, 1.5]})
    history = history.assign(val_accuracy=[0.1, 0.5], seconds=1.0)
    summary = {
        "train_loss": 1.0, "val_loss": 1.5, "val_accuracy": 0.5, "test_accuracy": 0.4, "diverged": False, "steps": 10,
        "seconds": 2.0, "counts": {"train": 5}, "class_names": ["a", "b"], "git_commit": "abc",
    } | summary  # fmt: skip
    config = RunConfig(epochs=2, seed=seed).to_dict()
    Result(config, history, summary, np.zeros(3, int), None, {}).save(path, "an arm")


def test_a_run_file_has_what_makes_its_number_traceable(tmp_path):
    write(tmp_path / "group/run", seed=3)
    record, history = load_run(tmp_path / "group/run.json")
    assert json.loads((tmp_path / "group/run.json").read_text())["schema"] == SCHEMA
    assert {"label", "seed", "split_seed"} <= set(record["config"])
    assert record["config"]["seed"] == 3
    assert record["summary"]["git_commit"] == "abc"  # what is beside the schema stays
    assert len(history) == 2


def edit_json(**summary):
    def edit(path):
        record = json.loads(path.read_text())
        record["summary"] |= summary
        path.write_text(json.dumps(record))

    return edit


def cut(bytes_kept, suffix):
    def edit(path):
        path = path.with_suffix(suffix)
        path.write_bytes(path.read_bytes()[:bytes_kept])

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (edit_json(val_accuracy=7), "val_accuracy"),
        (edit_json(test_accuracy=-0.1), "test_accuracy"),
        (edit_json(val_loss=-1.0), "val_loss"),
        (edit_json(val_loss="low"), "val_loss"),
        (edit_json(val_loss=1.4), "its table ends with another val_loss"),
        (edit_json(steps=0), "steps"),
        (edit_json(class_names=None), "class_names"),
        (cut(0, ".json"), "Expecting value"),
        (cut(100, ".json"), "is no complete run"),
        (cut(0, ".csv"), "No columns"),
        (cut(65, ".csv"), "its table has not 2 epochs"),
        (cut(75, ".csv"), "accuracies"),
        (lambda path: path.with_suffix(".csv").unlink(), "No such file"),
        (lambda path: path.write_text("[1, 2]"), "is no complete run"),
        (lambda path: path.write_text('{"config": {"optimizer": "adam", "seeds": 1}, "summary": {}}'), "seeds"),
    ],
)
def test_a_damaged_run_is_named_and_left_out(damage, message, tmp_path, capsys):
    write(tmp_path / "group/whole")
    write(tmp_path / "group/damaged", seed=1)
    damage(tmp_path / "group/damaged.json")
    with pytest.raises(ConfigError, match=message) as error:
        load_run(tmp_path / "group/damaged.json")
    assert "\n" not in str(error.value)
    runs, histories = load_runs(tmp_path)
    assert runs.run.tolist() == ["group/whole"]
    assert set(histories.run) == {"group/whole"}
    assert f"left out: '{tmp_path}/group/damaged.json'" in capsys.readouterr().out


def test_only_the_runs_of_the_profile_enter(tmp_path, monkeypatch, capsys):
    for seed in (0, 1, 2):
        write(tmp_path / f"comparison/seed{seed}", seed=seed)
    named = {f"comparison/seed{seed}": RunConfig(epochs=2, seed=seed).to_dict() for seed in (0, 2)}
    named["comparison/seed2"]["learning_rate"] = 0.5  # the grid had another when seed 2 was run
    monkeypatch.setattr(results, "runs_named_for", lambda folder: named)
    runs, _ = load_runs(tmp_path)
    assert runs.seed.tolist() == [0]
    said = capsys.readouterr().out
    assert "seed1.json' is no run of this profile" in said
    assert "seed2.json' is no run of this profile" in said


def test_a_profiles_folder_is_known():
    quick = runs_named_for(PROJECT / "build/quick/results/rendered_cars")
    assert "comparison/adam-jax-seed0" in quick
    assert quick == {
        name: config | {"dataset": "rendered_cars"}
        for name, config in runs_named_for("build/quick/results/stanford_cars").items()
    }
    published = runs_named_for("data/results/stanford_cars")
    assert {name.split("/")[0] for name in published} >= {"comparison", "surface", "body_search"}
    assert runs_named_for("elsewhere/stanford_cars") is None


@pytest.mark.parametrize(("loss", "diverged"), [(1e18, True), (1e4, True), (5.3, False), (None, False)])
def test_an_exploded_run_has_diverged(loss, diverged, tmp_path):
    write(tmp_path / "group/run")
    edit_json(val_loss=loss)(tmp_path / "group/run.json")
    table = pd.read_csv(tmp_path / "group/run.csv")
    table.loc[1, "val_loss"] = np.nan if loss is None else loss
    table.to_csv(tmp_path / "group/run.csv", index=False)
    runs, _ = load_runs(tmp_path)
    assert runs.diverged.tolist() == [diverged]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "folder" / "file.txt"
    with whole(target) as partial:
        partial.write_text("first")

    def interrupted(by):
        with whole(target) as partial:
            partial.write_text("sec")
            raise by

    with pytest.raises(ConfigError, match=r"file.txt' cannot be written: No space left on device"):
        interrupted(OSError(28, "No space left on device"))
    with pytest.raises(KeyboardInterrupt):
        interrupted(KeyboardInterrupt)
    assert target.read_text() == "first"
    assert list(target.parent.iterdir()) == [target]
    with pytest.raises(ConfigError, match="cannot be written"), whole(target / "below a file.txt"):
        pass
