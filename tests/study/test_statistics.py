"""Intervals, paired differences, steps to a target, widths, printed numbers: against cases that can be worked out by
hand."""

import nbformat
import numpy as np
import pandas as pd
import pytest

from study import statistics
from study.config import PROJECT
from study.statistics import Estimate


def defined_in(notebook, function):
    """A function of the only notebook that needs it."""
    cells = nbformat.read(PROJECT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    (source,) = [cell.source for cell in cells if cell.cell_type == "code" and f"def {function}(" in cell.source]
    exec(source, variables := {"np": np})
    return variables[function]


def test_an_interval_covers_as_often_as_it_says():
    """Of 300 samples of 10 from a normal distribution about 95 % must hold its mean (a little less, so few are 10)."""
    samples = np.random.default_rng(0).normal(3, 2, (300, 10))
    inside = [low <= 3 <= high for low, high in map(statistics.interval, samples)]
    assert 0.86 < np.mean(inside) < 0.98


def test_intervals_of_few_or_equal_values():
    assert np.isnan(statistics.interval([1.0, 2.0])).all()
    assert statistics.interval([2.0, 2.0, 2.0]) == (2.0, 2.0)
    assert statistics.interval([1.0, np.nan, 2.0, 4.0]) == statistics.interval([1.0, 2.0, 4.0])


def test_pairs_share_a_seed():
    runs = pd.DataFrame(
        {
            "arm": ["Adam", "Adam", "Adam", "AdaSmooth", "AdaSmooth"],
            "seed": [0, 1, 2, 1, 0],
            "loss": [1.0, 2.0, 9.0, 2.5, 1.25],
        }
    )
    assert statistics.paired(runs, "loss", "AdaSmooth").to_dict() == {0: 0.25, 1: 0.5}
    assert statistics.paired(runs, "loss", "Adam", against="AdaSmooth").to_dict() == {0: -0.25, 1: -0.5}
    assert statistics.paired(runs, "loss", "SGD").empty
    with pytest.raises(ValueError, match="duplicate"):
        statistics.paired(pd.concat([runs, runs]), "loss", "AdaSmooth")


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (Estimate(-1.66, -2.69, -0.61, 10, "points", True), "−1.7 (−2.7 to −0.6)"),
        (Estimate(0.0135, -0.0219, 0.0378, 10, "", True), "+0.013 (−0.022 to +0.038)"),
        (Estimate(1.5472, 1.5395, 1.5546, 10), "1.547 (1.540 to 1.555)"),
        (Estimate(41.41, 40.97, 41.85, 5, "%"), "41.4 (41.0 to 41.9)"),
        (Estimate(41.92, 41.48, 42.58, 10, "%"), "42 (41 to 43)"),  # no decimal that the interval does not bear
        (Estimate(25.51, unit="%"), "25.5"),  # one run: no interval
        (Estimate(5, n=10, unit="runs"), "5"),
        (Estimate(1234.4, 1100, 1300, 3, "ms"), "1,234 (1,100 to 1,300)"),
        (Estimate(0.6232, n=63, unit="decades"), "0.62"),
    ],
)
def test_one_way_to_write_a_number(number, printed):
    assert str(number) == printed


def test_estimates_of_runs():
    """Shares become per cent, what diverged is left out, and of two runs there is no interval."""
    share = statistics.estimate([0.4, 0.42, np.nan, 0.44], "%")
    assert (share.value, share.n) == (pytest.approx(42), 3)
    assert 0 < share.low < 42 < share.high
    gap = statistics.difference([-0.01, -0.02, -0.03], "points")
    assert gap.signed
    assert gap.value == pytest.approx(-2)
    low, high = statistics.difference([-0.01, 0.02, -0.03])[1:3]
    assert low < 0 < high
    assert np.isnan(statistics.difference([-0.01, -0.02])[1:3]).all()


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([3, 1, 0.5], 150),  # half way between the first two
        ([2, 3, 4], 100),  # there at the first look
        ([3, 2.5, 2.1], np.nan),
        ([3, 2, 1], 200),
        ([3, 1, 9], 150),  # the first time counts
        ([3, np.nan, np.nan], np.nan),
    ],
)
def test_steps_to_a_target(losses, expected):
    history = pd.DataFrame({"step": [100, 200, 300], "val_loss": losses})
    np.testing.assert_equal(defined_in("06_convergence", "steps_to")(history, 2.0), expected)


@pytest.mark.parametrize(
    ("losses", "bound", "expected"),
    [
        ([9, 1, 9], 5, 1.0),  # half of each decade
        ([1, 1, 1], 5, 2.0),  # all of the grid
        ([9, 8, 9], 5, 0.0),
        ([9, 1, np.nan], 5, 0.5),  # nothing on the side that diverged
        ([1, 9, 2], 5, 0.5),  # only around the best
    ],
)
def test_widths(losses, bound, expected):
    width = defined_in("07_sensitivity", "width")
    rates = np.array([1e-4, 1e-3, 1e-2])
    assert width(rates, losses, bound) == pytest.approx(expected)
    shuffled = [2, 0, 1]
    assert width(rates[shuffled], np.array(losses)[shuffled], bound) == pytest.approx(expected)
