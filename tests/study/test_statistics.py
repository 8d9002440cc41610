"""Intervals, paired differences, steps to a target, widths: against cases that can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from study import statistics


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
            "optimizer": ["adam", "adam", "adam", "adasmooth", "adasmooth"],
            "seed": [0, 1, 2, 1, 0],
            "loss": [1.0, 2.0, 9.0, 2.5, 1.25],
        }
    )
    assert statistics.paired(runs, "loss", "adasmooth").tolist() == [0.25, 0.5]


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
    np.testing.assert_equal(statistics.steps_to(history, 2.0), expected)


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
    rates = np.array([1e-4, 1e-3, 1e-2])
    assert statistics.width(rates, losses, bound) == pytest.approx(expected)
    shuffled = [2, 0, 1]
    assert statistics.width(rates[shuffled], np.array(losses)[shuffled], bound) == pytest.approx(expected)
