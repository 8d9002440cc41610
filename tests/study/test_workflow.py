"""The workflow's plan: what Snakemake would do, without doing it."""

import json
import subprocess
import sys

import pytest

from study.config import PROJECT, load_profile
from study.results import load_facts


def plan(profile, data_dir=""):
    """The numbers of jobs that Snakemake plans: {rule: count}."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--nolock", "--cores", "2"]
    command += ["--config", f"profile={profile}", f"data_dir={data_dir}"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    words = [line.split() for line in (result.stdout + result.stderr).splitlines()]
    return {line[0]: int(line[1]) for line in words if len(line) == 2 and line[1].isdigit()}


def test_published_runs_and_timings_are_not_made_again(photographs):
    if not (PROJECT / "data" / "results" / "stanford_cars" / "speed.csv").exists():
        pytest.skip("nothing is published yet")
    jobs = plan("full", photographs)
    assert "train" not in jobs
    assert "speed" not in jobs


def test_a_run_is_finished_if_its_file_is_of_its_configuration(tmp_path, monkeypatch):
    from study import config

    profile = load_profile("full", str(PROJECT))
    name, run = next(iter(profile.runs.items()))
    monkeypatch.setattr(config, "PROJECT", tmp_path)
    path = tmp_path / profile.folders[1] / f"{name}.json"
    assert not profile.is_finished(name)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"config": run.to_dict()}))
    assert profile.is_finished(name)
    path.write_text(json.dumps({"config": run.to_dict() | {"epochs": 99}}))
    assert not profile.is_finished(name)


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("06_convergence", "stanford_cars/comparison"),
        ("07_sensitivity", "stanford_cars/surface"),
        ("08_mechanism", "stanford_cars/ablation"),
        ("09_tables", "mnist/mlp"),
        ("10_models", "stanford_cars/models"),
    ],
)
def test_notebooks_show_the_published_study(name, needs, tmp_path):
    if not (PROJECT / "data" / "results" / needs).exists():
        pytest.skip(f"{needs} is not published yet")
    command = [sys.executable, "-m", "study", "notebook", f"notebooks/{name}.ipynb", str(tmp_path / "out.ipynb")]
    command += ["-p", "facts_dir", str(tmp_path)]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    outputs = [
        each for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"] for each in cell.get("outputs", [])
    ]
    assert len(outputs) >= 3
    assert not [each for each in outputs if each.get("name") == "stderr"]  # no warnings either
    made, published = load_facts(tmp_path / f"{name}.csv"), load_facts(PROJECT / "data" / "results" / "facts.csv")
    assert {key: str(fact) for key, fact in made.items()} == {key: str(published[key]) for key in made}
