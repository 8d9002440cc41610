"""How the figures look, and where they go. The figures themselves are made in the notebooks."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from study.statistics import interval

# One colour for one thing, in all figures (from the Okabe–Ito palette, which colour-blind readers can tell apart).
COLOURS = {
    "adasmooth": "#d55e00",
    "adam": "#0072b2",
    "adasmooth_delta": "#cc79a7",
    "rmsprop": "#009e73",
    "adadelta": "#882255",
    "sgd": "#666666",
    "NumPy": "#0072b2",
    "JAX": "#e69f00",
    "PyTorch": "#d55e00",
    "GEMM floor": "#999999",
    "input pipeline": "#56b4e9",
}
NAMES = {
    "adasmooth": "AdaSmooth",
    "adam": "Adam",
    "adasmooth_delta": "AdaSmoothDelta",
    "rmsprop": "RMSProp",
    "adadelta": "AdaDelta",
    "sgd": "SGD",
    "numpy": "NumPy",
    "jax": "JAX",
}


def use_style():
    """Set the style of all figures."""
    sns.set_theme(context="notebook", style="whitegrid", rc={"axes.spines.top": False, "axes.spines.right": False})
    plt.rcParams.update({"figure.dpi": 96, "savefig.dpi": 144, "savefig.bbox": "tight"})
    plt.rcParams["figure.constrained_layout.use"] = True


def save(figure, folder, name, dpi=144):
    """Write a figure as `folder`/`name`.png, if there is a folder; a reader's own copy of a notebook has none."""
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        # No software version inside: the same figure is the same file.
        path = Path(folder) / f"{name}.png"
        figure.savefig(path, dpi=dpi, metadata={"Software": None}, pil_kwargs={"optimize": True})


def percent(axis):
    """Label the y axis, which holds fractions, in percent."""
    axis.yaxis.set_major_formatter(PercentFormatter(1))


def wrapped(name):
    """A class name on up to three short lines."""
    return textwrap.fill(name, 20, max_lines=3, placeholder=" …")


def contact_sheet(images, labels, class_names, each=8, seed=0):
    """A row of `each` random images for every class. images (N, S, S, 3) uint8, labels (N,)"""
    generator = np.random.default_rng(seed)
    figure, axes = plt.subplots(
        len(class_names), each, figsize=(each * 1.05 + 1, len(class_names) * 1.05), squeeze=False
    )
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    for label, row in enumerate(axes):
        members = np.flatnonzero(labels == label)
        chosen = generator.choice(members, min(each, len(members)), replace=False)
        for axis in row:
            axis.set_axis_off()
        for axis, index in zip(row, chosen, strict=False):
            axis.imshow(images[index])
        name = wrapped(class_names[label])
        row[0].text(-0.08, 0.5, name, transform=row[0].transAxes, ha="right", va="center", fontsize=11)
    return figure


def seeds_and_mean(axis, place, values, colour):
    """A row of a forest plot at height `place`: seeds as points, their mean as a tick, its 95 % interval as a bar."""
    axis.scatter(values, np.full(len(values), place), s=14, alpha=0.5, color=colour)
    axis.plot(interval(values), [place, place], color=colour, linewidth=2)
    axis.plot(np.mean(values), place, "|", color=colour, markersize=16, markeredgewidth=3)


def learning_curves(histories, metrics, rows="schedule"):
    """Mean over the seeds with its 95 % interval, a panel for each metric, a colour an optimizer.

    Args:
        histories: a row an epoch and run, as from `results.load_runs`.
        metrics: {column: axis label}.
        rows: a column, each value of which gets a row of panels.
    """
    values = sorted(histories[rows].unique(), reverse=True)
    figure, axes = plt.subplots(
        len(values), len(metrics), figsize=(4.1 * len(metrics) + 1, 3.4 * len(values)), sharex=True, squeeze=False
    )
    named = histories.replace({"optimizer": NAMES})
    order = [NAMES[key] for key in NAMES if NAMES[key] in set(named.optimizer)]
    palette = {NAMES[key]: COLOURS[key] for key in NAMES if key in COLOURS}
    for value, line in zip(values, axes, strict=True):
        for axis, (column, label) in zip(line, metrics.items(), strict=True):
            last = axis is axes[0][-1]
            sns.lineplot(
                named[named[rows] == value], x="epoch", y=column, hue="optimizer", palette=palette,
                hue_order=order, errorbar=interval, ax=axis, legend="auto" if last else False,
            )  # fmt: skip
            axis.set(xlabel="epoch", ylabel=label)
            if len(values) > 1:
                axis.set_title(f"{rows}: {value}")
            if column.endswith("accuracy"):
                percent(axis)
            if last:
                sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure
