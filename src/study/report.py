"""From runs to what people read: sentences, tables, the README's generated part, and the HTML report.

Every number is computed here from the run files; nothing is typed by hand.
"""

import html
import json
import re
from pathlib import Path

import nbformat
import pandas as pd
from latex2mathml.converter import convert as latex_to_mathml
from nbconvert import HTMLExporter
from nbconvert.preprocessors import Preprocessor

from study.benchmark import targets
from study.config import PROJECT, ConfigError
from study.plots import NAMES
from study.results import load_runs, mean_and_deviation

README = PROJECT / "README.md"
PUBLISHED = PROJECT / "data" / "results" / "stanford_cars"
DATASET_NAMES = {"stanford_cars": "Stanford Cars photographs", "rendered_cars": "rendered cars"}


def comparison_table(runs):
    """A row for each optimizer and implementation of the group `comparison`: test quality over the seeds."""
    rows = []
    for (optimizer, backend), cell in runs[runs.group == "comparison"].groupby(["optimizer", "backend"]):
        rows.append(
            {
                "optimizer": NAMES[optimizer],
                "in": NAMES[backend],
                "learning rate": f"{cell.learning_rate.iloc[0]:g}",
                "window": cell.window.iloc[0] if optimizer.startswith("adasmooth") else "–",
                "seeds": len(cell),
                "test accuracy": mean_and_deviation(cell.test_accuracy),
                "test loss": mean_and_deviation(cell.test_loss, percent=False),
                "train loss": mean_and_deviation(cell.train_loss, percent=False),
            }
        )
    return pd.DataFrame(rows)


def question(runs):
    """The opening sentence of a report."""
    comparison = runs[runs.group == "comparison"]
    run, seeds = comparison.iloc[0], comparison.seed.nunique()
    return (
        f"AlexNet trained with AdaSmooth and with Adam, in NumPy and in JAX, on {run.counts['train']:,} "
        f"{DATASET_NAMES[run.dataset]} of {len(run.class_names)} classes, {run.epochs} epochs, {seeds} "
        f"seed{'s' if seeds > 1 else ''} each, on {run.machine}. What came out:"
    )


def setting(runs):
    """One sentence: what was trained, on what, for how long, where."""
    run = runs[runs.group == "comparison"].iloc[0]
    counts = run["counts"]
    return (
        f"AlexNet at {run.image_size} px, width {run.width:g}, batch {run.batch_size}, {run.epochs} epochs, "
        f"{run.schedule} learning rate; {DATASET_NAMES[run.dataset]}, {len(run.class_names)} classes ({run.label}), "
        f"{counts['train']:,} training, {counts['validation']:,} validation and {counts['test']:,} test images; "
        f"on {run.machine}. Means ± standard deviations over the seeds."
    )


def findings(runs, speed=None):
    """What came out, in sentences (Markdown), each from the run files alone."""
    comparison = runs[runs.group == "comparison"]
    finished = comparison[~comparison.diverged]
    # The runs of one seed share their weights and batches: the sample is the seeds, not the runs.
    by_seed = finished.groupby(["optimizer", "seed"]).test_accuracy.mean().unstack("optimizer")
    train_loss = finished.groupby(["optimizer", "seed"]).train_loss.mean().unstack("optimizer")
    sentences = []
    if {"adam", "adasmooth"} <= set(by_seed):
        rates = comparison.groupby("optimizer").learning_rate.first()
        difference, seeds = paired(100 * (by_seed.adasmooth - by_seed.adam), 1)
        slower, _ = paired(train_loss.adasmooth - train_loss.adam, 3)
        sentences.append(
            f"**Quality.** AdaSmooth ends at {mean_and_deviation(by_seed.adasmooth.dropna())} test accuracy (learning "
            f"rate {rates.adasmooth:g}), Adam at {mean_and_deviation(by_seed.adam.dropna())} (learning rate "
            f"{rates.adam:g}); the difference is {difference} points, paired over {seeds} (mean of both "
            f"implementations). Always guessing the most frequent class gives {majority(finished):.1%}."
        )
        sentences.append(
            f"**Convergence.** After the same {comparison.epochs.iloc[0]} epochs AdaSmooth's training loss is "
            f"{mean_and_deviation(train_loss.adasmooth.dropna(), percent=False)}, Adam's "
            f"{mean_and_deviation(train_loss.adam.dropna(), percent=False)}; the paired difference is {slower}."
        )
    if comparison.diverged.any():
        sentences.append(f"**Divergence.** {comparison.diverged.sum()} of {len(comparison)} runs diverged.")
    pairs = finished.pivot_table(index=["optimizer", "seed"], columns="backend", values="test_accuracy")
    if {"numpy", "jax"} <= set(pairs):
        gap = 100 * (pairs["numpy"] - pairs["jax"]).dropna()
        masks = ", with dropout masks of their own" if finished.dropout.max() > 0 else ""
        sentences.append(
            f"**Two implementations, one network.** From the same weights and batches{masks}, NumPy and JAX end "
            f"{gap.abs().mean():.1f} points of test accuracy apart on average ({len(gap)} "
            f"{'pairs' if len(gap) > 1 else 'pair'} of runs); NumPy's mean is {gap.mean():+.1f} from JAX's."
        )
    if speed is not None:
        largest = speed[(speed.image_size == speed.image_size.max()) & (speed.task == "AlexNet (2012)")]
        batch_size = 32 if (largest.batch_size == 32).any() else largest.batch_size.max()
        medians = largest[largest.batch_size == batch_size].groupby("implementation").seconds.median()
        parts = [f"{name} {1000 * medians[name]:,.0f} ms" for name in ("NumPy", "JAX", "PyTorch") if name in medians]
        floor = f"; the matrix products alone would take {1000 * medians['GEMM floor']:,.0f} ms"
        sentences.append(
            f"**Speed.** Forward and backward at {largest.image_size.iloc[0]} px, batch "
            f"{batch_size}, width {largest.width.iloc[0]:g}: {', '.join(parts)}{floor}."
        )
    return sentences


