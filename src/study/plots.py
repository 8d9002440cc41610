"""How the figures look, and where they go. The figures themselves are made in the notebooks."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from study.config import project_path
from study.statistics import interval

# One colour for one thing, in all figures (from the Okabe–Ito palette, which colour-blind readers can tell apart).
COLOURS = {
    "AdaSmooth": "#d55e00",
    "AdaSmooth with momentum": "#e69f00",
    "Adam": "#0072b2",
    "Adam without momentum": "#56b4e9",
    "AdaSmoothDelta": "#cc79a7",
    "RMSProp": "#009e73",
    "AdaDelta": "#882255",
    "AdaGrad": "#999933",
    "SGD": "#666666",
    "NumPy": "#0072b2",
    "JAX": "#e69f00",
    "PyTorch": "#d55e00",
    "GEMM floor": "#999999",
    "input pipeline": "#56b4e9",
}


def colour(arm):
    """The colour of an arm; of "AdaSmooth, ..." and "AdaSmooth (ρ2 0.9)" AdaSmooth's, of an unknown one grey."""
    name = arm if arm in COLOURS else arm.split(",")[0].split(" (")[0]
    return COLOURS.get(name, "#666666")


def in_order(arms):
    """Arms as tables and legends list them: in the order of COLOURS, the unknown ones last."""
    known = list(COLOURS)
    return sorted(set(arms), key=lambda arm: (known.index(arm) if arm in known else len(known), arm))


def use_style():
    """Set the style of all figures."""
    sns.set_theme(context="notebook", style="whitegrid", rc={"axes.spines.top": False, "axes.spines.right": False})
    plt.rcParams.update({"figure.dpi": 96, "savefig.dpi": 144, "savefig.bbox": "tight"})
    plt.rcParams["figure.constrained_layout.use"] = True


def save(figure, folder, name, dpi=144):
    """Write a figure as `folder`/`name`.png, if there is a folder; a reader's own copy of a notebook has none."""
    if folder:
        path = project_path(folder) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        # No software version inside: the same figure is the same file.
        figure.savefig(path, dpi=dpi, metadata={"Software": None}, pil_kwargs={"optimize": True})


def percent(axis):
    """Label the y axis, which holds fractions, in percent."""
    axis.yaxis.set_major_formatter(PercentFormatter(1))


def wrapped(name):
    """A class name on up to three short lines."""
    return textwrap.fill(name, 20, max_lines=3, placeholder=" …")


def seeds_and_mean(axis, place, values, colour):
    """A row of a forest plot at height `place`: seeds as points, their mean as a tick, its 95 % interval as a bar."""
    axis.scatter(values, np.full(len(values), place), s=14, alpha=0.5, color=colour)
    axis.plot(interval(values), [place, place], color=colour, linewidth=2)
    axis.plot(np.mean(values), place, "|", color=colour, markersize=16, markeredgewidth=3)
