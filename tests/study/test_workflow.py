"""The workflow: what Snakemake would do, without doing it; and small sweeps, done, interrupted and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from study.config import PROJECT
from study.profiles import load_profile
from study.results import load_facts

pytestmark = pytest.mark.slow


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


SWEEP = """
runs:
  tiny: {width: 0.0625, epochs: 1, batch_size: 128, backend: jax, grid: {optimizer: [adam, adasmooth]}}
"""


def environment(project):
    """Of a shell that is not set up for us: a long TMPDIR, no home, another locale, settings of other programs."""
    long = project / "build" / ("a-long-name-" * 8)
    long.mkdir(parents=True, exist_ok=True)
    bogus = {"MPLBACKEND": "TkAgg", "HOME": "/dev/null", "TMPDIR": str(long), "LC_ALL": "C", "NUNES_NUM_THREADS": ""}
    return os.environ | bogus | {"PYTHONPATH": str(project / "src")}


def start(project, *arguments):
    command = [sys.executable, "-m", "study", "report", "--cores", "2", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=project, env=environment(project), **pipes)


def until(process, text):
    """Read what a process says up to a line with `text`."""
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(process.stderr.read())


def at_work(project):
    return [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(project)]


def all_gone(project, seconds=15):
    deadline = time.monotonic() + seconds
    while at_work(project) and time.monotonic() < deadline:
        time.sleep(0.2)
    return not at_work(project)


def test_an_interrupted_report_leaves_nothing_at_work_and_goes_on(project):
    (project / "mine.yaml").write_text(SWEEP)
    killed = start(project, "--profile", "mine.yaml")
    until(killed, "begins")
    killed.kill()
    assert all_gone(project)
    assert list((project / ".snakemake" / "locks").iterdir())  # Snakemake's, stale
    first = start(project, "--profile", "mine.yaml")
    until(first, "begins")
    second = start(project, "--profile", "mine.yaml")
    assert second.wait(60) == 1
    assert second.stderr.read() == "error: another report is being made in this folder; wait for it, or end it\n"
    first.send_signal(signal.SIGINT)
    assert first.wait(5) == 130
    assert first.stdout.read().endswith("interrupted; the same command continues\n")
    assert all_gone(project)


def test_a_run_that_fails_does_not_stop_the_others(project):
    (project / "partly.yaml").write_text(SWEEP + "  wrong: {batch_size: 9999}\n")
    done = start(project, "--profile", "partly.yaml")
    output, errors = done.communicate(timeout=400)
    assert done.returncode == 1
    for name in ("adam/jax seed 0", "adasmooth/jax seed 0"):
        assert f"{name}  epoch 1/1: train loss" in output
    assert (project / "build/partly/results/rendered_cars/tiny/adam.json").exists()
    last = output[output.index("failed: rendered_cars/wrong/adasmooth;") :].splitlines()
    assert last[1] == "    error: batch_size 9999 is larger than the 4800 training images"
    assert len(errors.splitlines()) == 1
    assert errors.startswith("error: not finished, after ")


def test_a_saved_notebook_does_not_make_a_run_dirty(tmp_path, monkeypatch):
    from study import results

    monkeypatch.setattr(results, "PROJECT", tmp_path)
    for name in ("src/code.py", "notebooks/05.ipynb"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("1\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    clean = results.describe_machine()["git_commit"]
    (tmp_path / "notebooks/05.ipynb").write_text("2\n")
    assert results.describe_machine()["git_commit"] == clean
    (tmp_path / "src/code.py").write_text("2\n")
    assert results.describe_machine()["git_commit"] == f"{clean}-dirty"


def test_folders_with_any_name_are_planned(tmp_path):
    from PIL import Image

    folder = tmp_path / 'Cars #2: it\'s "{full}" $HOME é'
    for label in ("Acura RL Sedan 2012", "Audi TT RS Coupe 2012"):
        (folder / label).mkdir(parents=True)
        for shade in range(20):
            Image.new("RGB", (40, 30), (shade, len(label), 0)).save(folder / label / f"{shade}.png")
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--nolock", "--printshellcmds", "--cores", "2"]
    asked = {"STUDY_PROFILE": "quick", "STUDY_DATA_DIR": str(folder)}
    result = subprocess.run(command, cwd=PROJECT, env=os.environ | asked, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert """-p data_dir '""" + str(folder).replace("'", """'"'"'""") + "'" in result.stdout + result.stderr


def test_a_sweep_runs_on_a_cluster(project):
    """The executor for clusters of any kind, its submit command a shell that runs the job; and a dry run of Slurm's."""
    pytest.importorskip("snakemake_executor_plugin_cluster_generic", reason="make test installs no extra [cluster]")
    (project / "cluster.yaml").write_text(SWEEP)
    command = [sys.executable, "-m", "snakemake", "runs", "--jobs", "2", "--config", "profile=cluster.yaml"]
    generic = ["--executor", "cluster-generic", "--cluster-generic-submit-cmd", "sh"]
    ours = os.environ | {"PYTHONPATH": str(project / "src")}
    for options in (["--executor", "slurm", "--dry-run"], generic):
        result = subprocess.run([*command, *options], cwd=project, env=ours, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    runs = project / "build/cluster/results/rendered_cars/tiny"
    assert sorted(path.name for path in runs.glob("*.json")) == ["adam.json", "adasmooth.json"]
