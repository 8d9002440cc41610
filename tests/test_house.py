"""The rules of the house: who imports whom, how long files are, what the repository holds, what is generated."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from study.config import PROJECT, RunConfig, load_profile

SOURCES = sorted((PROJECT / "src").rglob("*.py"))
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
PACKAGES = {"nunes", "alexjax", "study"}
ALLOWED = {  # what a package may import besides itself and the standard library
    "nunes": {"numpy", "threadpoolctl"},
    "alexjax": {"jax", "optax"},
    "study": None,
}


def imports(path):
    """Full names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PROJECT / "src").as_posix())
def test_packages_import_only_what_they_may(path):
    package = path.relative_to(PROJECT / "src").parts[0]
    roots = {name.split(".")[0] for name in imports(path)} - {package} - set(sys.stdlib_module_names)
    if ALLOWED[package] is not None:
        assert roots <= ALLOWED[package]
    if path.name != "benchmark.py":
        assert "torch" not in roots


def test_there_are_no_import_cycles():
    modules = {}
    for path in SOURCES:
        parts = path.relative_to(PROJECT / "src").with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    # A package's __init__ collects names from below; what counts is who needs whom among the files with content.
    edges = {
        name: {each for each in imports(path) if each in modules and each != name} for name, path in modules.items()
    }
    packages = {name for name, path in modules.items() if path.name == "__init__.py"}
    done, active = set(), []

    def visit(name):
        assert name not in active, f"cycle: {' -> '.join([*active, name])}"
        if name not in done:
            active.append(name)
            for each in sorted(edges[name] - (packages if name not in packages else set())):
                visit(each)
            active.pop()
            done.add(name)

    for name in modules:
        visit(name)


def test_the_sources_stay_thin():
    lengths = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert max(lengths.values()) <= 350, max(lengths, key=lengths.get)
    assert sum(lengths.values()) <= 7150


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


def test_style():
    for command in (["check"], ["format", "--check"]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=PROJECT, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr


def tracked():
    result = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True)
    if result.returncode:
        pytest.skip("not a git checkout")
    return [PROJECT / name for name in result.stdout.split("\0") if name and (PROJECT / name).is_file()]


def test_the_repository_is_small_and_holds_no_data_and_no_machines_paths():
    files = tracked()
    assert sum(path.stat().st_size for path in files) < 30 * 2**20
    for path in files:
        assert path.suffix not in {".jpg", ".jpeg", ".npz", ".tgz", ".zip", ".array_record", ".html"}, path
        if path.suffix != ".png":
            text = path.read_text()
            for folder in {PROJECT, Path.home()} - {Path("/")}:
                assert f"{folder}/" not in text, f"{path} names {folder}"


def test_dependencies_are_pinned_by_version_alone():
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    assert all(line.count("==") == 1 and "/" not in line and " " not in line for line in lines)


def published():
    folder = PROJECT / "data" / "results" / "stanford_cars"
    if not folder.exists():
        pytest.skip("nothing is published yet")
    return folder


def test_published_runs_are_those_of_study_yaml():
    import json

    folder = published()
    runs = load_profile("full", data_dir=str(PROJECT)).runs
    found = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("*/*.json")}
    assert found == set(runs)
    for name, config in runs.items():
        record = json.loads((folder / f"{name}.json").read_text())["config"]
        assert RunConfig().to_dict() | record == config.to_dict(), name  # later fields are at their defaults


@pytest.mark.parametrize(("group", "schedule"), [("tuning", "cosine"), ("tuning_constant", "constant")])
def test_the_comparison_is_of_the_best_trials(group, schedule):
    from study.results import load_runs

    runs, _ = load_runs(published())
    constants = ["learning_rate", "rho1", "rho2", "window", "beta1", "beta2", "rho", "eps"]
    trials = runs[(runs.group == group) & (runs.schedule == schedule)]
    best = trials[~trials.diverged].groupby("optimizer").val_loss.idxmin()
    best = trials.loc[best].set_index("optimizer")[constants]
    chosen = runs[(runs.group == "comparison") & (runs.schedule == schedule)]
    assert set(chosen.optimizer) == set(best.index)
    for optimizer, rows in chosen.groupby("optimizer"):
        assert (rows[constants] == best.loc[optimizer]).all(axis=None), optimizer
    assert trials.groupby("optimizer").size().nunique() == 1  # as many trials for each
    assert trials.test_accuracy.isna().all()  # nobody looked
    for optimizer, rates in trials.groupby(
        "optimizer"
    ).learning_rate:  # interior; but from 1 on AdaSmoothDelta explodes
        ends = {rates.min(), rates.max()} - {0.9 if optimizer == "adasmooth_delta" else None}
        assert best.loc[optimizer].learning_rate not in ends, optimizer


def test_the_readme_is_up_to_date():
    from study import report

    published()
    text = report.README.read_text()
    assert text == report.update_readme(text, report.generated_parts())


def test_the_readmes_figures_and_notebooks_exist():
    import re

    text = (PROJECT / "README.md").read_text()
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(targets) > 5
    for target in targets:
        if "://" not in target:
            assert (PROJECT / target).exists(), target
    assert {path.name for path in NOTEBOOKS} == {Path(t).name for t in targets if t.endswith(".ipynb")}
