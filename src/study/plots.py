"""How the figures look, and where they go. The figures themselves are made in the notebooks."""

import io
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from IPython import display
from matplotlib.ticker import PercentFormatter
from PIL import Image

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


def save(figure, folder, name, alt="", dpi=144):
    """Show a figure, and write it as `folder`/`name`.png if there is a folder; a reader's own notebook has none.

    `alt` says what is seen, for those who do not see it. The file holds a palette of 256 colours, which makes it a
    third as large, and no software version: the same figure is the same file.
    """
    drawn, file = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=dpi)
    plt.close(figure)  # or Jupyter would show it again
    picture = Image.open(drawn).convert("RGB")
    if picture.getcolors(2**14):
        picture = picture.quantize()
    else:  # photographs: this method keeps rare colours, and spreads its error over neighbours
        picture = picture.quantize(palette=picture.quantize(method=Image.Quantize.FASTOCTREE))
    picture.save(file, "png", optimize=True, dpi=(dpi, dpi))
    if folder:
        project_path(folder).mkdir(parents=True, exist_ok=True)
        (project_path(folder) / f"{name}.png").write_bytes(file.getvalue())
    show(file.getvalue(), name, alt)


def show(png, name, alt):
    """Show a figure, given the bytes of its file; the report knows it by its name."""
    picture = Image.open(io.BytesIO(png))
    width = round(96 * picture.width / picture.info.get("dpi", (144, 144))[0])
    display.display(display.Image(png, width=width, alt=alt, metadata={"figure": name}))


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
