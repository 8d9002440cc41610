"""The report put together, the HTML page, the README's table, the command line."""

import re
import shutil
import subprocess
import sys

import nbformat
import numpy as np
import page
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from study.__main__ import main, parse
from study.config import PROJECT, ConfigError
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
def test_the_report_is_the_notebooks_put_together(published, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "PROJECT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    frame = write_notebook(
        tmp_path / "notebooks" / "9_frame.ipynb",
        ("m", "# The report"), ("m", "what came out", "published"), ("m", "a demonstration", "demonstration"),
        ("m", "## Conclusion", "conclusion"), ("m", "[2](#01_one-facts)", "published"),
    )  # fmt: skip
    cells = (
        ("m", "# 1 · One"),
        ("m", '## Facts\n\n[2](#facts "key")\n\n## Facts'),
        ("c", "1 + 1"),
        ("m", "Two.", "caption"),
    )
    path = "-p data_dir /a/path", "injected-parameters"
    one = write_notebook(tmp_path / "01_one.ipynb", *cells, ("c", *path), ("m", "[that](02_two.ipynb), [x](../y.md#z)"))
    two = write_notebook(tmp_path / "02_two.ipynb", ("m", "# 2 · Two"), ("m", "it shows", "published"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "plan.md").write_text("# Plan\n\n[one](../notebooks/01_one.ipynb) [https](https://a.b/c.md)")
    chapters = [one, two, tmp_path / "data" / "plan.md"]
    notebook = page.assemble(frame, chapters, tmp_path / "docs" / "index.html", published)
    nbformat.validate(notebook)
    text = [cell.source for cell in notebook.cells]
    assert text[:2] == ['# <span id="9_frame"></span>The report', "what came out" if published else "a demonstration"]
    assert text[2] == '## <span id="01_one"></span>1 · One\n\n[notebooks/01_one.ipynb](../notebooks/01_one.ipynb)'
    facts = '### <span id="01_one-facts"></span>Facts\n\n[2](#01_one-facts "key")'
    assert text[3] == f'{facts}\n\n### <span id="01_one-facts-"></span>Facts'
    assert text[4:6] == ["1 + 1", "[that](#02_two), [x](../y.md#z)"]
    assert notebook.cells[4].metadata.caption == "Two."
    assert ("it shows" in text) == published
    assert "[data/plan.md](../data/plan.md)\n\n[one](#01_one) [https](https://a.b/c.md)" in text[-2 - published]
    assert text[-1] == ("[2](#01_one-facts)" if published else '## <span id="9_frame-conclusion"></span>Conclusion')
    names = ["9_frame", "01_one", "01_one-facts", "01_one-facts-", "02_two", "plan", "9_frame-conclusion"]
    assert list(notebook.metadata.contents) == names
    assert notebook.metadata.contents["01_one-facts"] == [3, "Facts"]


def figure_of(tmp_path, monkeypatch, photograph=False):
    """What `plots.save` shows, and what it writes."""
    from study import plots

    shown = []
    monkeypatch.setattr(plots.display, "display", shown.append)
    plots.use_style()
    figure, axis = plots.plt.subplots(figsize=(3, 2))
    if photograph:
        axis.imshow(np.random.default_rng(0).random((60, 60, 3)))
    axis.plot([1, 3], [2, 1], color=plots.colour("AdaSmooth"))
    plots.save(figure, tmp_path, "line", "A line that falls")
    assert not plots.plt.fignum_exists(figure.number)
    return shown[0], (tmp_path / "line.png").read_bytes()


@pytest.mark.parametrize("photograph", [False, True])
def test_a_figure_has_a_palette_and_is_the_same_file_again(photograph, tmp_path, monkeypatch):
    shown, file = figure_of(tmp_path, monkeypatch, photograph)
    assert shown.data == file == figure_of(tmp_path, monkeypatch, photograph)[1]
    with Image.open(tmp_path / "line.png") as picture:
        assert picture.mode == "P"
        assert shown.width == round(picture.width * 96 / 144)
        assert min(picture.convert("RGB").getpixel((0, 0))) >= 254  # white
        colours = [colour for _, colour in picture.convert("RGB").getcolors()]
        assert min(np.abs(np.array(colours) - (0xD5, 0x5E, 0)).max(axis=1)) < 30  # the line's, rare as it is
    assert b"matplotlib" not in file.lower()
    _, metadata = shown._repr_png_()
    assert metadata == {"figure": "line", "width": shown.width, "alt": "A line that falls"}


def test_the_page_is_one_file_without_scripts(tmp_path, monkeypatch):
    shown, _ = figure_of(tmp_path, monkeypatch)
    data, metadata = shown._repr_png_()
    table = pd.DataFrame({"key": ["a"], "value": [1]}, index=["x"])
    formula = "# Title\n\n$$x = \\frac{a}{b}$$ and $\\rho_1$, but not `$code$`"
    frame = write_notebook(
        tmp_path / "frame.ipynb",
        ("m", formula), ("c", "secret = 1"), ("m", "**See** it.", "caption"), ("c", "table", "folded"),
        ("m", "## The end", "conclusion"),
    )  # fmt: skip
    notebook = nbformat.read(frame, as_version=4)
    output = nbformat.v4.new_output
    notebook.cells[1].outputs = [output("display_data", {"image/png": data}, metadata={"image/png": metadata})]
    html = [table.style.to_html(), table.to_html()]
    notebook.cells[3].outputs = [output("execute_result", {"text/html": each}) for each in html]
    nbformat.write(notebook, frame)
    pages = []
    for path in (tmp_path / "1.html", tmp_path / "2.html"):
        page.export_html(page.assemble(frame, [], path, published=False), path, "A <title>", "abc")
        pages.append(path.read_text())
    html = pages[0]
    assert pages[1] == html  # pandas gives a table another name each time
    assert html.count("<math") == 2
    assert "<mfrac>" in html
    assert "$code$" in html
    assert "<title>A &lt;title&gt;</title>" in html
    assert '<meta content="abc" name="made-from"/>' in html
    assert re.search(r'<details class="code">\s*<summary>Code</summary>.*secret.*?</details>', html, re.DOTALL)
    assert re.search(r'<details class="folded">.*class="table".*class="table".*?</details>', html, re.DOTALL)
    figure = re.search(r'<figure id="figure-line">.*?</figure>', html, re.DOTALL)[0]
    assert 'alt="A line that falls"' in figure
    assert "<figcaption><p><strong>See</strong> it.</p>" in figure
    assert not re.search(r"<th[^>]*>(&nbsp;)?</th>", html)
    assert not loads(html)


def loads(html):
    """What a page runs, or asks other machines for: nothing may."""
    return re.findall(
        r"""<script|<iframe|<link|@import|src="(?!data:)|url\((?!data:)|href="http:|cdnjs|unpkg|jsdelivr""", html
    )


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
        (["again", "nowhere.json"], "'nowhere.json' is no complete run"),
        (["again", "study.yaml"], "'study.yaml' is no complete run"),
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


@pytest.mark.parametrize(
    ("first", "last", "verdict", "code"),
    [
        (1.9, 1.5, "the same, to the digits", 0),
        (1.9001, 1.52, "the same but for rounding", 0),
        (1.95, 1.5, "more than rounding: in the first epoch the training losses differ by 2.6%", 1),
    ],
)
def test_a_run_is_made_again_from_its_file(first, last, verdict, code, monkeypatch, tmp_path):
    from study import RunConfig, training
    from study.results import Result

    config, seen = RunConfig(seed=3, epochs=2), []
    summary = {"train_loss": 1.5, "val_loss": 1.25, "val_accuracy": 0.5, "diverged": False, "steps": 2, "seconds": 1.0}
    summary |= {"counts": {}, "class_names": []}

    def result(first, last):
        history = pd.DataFrame({"epoch": [1, 2], "train_loss": [first, last], "val_loss": 1.25, "val_accuracy": 0.5})
        return Result(config.to_dict(), history, summary | {"train_loss": last}, None, None, {})

    def train(config):
        seen.append(config)
        return result(first, last)

    result(1.9, 1.5).save(tmp_path / "run")
    monkeypatch.setattr(training, "train", train)
    outcome = CliRunner().invoke(main, ["again", str(tmp_path / "run.json")])
    assert seen == [config]
    assert outcome.output.startswith(f"train_loss: recorded 1.5, now {last}\nval_loss: recorded 1.25, now 1.25\n")
    assert verdict in outcome.output + str(outcome.exception)
    assert outcome.exit_code == code


NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
PAGE = PROJECT / "docs" / "index.html"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_says_what_is_seen_and_has_a_caption(path):
    cells = nbformat.read(path, as_version=4).cells
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        saves = re.findall(r"plots\.save\(", cell.source) if cell.cell_type == "code" else []
        if saves:
            assert len(saves) == 1  # or a caption would be of both
            assert re.search(r'figures_dir,\s+"\w+",\s+("[^"]{30,}"|WHAT)', cell.source), f"no alt text: {cell.source}"
            assert "caption" in after.metadata.get("tags", []), f"no caption: {cell.source}"


def test_the_published_page_is_of_what_there_is():
    command = [sys.executable, "-m", "snakemake", "published", "--dry-run", "--nolock", "--cores", "2"]
    command += ["--config", "profile=full", "publish=1"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    jobs = re.findall(r"^(\w+) +\d+$", result.stdout + result.stderr, re.MULTILINE)
    assert set(jobs) == {"published", "total"}, "stale: make published\n" + result.stderr[-2000:]


def test_what_is_tracked_is_written_by_the_rule_published_alone():
    command = [sys.executable, "-m", "snakemake", "published", "report", "--dry-run", "--forceall", "--nolock"]
    command += ["--cores", "2", "--config", "profile=full", "publish=1"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    plan = result.stdout + result.stderr
    outputs = re.findall(r"^    output: (.+)$", plan, re.MULTILINE)
    assert len(outputs) >= 7  # six chapters and the report
    assert all(file.startswith("build/full/") for each in outputs for file in each.split(", "))
    jobs = set(re.findall(r"^(\w+) +\d+$", plan, re.MULTILINE))
    assert not {"train", "dataset", "01_data", "02_nunes", "03_adasmooth", "04_mnist"} & jobs  # they are kept


def test_other_digits_do_not_take_the_place_of_mnists():
    def load_dataset(name, data_dir):
        raise ConfigError("there is no MNIST here")

    (cell,) = (each for each in nbformat.read(PROJECT / "notebooks/04_mnist.ipynb", 4).cells if each.id == "load")
    names = {"load_dataset": load_dataset, "ConfigError": ConfigError, "data_dir": "", "printed": False}
    with pytest.raises(ConfigError, match="no MNIST"):
        exec(cell.source, names)
    assert '"printed": not FULL' in (PROJECT / "Snakefile").read_text()


def test_the_published_page_holds_together():
    html = PAGE.read_text()
    assert PAGE.stat().st_size <= 6 * 10**6
    assert (PAGE.parent / ".nojekyll").exists()
    assert not loads(html)
    assert str(PROJECT) not in html
    names = re.findall(r'\bid="([^"]+)"', html)
    assert len(names) == len(set(names))
    targets = set(re.findall(r'href="([^"]+)"', html))
    assert {target[1:] for target in targets if target.startswith("#")} <= set(names)
    for target in targets:
        assert target.startswith(("#", "https://")) or (PAGE.parent / target.split("#")[0]).exists(), target
    figures = re.findall(r'<img [^>]*alt="([^"]*)"', html)
    assert len(figures) >= 30
    assert all(len(each) >= 30 and "No description" not in each for each in figures)
    chapters = [f"docs/index.html#{path.stem}" for path in NOTEBOOKS if path.stem not in ("05_train", "12_report")]
    assert {each.split("#")[1] for each in chapters} <= set(names)
    readme = (PROJECT / "README.md").read_text()
    assert all(each in readme for each in chapters)
    assert "](docs/index.html)" in readme[:1500]


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if not executable:
        pytest.skip("no Chromium here (Debian: apt-get install chromium): the page is not looked at")
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_in_a_browser(browser, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(PAGE.as_uri())
    assert [url for url in asked if not url.startswith("data:")] == [PAGE.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []
    page.click("#figure-convergence .picture")  # it opens large, and closes
    assert page.locator("#large-convergence").bounding_box()["height"] == 900
    page.click("#large-convergence .close")
    assert page.locator("#large-convergence .close").is_hidden()
    page.close()
