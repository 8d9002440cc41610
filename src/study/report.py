"""What people read: the README's generated parts, what is shown of the data and the machine, and the HTML report."""

import html
import json
import os
import re
from pathlib import Path

import nbformat
import pandas as pd
from latex2mathml.converter import convert as latex_to_mathml
from nbconvert import HTMLExporter
from nbconvert.preprocessors import Preprocessor

from study import analysis, findings, tables
from study.benchmark import targets
from study.config import PROJECT, ConfigError
from study.results import load_runs

README = PROJECT / "README.md"
PUBLISHED = PROJECT / "data" / "results" / "stanford_cars"


def speed_table(speed):
    """The benchmark's targets and what was measured (Markdown); `speed` as from `load_speed`."""
    if speed is None:
        return "Not measured."
    table = targets(speed)
    table["measured"] = table.measured.map("{:.2f}".format)
    repeats, machines = speed["repeat"].max() + 1, " and ".join(speed.machine.unique())
    text = table.to_markdown(index=False, disable_numparse=True)
    return f"{text}\n\nRatios of medians of {repeats} interleaved repeats, on {machines}."


def dataset_section(path):
    """What was found in the dataset and what became of it (Markdown), from the file that the workflow writes."""
    about = next(iter(json.loads(Path(path).read_text()).values()))
    counts = ", ".join(f"{count:,} {name}" for name, count in about["counts"].items())
    text = f"Found: {html.escape(about['source'])}. Images: {counts}."
    if about["outcomes"]:
        table = pd.Series(about["outcomes"], name="number").sort_values(ascending=False, kind="stable")
        table = table.rename_axis("photographs").reset_index()
        text += f"\n\n{table.to_markdown(index=False)}"
    if about["refused"]:
        shown = "".join(f"\n- `{html.escape(line)}`" for line in about["refused"][:10])
        text += f"\n\nRefused{', the first ten' if len(about['refused']) > 10 else ''}:\n{shown}"
    return text


def accelerator_table(folder):
    """JAX on a GPU (Markdown), or that it was not measured and how to."""
    path = Path(folder) / "accelerator.csv"
    if not path.exists():
        return (
            "JAX's training on a GPU (227 px, float32, tf32 and bfloat16, batches of 128 to 1,024): not measured, "
            "no GPU was at hand. To measure: `.venv/bin/python -m study accelerator "
            "data/results/stanford_cars/accelerator.csv`."
        )
    table = pd.read_csv(path)
    devices = f"{table.devices.iloc[0]} × {table.device.iloc[0]}"
    shown = pd.DataFrame(
        {
            "precision": table.precision,
            "batch": table.batch_size,
            "images/s": table.images_per_second.map("{:,.0f}".format).replace("nan", "out of memory"),
            "of a matrix product's speed": table.fraction.map("{:.0%}".format).replace("nan%", "–"),
        }
    )
    return f"JAX's training at 227 px on {devices}:\n\n{shown.to_markdown(index=False, disable_numparse=True)}"


def load_speed(folder):
    """The timings of the speed notebook, or None if they were not made."""
    path = Path(folder) / "speed.csv"
    return pd.read_csv(path) if path.exists() else None


def generated_parts(folder=PUBLISHED):
    """{marker: Markdown} for the README, from the published runs."""
    runs, histories = load_runs(folder)
    table = analysis.comparison_table(runs, histories).to_markdown(index=False, disable_numparse=True)
    speed = load_speed(folder)
    mnist = folder.parent / "mnist"
    found = findings.findings(runs, histories, speed, tables.load(mnist) if mnist.exists() else None)
    link = "- {} ([run files](data/results/{}), [notebook {}](notebooks/{}.ipynb))".format
    bullets = "\n".join(
        link(sentence, os.path.normpath(f"{folder.name}/{runs}"), int(notebook[:2]), notebook)
        for sentence, runs, notebook in found
    )
    return {
        "answer": f"**{findings.answer(runs)}**",
        "findings": f"{findings.question(runs)}\n\n{bullets}",
        "speed": f"{speed_table(speed)}\n\n{accelerator_table(folder)}",
        "results": f"{table}\n\n{findings.setting(runs)}",
        "limits": findings.limits(runs),
    }


def update_readme(text, parts):
    """`text` with what stands between `<!-- name:begin -->` and `<!-- name:end -->` replaced by `parts[name]`."""
    for name, content in parts.items():
        pattern = re.compile(rf"(<!-- {name}:begin[^>]*-->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        text, count = pattern.subn(lambda match, new=content: f"{match[1]}{new}\n{match[2]}", text)
        if count != 1:
            raise ConfigError(f"README.md must have the markers <!-- {name}:begin --> and <!-- {name}:end --> once")
    return text


class MathToMathML(Preprocessor):
    """Turn $...$ and $$...$$ of Markdown cells into MathML, which browsers draw without a script."""

    formula = re.compile(r"```.*?```|`[^`]*`|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+?)\$", re.DOTALL)

    def preprocess_cell(self, cell, resources, index):
        def mathml(match):
            if match["block"]:
                return "\n\n" + latex_to_mathml(match["block"].strip(), display="block") + "\n\n"
            return latex_to_mathml(match["inline"]) if match["inline"] else match[0]

        if cell.cell_type == "markdown":
            cell.source = self.formula.sub(mathml, cell.source)
        return cell, resources


def export_html(notebook_path, html_path, title):
    """Render an executed notebook as one self-contained page, its code left out.

    Figures are inside as data, formulas are MathML, there is no script, and nothing is loaded from anywhere.
    """
    notebook = nbformat.read(notebook_path, as_version=4)
    notebook.metadata["title"] = title
    exporter = HTMLExporter(
        template_name="report",
        extra_template_basedirs=[str(Path(__file__).with_name("templates"))],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    exporter.register_preprocessor(MathToMathML, enabled=True)
    page, _ = exporter.from_notebook_node(notebook)
    Path(html_path).write_text(page)