def paired(differences, digits):
    """ "+0.1 ± 0.9" and "3 seeds", from a difference for each seed."""
    differences = differences.dropna()
    spread = f" ± {differences.std(ddof=1):.{digits}f}" if len(differences) > 1 else ""
    seeds = f"{len(differences)} seed{'s' if len(differences) > 1 else ''}"
    return f"{differences.mean():+.{digits}f}{spread}".replace("-", "−"), seeds


def majority(runs):
    """The share of the most frequent class among the test images."""
    return max(map(sum, runs.confusion.iloc[0])) / runs.counts.iloc[0]["test"]


def limits(runs):
    """What the numbers do not say (Markdown), as far as it depends on the runs."""
    trials = runs[runs.group == "learning_rate"].groupby("optimizer").size()
    tuning = (
        "Each optimizer's learning rate (and AdaSmooth's window) is the best of a sweep with one seed and "
        f"{runs[runs.group == 'learning_rate'].epochs.iloc[0]} epochs, {trials.get('adam', 0)} trials for Adam and "
        f"{trials.get('adasmooth', 0)} for AdaSmooth; their other constants are the papers' defaults"
        if len(trials)
        else "The learning rates were not tuned"
    )
    seeds = runs[runs.group == "comparison"].seed.nunique()
    number = "One seed tells" if seeds == 1 else f"{seeds} seeds tell"
    items = [f"This is a first comparison. {tuning}. {number} large differences from small ones and no more."]
    if runs.dataset.iloc[0] == "stanford_cars":
        items.append(
            "The split of Stanford Cars is our own, and the cars are cropped to their boxes: the numbers do not "
            "compare with published ones."
        )
    items.append("The networks are sized for a CPU: small images, fewer channels.")
    return "\n".join(f"- {item}" for item in items)


def speed_table(speed):
    """The benchmark's targets and what was measured (Markdown); `speed` as from `load_speed`."""
    if speed is None:
        return "Not measured."
    table = targets(speed)
    table["measured"] = table.measured.map("{:.2f}".format)
    machine = f"Ratios of medians of {speed['repeat'].max() + 1} interleaved repeats, on {speed.machine.iloc[0]}."
    return f"{table.to_markdown(index=False, disable_numparse=True)}\n\n{machine}"


def dataset_section(path):
    """What was found in the dataset and what became of it (Markdown), from the file that the workflow writes."""
    about = next(iter(json.loads(Path(path).read_text()).values()))
    counts = ", ".join(f"{count:,} {name}" for name, count in about["counts"].items())
    text = f"Found: {html.escape(about['source'])}. Images: {counts}."
    if about["outcomes"]:
        table = pd.DataFrame(
            sorted(about["outcomes"].items(), key=lambda item: -item[1]), columns=["photographs", "number"]
        )
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
    runs, _ = load_runs(folder)
    table = comparison_table(runs).to_markdown(index=False, disable_numparse=True)
    speed = load_speed(folder)
    bullets = "\n".join(f"- {sentence}" for sentence in findings(runs, speed))
    return {
        "findings": f"{question(runs)}\n\n{bullets}",
        "speed": f"{speed_table(speed)}\n\n{accelerator_table(folder)}",
        "results": f"{table}\n\n{setting(runs)}",
        "limits": limits(runs),
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
