"""The workflow's plan: what Snakemake would do, without doing it."""

import json
import subprocess
import sys

import pytest

from study.config import PROJECT, load_profile


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
    path = tmp_path / profile.results / f"{name}.json"
    assert not profile.is_finished(name)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"config": run.to_dict()}))
    assert profile.is_finished(name)
    path.write_text(json.dumps({"config": run.to_dict() | {"epochs": 99}}))
    assert not profile.is_finished(name)
