"""Profiles of study.yaml, and sweeps of one's own: what a run is called, and what the refusals say."""

import pytest

from study import config
from study.config import ConfigError
from study.profiles import load_profile


def test_the_quick_profile():
    profile = load_profile("quick")
    assert {(run.backend, run.optimizer) for run in profile.runs.values()} == {
        (backend, optimizer) for backend in ("numpy", "jax") for optimizer in ("adam", "adasmooth")
    }
    assert {run.dataset for run in profile.runs.values()} == {"rendered_cars"}
    assert {folder.parts[:2] for folder in profile.folders} == {("build", "quick")}
    assert set(profile.arms.values()) == {"Adam", "AdaSmooth"}


def test_arms_are_declared_or_what_varies(tmp_path, monkeypatch):
    (tmp_path / "study.yaml").write_text(
        "mine: {dataset: rendered_cars, speed: {}, runs: {a: [{epochs: 3, grid: {learning_rate: [0.1], seed: [0, 1]}},"
        " {arm: two, epochs: 4, cases: [{optimizer: adam}]}]}}\n"
    )
    monkeypatch.setattr(config, "PROJECT", tmp_path)
    profile = load_profile("mine")
    assert profile.arms == {
        "rendered_cars/a/adasmooth-lr0.1-seed0": "adasmooth, lr0.1",
        "rendered_cars/a/adasmooth-lr0.1-seed1": "adasmooth, lr0.1",
        "rendered_cars/a/adam": "two",
    }
    assert profile.runs["rendered_cars/a/adam"].epochs == 4


def test_a_sweep_of_ones_own_is_a_file(tmp_path):
    """The whole of what must be said: groups with names of one's own, no speed, YAML's 1e-3."""
    (tmp_path / "mine.yaml").write_text(
        "runs:\n  rates:\n    epochs: 2\n    grid: {learning_rate: [1e-3, 3e-3], optimizer: [adam, adasmooth]}\n"
    )
    profile = load_profile(str(tmp_path / "mine.yaml"))
    assert profile.name == "mine"
    assert sorted(run.learning_rate for run in profile.runs.values()) == [0.001, 0.001, 0.003, 0.003]
    assert profile.datasets == [("body", 67)]
    assert not profile.published


