"""The rules of the house: who imports whom, how long files are, what the repository holds, what is generated."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from study.config import PROJECT
from study.profiles import load_profile

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


@pytest.mark.parametrize(("package", "most"), {"nunes": 2400, "alexjax": 680, "study": 2200}.items())
def test_the_sources_stay_thin(package, most):
    """These bounds may only be lowered."""
    lengths = {path: len(path.read_text().splitlines()) for path in (PROJECT / "src" / package).rglob("*.py")}
    assert sum(lengths.values()) <= most
    assert max(lengths.values()) <= 300, max(lengths, key=lengths.get)


def test_nothing_draws_below_plots():
    for path in SOURCES:
        if path.name not in ("plots.py", "report.py"):
            assert not {"matplotlib", "seaborn"} & {name.split(".")[0] for name in imports(path)}, path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == (path.name != "12_report.ipynb")  # which is the frame of the report, and runs nothing
    assert notebook.cells[0].source.startswith("# ")
    lengths = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            lengths += [len(cell.source.splitlines())] if cell not in tagged else []
    assert max(lengths, default=0) <= 25


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
    assert sum(path.stat().st_size for path in files) < 40 * 10**6
    for path in files:
        assert path.suffix not in {".jpg", ".jpeg", ".npz", ".tgz", ".zip", ".array_record"}, path
        if path.suffix != ".png":
            text = path.read_text()
            for folder in {PROJECT, Path.home()} - {Path("/")}:
                assert f"{folder}/" not in text, f"{path} names {folder}"


def test_dependencies_are_pinned_by_version_alone():
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    assert all(line.count("==") == 1 and "/" not in line and " " not in line for line in lines)


def published():
    folder = PROJECT / "data" / "results"
    if not (folder / "stanford_cars").exists():
        pytest.skip("nothing is published yet")
    return folder


def test_published_runs_are_those_of_study_yaml():
    import json

    folder = published()
    full, arms = (load_profile(name, data_dir=str(PROJECT)) for name in ("full", "arms"))
    found = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("*/*/*.json")}
    assert found >= set(full.runs)
    assert found <= set(full.runs) | set(arms.runs)  # of the second some are still to come
    for profile in (full, arms):
        for name in found & set(profile.runs):
            record = json.loads((folder / f"{name}.json").read_text())
            assert record["config"] == profile.runs[name].to_dict(), name
            assert record["arm"] == profile.arms[name], name


@pytest.mark.parametrize(("group", "schedule"), [("tuning", "cosine"), ("tuning_constant", "constant")])
def test_the_comparison_is_of_the_best_trials(group, schedule):
    from study.results import load_runs

    runs, _ = load_runs(published() / "stanford_cars")
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
