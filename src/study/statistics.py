"""What the study is judged by (data/PROTOCOL.md): intervals and paired differences; and how a number is written."""

from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap, sem, t

DIGITS = {  # behind the point; of other units three
    "%": 1, "points": 1, "% of digits": 2, "points of digits": 2, "steps": 0, "ms": 0, "s": 0, "×": 2, "decades": 2,
    "numbers": 0, "models": 0, "runs": 0,
}  # fmt: skip


class Estimate(NamedTuple):
    """A number with its 95 % interval (NaN where there is none), as `facts.csv` holds it."""

    value: float
    low: float = np.nan
    high: float = np.nan
    n: int = 1  # how many runs it is of
    unit: str = ""
    signed: bool = False  # a difference: written with its sign

    def __str__(self):
        """The one way in which numbers are written: "−1.7 (−2.7 to −0.6)"; the unit stands beside."""
        digits = DIGITS.get(self.unit, 3)
        if self.unit == "%" and self.high - self.low > 1:
            digits = 0
        sign = "+" if self.signed else ""
        value, low, high = (f"{each:{sign},.{digits}f}".replace("-", "−") for each in self[:3])
        return value if np.isnan(self.low) else f"{value} ({low} to {high})"


def estimate(values, unit="", signed=False, student=False):
    """The mean of what runs gave, with its interval. (N,) -> Estimate; NaN are left out, shares are made per cent."""
    values = np.asarray(values, float) * (100 if unit.startswith(("%", "points")) else 1)
    values = values[np.isfinite(values)]
    return Estimate(values.mean() if len(values) else np.nan, *interval(values, student), len(values), unit, signed)


def difference(values, unit="", student=False):
    """The same of differences, which are written with their sign."""
    return estimate(values, unit, signed=True, student=student)


def interval(values, student=False):
    """The 95 % interval of the mean. (N,) -> low, high; NaN for fewer than three.

    By Student's t if `student`, else by the bootstrap (BCa, 10,000 resamples); of fewer than eight values the bootstrap
    excludes the true mean far too often (of three in 29 % of all samples), and Student's t takes its place.
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if len(values) < 3:
        return np.nan, np.nan
    if np.ptp(values) == 0:
        return values[0], values[0]
    if student or len(values) < 8:
        return t.interval(0.95, len(values) - 1, values.mean(), sem(values))
    return tuple(bootstrap((values,), np.mean, n_resamples=10_000, method="BCa", rng=0).confidence_interval)


def paired(runs, column, arm, against="Adam"):
    """The differences `arm` − `against` of the runs that share a seed. -> a Series by seed, NaN left out

    Raises ValueError if a seed has two runs of an arm.
    """
    by_seed = runs.pivot(index="seed", columns="arm", values=column)
    return by_seed.reindex(columns=[arm, against]).diff(-1, axis=1)[arm].dropna()