BROKEN = {  # what a profile called bad says: what the refusal says
    "": "study.yaml, bad: must be a valid dictionary",
    "[]": "study.yaml, bad: must be a valid dictionary",
    "{}": "study.yaml, bad.runs: Field required",
    "{runs: }": "study.yaml, bad.runs: must be a valid dictionary, got 'None'",
    "{runs: {}}": "study.yaml, bad.runs: Dictionary should have at least 1 item",
    "{runs: [a]}": "study.yaml, bad.runs: must be a valid dictionary",
    "{runs: {a: }}": "study.yaml, bad.runs.a.0: must be a valid dictionary",
    "{runs: {a: []}}": "study.yaml, bad.runs.a: List should have at least 1 item",
    "{runs: {a: 3}}": "study.yaml, bad.runs.a.0: must be a valid dictionary",
    "{runs: {a/b: {}}}": "study.yaml, bad.runs.a/b.[key]: String should match",
    "{runs: {7: {}}}": "study.yaml, bad.runs.7.[key]: must be a valid string",
    "{runs: {a: {}}, run: {}}": "study.yaml, bad.run: Extra inputs are not permitted",
    "{runs: {a: {}}, dataset: cifar}": "study.yaml, bad.dataset: must be 'rendered_cars' or 'stanford_cars'",
    "{runs: {a: {}}, dataset: }": "study.yaml, bad.dataset: must be 'rendered_cars'",
    "{runs: {a: {}}, published: maybe}": "study.yaml, bad.published: must be a valid boolean",
    "{runs: {a: {}}, speed: }": "study.yaml, bad.speed: must be a valid dictionary",
    "{runs: {a: {}}, speed: {sizes: 3}}": "study.yaml, bad.speed.sizes.[key]: must be 'image_sizes'",
    "{runs: {a: {grid: [seed]}}}": "study.yaml, bad.runs.a.0.grid: must be a valid dictionary",
    "{runs: {a: {grid: {seed: 3}}}}": "study.yaml, bad.runs.a.0.grid.seed: must be a valid list, got '3'",
    "{runs: {a: {grid: {seed: []}}}}": "study.yaml, bad.runs.a.0.grid.seed: List should have at least 1 item",
    "{runs: {a: {grid: {1: [2]}}}}": "study.yaml, bad.runs.a.0.grid.1.[key]: must be a valid string",
    "{runs: {a: {cases: {seed: 3}}}}": "study.yaml, bad.runs.a.0.cases: must be a valid list",
    "{runs: {a: {cases: [adam]}}}": "study.yaml, bad.runs.a.0.cases.0: must be a valid dictionary, got 'adam'",
    "{runs: {a: {cases: []}}}": "study.yaml, bad.runs.a.0.cases: List should have at least 1 item",
    "{runs: {a: {1: 2}}}": "study.yaml, bad.runs.a.0.1: Keys should be strings",
    "{runs: {a: {epoch: 3}}}": "study.yaml, bad.runs.a: unknown parameter 'epoch'; did you mean 'epochs'",
    "{runs: {a: {grid: {seed: [0, x]}}}}": "study.yaml, bad.runs.a: seed must be a valid integer, got 'x'",
    "{runs: {a: {optimizer: adma}}}": "study.yaml, bad.runs.a: unknown optimizer 'adma'; did you mean 'adam'",
    "{runs: {a: {arm: 5}}}": "study.yaml, bad.runs.a: arm must be text, got 5",
    "{runs: {a: {grid: {data_dir: [x]}}}}": "study.yaml, bad.runs.a: data_dir must stand beside cases and grid",
    "{runs: {a: {label: make}}}": "study.yaml, bad.runs.a: unknown label of rendered_cars 'make'",
    "{runs: {a: [{}, {}]}}": "study.yaml, bad.runs.a: two runs are called 'rendered_cars/a/adasmooth'",
    "{runs: {a: {}, a: {}}}": 'study.yaml, line 1: found duplicate key "a"',
    "{runs: {a: {epochs: 3}": "study.yaml, line 2: expected ',' or '}'",
    "{runs: *base}": "study.yaml, line 1: found undefined alias 'base'",
    "{runs: {a: {seed: 2020-13-45}}}": "study.yaml: month must be in 1..12",
    "{runs: {a: &a {grid: *a}}}": "study.yaml, bad.runs.a.0.grid.grid: must be a valid list",
}


@pytest.mark.parametrize(("text", "message"), BROKEN.items(), ids=BROKEN)
def test_every_mistake_of_a_profile_is_one_line_with_its_place(text, message, tmp_path, monkeypatch):
    (tmp_path / "study.yaml").write_text(f"bad: {text}\n")
    monkeypatch.setattr(config, "PROJECT", tmp_path)
    with pytest.raises(ConfigError) as error:
        load_profile("bad")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_mistakes_around_a_profile(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="unknown profile 'fast'"):
        load_profile("fast")
    with pytest.raises(ConfigError, match="profile 'full' needs the photographs: DATA_DIR="):
        load_profile("full")
    with pytest.raises(ConfigError, match="DATA_DIR 'nowhere' does not exist"):
        load_profile("quick", "nowhere")
    with pytest.raises(ConfigError, match=r"there is no file 'nowhere\.yaml'"):
        load_profile("nowhere.yaml")
    (tmp_path / "quick.yaml").write_text("runs: {a: {}}\n")
    with pytest.raises(ConfigError, match=r"study\.yaml has a profile 'quick'"):
        load_profile(str(tmp_path / "quick.yaml"))
    (tmp_path / "mine.yaml").write_text("published: true\nruns: {a: {}}\n")
    with pytest.raises(ConfigError, match=r"only study\.yaml has published profiles"):
        load_profile(str(tmp_path / "mine.yaml"))
    monkeypatch.setattr(config, "PROJECT", tmp_path)
    for text in ("", "- quick\n", "quick\n"):
        (tmp_path / "study.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"study\.yaml must hold profiles by their names"):
            load_profile("quick")
