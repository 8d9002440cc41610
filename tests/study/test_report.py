"""The report put together, the HTML page, the README's table, the command line."""

import subprocess
import sys

import nbformat
import pandas as pd
import pytest
from click.testing import CliRunner

from study import report
from study.__main__ import main, parse
from study.config import PROJECT
from study.results import load_facts, write_facts
from study.statistics import Estimate


def test_facts_are_written_and_read(tmp_path):
    facts = {"a": Estimate(-1.66, -2.7, -0.6, 10, "points", True), "b": Estimate(7.0, unit="runs")}
    table = write_facts(facts, tmp_path, "one")
    assert table.key.tolist() == ["a", "b"]
    read = load_facts(tmp_path / "one.csv")
    assert str(read["a"]) == "−1.7 (−2.7 to −0.6)"
    assert (read["a"].n, read["a"].unit) == (10, "points")
    assert read["b"][0] == 7.0
    assert read["b"].unit == "runs"


def write_notebook(path, *cells):
    made = []
    for kind, source, *tags in cells:
        make = nbformat.v4.new_markdown_cell if kind == "m" else nbformat.v4.new_code_cell
        made.append(make(source, metadata={"tags": tags}))
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


@pytest.mark.parametrize("published", [True, False])
def test_the_report_is_the_notebooks_put_together(published, tmp_path):
    frame = write_notebook(
        tmp_path / "frame.ipynb",
        ("m", "# The report"), ("m", "what came out", "published"), ("m", "a demonstration", "demonstration"),
        ("m", "## Conclusion", "conclusion"), ("m", "so it is", "published"),
    )  # fmt: skip
    cells = ("m", "# 1 · One"), ("m", '## Facts\n\n# [2](#facts "key")'), ("c", "1 + 1")
    one = write_notebook(tmp_path / "01_one.ipynb", *cells)
    two = write_notebook(tmp_path / "02_two.ipynb", ("m", "# 2 · Two"), ("m", "it shows", "published"))
    notebook = report.assemble(frame, [one, two], published)
    nbformat.validate(notebook)
    text = [cell.source for cell in notebook.cells]
    assert text[0] == "# The report"
    assert text[1] == ("what came out" if published else "a demonstration")
    assert text[2] == "- [1 · One](#01_one)\n- [2 · Two](#02_two)\n- [Conclusion](#Conclusion)"
    facts = '<a id="01_one-facts"></a>\n\n### Facts\n\n## [2](#01_one-facts "key")'
    assert text[3:6] == ['<a id="01_one"></a>\n\n## 1 · One', facts, "1 + 1"]
    assert ("it shows" in text) == published
    assert text[-1] == ("so it is" if published else "## Conclusion")


def test_the_page_is_one_file_without_scripts(tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell(
            "# Title\n\n$$x = \\frac{a}{b}$$ and $\\rho_1$, but not `$code$` or <script>x</script>"
        ),
        nbformat.v4.new_code_cell("secret = 1"),
    ]
    report.export_html(nbformat.v4.new_notebook(cells=cells), tmp_path / "n.html", "A <title>")
    html = (tmp_path / "n.html").read_text()
    assert html.count("<math") == 2
    assert "<mfrac>" in html
    assert "$code$" in html
    assert "secret" not in html
    assert "<title>A &lt;title&gt;</title>" in html
    for needle in ("<script src", "cdnjs", "unpkg", "jsdelivr", 'href="http'):
        assert needle not in html


def test_parameters_are_read_as_typed():
    assert [parse(text) for text in ("1e-3", "3", "True", "adam", "67 99", "[1]", "")] == [
        1e-3, 3, True, "adam", "67 99", "[1]", "",
    ]  # fmt: skip


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "study", *arguments], cwd=PROJECT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "--profile", "fast"], "unknown profile 'fast' (choices: quick, full, arms)"),
        (["report", "--data-dir", "nowhere"], "DATA_DIR 'nowhere' does not exist"),
        (["report", "--data-dir", "src"], "no photographs found in"),
        (["report", "--profile", "full"], "profile 'full' needs the photographs"),
        (["notebook", "notebooks/05_train.ipynb", "{out}", "-p", "optimzer", "adam"], "did you mean 'optimizer'?"),
        (["notebook", "notebooks/3.ipynb", "{out}"], "there is no notebook 'notebooks/3.ipynb'"),
        (
            ["notebook", "notebooks/05_train.ipynb", "{out}", "-p", "image_size", "224"],
            "unknown image_size of rendered_cars 224",
        ),
        (["notebook", "notebooks/05_train.ipynb", "{out}", "-p", "backend", "torch"], "unknown backend 'torch'"),
        (["notebook", "notebooks/01_data.ipynb", "{out}", "-p", "label", "colour"], "unknown label 'colour'"),
        (["notebook", "notebooks/06_convergence.ipynb", "{out}", "-p", "results_dir", "src"], "no finished runs in"),
        (["again", "nowhere.json"], "'nowhere.json' is no run's file"),
        (["again", "study.yaml"], "'study.yaml' is no run's file"),
    ],
)
def test_mistakes_on_the_command_line(arguments, message, tmp_path):
    result = run(*(each.format(out=tmp_path / "out.ipynb") for each in arguments))
    assert result.returncode != 0
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_papermill_itself_stops_at_a_misspelt_parameter(tmp_path):
    command = [sys.executable, "-m", "papermill", "notebooks/05_train.ipynb", str(tmp_path / "out.ipynb")]
    command += ["-p", "optimzer", "adam", "-k", "python3"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode != 0
    assert "ConfigError: unknown parameter 'optimzer'; did you mean 'optimizer'?" in result.stderr


def test_papermill_takes_a_run_written_out_as_a_file(tmp_path):
    (tmp_path / "run.yaml").write_text("optimizer: adam\nbeta2: 1.5\n")
    command = [sys.executable, "-m", "papermill", "notebooks/05_train.ipynb", str(tmp_path / "out.ipynb")]
    command += ["-f", str(tmp_path / "run.yaml"), "-k", "python3"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode != 0
    assert "ConfigError: beta2 must be less than 1, got 1.5" in result.stderr


def test_a_run_is_made_again_from_its_file(monkeypatch, tmp_path):
    from study import RunConfig, training
    from study.results import Result

    config, seen = RunConfig(seed=3, epochs=2), []
    recorded = {"train_loss": 1.5, "val_loss": None, "test_loss": 1.25, "test_accuracy": 0.5}
    Result(config.to_dict(), pd.DataFrame(), recorded, None, None, {}).save(tmp_path / "run")
    summary = {"train_loss": 1.5, "val_loss": float("nan")}

    def train(config):
        seen.append(config)
        return Result(config.to_dict(), pd.DataFrame(), summary, None, None, {})

    monkeypatch.setattr(training, "train", train)
    result = CliRunner().invoke(main, ["again", str(tmp_path / "run.json")])
    assert seen == [config]
    assert result.output == "train_loss: recorded 1.5, now 1.5\nval_loss: recorded None, now nan\n"
