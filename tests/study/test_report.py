"""Tables, sentences, the README's markers, the HTML page, the command line."""

import subprocess
import sys

import nbformat
import pandas as pd
import pytest

from study import report
from study.__main__ import main, parse
from study.config import PROJECT, ConfigError


def test_the_readmes_markers():
    text = "before\n<!-- a:begin (made by make readme) -->\nold\n<!-- a:end -->\nafter\n"
    new = report.update_readme(text, {"a": r"new \1"})
    assert new == "before\n<!-- a:begin (made by make readme) -->\nnew \\1\n<!-- a:end -->\nafter\n"
    assert report.update_readme(new, {"a": r"new \1"}) == new
    with pytest.raises(ConfigError, match="b:begin"):
        report.update_readme(text, {"b": "x"})


def test_the_page_is_one_file_without_scripts(tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell(
            "# Title\n\n$$x = \\frac{a}{b}$$ and $\\rho_1$, but not `$code$` or <script>x</script>"
        ),
        nbformat.v4.new_code_cell("secret = 1"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "n.ipynb")
    report.export_html(tmp_path / "n.ipynb", tmp_path / "n.html", "A <title>")
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
        (["report", "--profile", "fast"], "unknown profile 'fast' (choices: quick, full)"),
        (["report", "--data-dir", "nowhere"], "DATA_DIR 'nowhere' does not exist"),
        (["report", "--data-dir", "src"], "no photographs found in"),
        (["report", "--profile", "full"], "profile 'full' needs the photographs"),
        (["notebook", "notebooks/05_train.ipynb", "{out}", "-p", "optimzer", "adam"], "did you mean 'optimizer'?"),
        (["notebook", "notebooks/3.ipynb", "{out}"], "there is no notebook 'notebooks/3.ipynb'"),
        (
            ["notebook", "notebooks/05_train.ipynb", "{out}", "-p", "image_size", "224"],
            "AlexNet cannot take image_size 224",
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


def test_a_stale_readme_is_refused(monkeypatch, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results:begin -->\nold\n<!-- results:end -->\n")
    monkeypatch.setattr(report, "README", readme)
    monkeypatch.setattr(report, "generated_parts", lambda: {"results": "new"})
    with pytest.raises(ConfigError, match="stale"):
        main(["readme", "--check"])
    assert "old" in readme.read_text()
    main(["readme"])
    main(["readme", "--check"])


def test_a_run_is_made_again_from_its_file(monkeypatch, tmp_path, capsys):
    from study import RunConfig, training
    from study.results import Result

    config, seen = RunConfig(seed=3, epochs=2), []
    recorded = {"train_loss": 1.5, "val_loss": None, "test_loss": 1.25, "test_accuracy": 0.5}
    Result(config.to_dict(), pd.DataFrame(), recorded, None, None, None).save(tmp_path / "run")
    summary = {"train_loss": 1.5, "val_loss": float("nan")}

    def train(config):
        seen.append(config)
        return Result(config.to_dict(), pd.DataFrame(), summary, None, None, None)

    monkeypatch.setattr(training, "train", train)
    main(["again", str(tmp_path / "run.json")])
    assert seen == [config]
    assert capsys.readouterr().out == "train_loss: recorded 1.5, now 1.5\nval_loss: recorded None, now nan\n"
