"""What the study is judged by (data/PROTOCOL.md): intervals, paired differences, steps to a target, widths."""

import numpy as np
from scipy.stats import bootstrap, sem, t

TARGET = 1.60  # validation loss
TOLERANCE = 1.05  # times the best loss: the region of insensitivity


def interval(values):
    """The 95 % interval of the mean. (N,) -> low, high; NaN for fewer than three.

    By the bootstrap (BCa, 10,000 resamples) from eight values on; of fewer the bootstrap excludes the true mean far too
    often (of three in 29 % of all samples), and Student's t takes its place.
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if len(values) < 3:
        return np.nan, np.nan
    if np.ptp(values) == 0:
        return values[0], values[0]
    if len(values) < 8:
        return t.interval(0.95, len(values) - 1, values.mean(), sem(values))
    return tuple(bootstrap((values,), np.mean, n_resamples=10_000, method="BCa", rng=0).confidence_interval)


def paired(runs, column, optimizer, against="adam"):
    """The differences `optimizer` − `against` of the runs that share a seed, one backend's and schedule's. -> (N,)

    Raises ValueError if a seed has two runs of an optimizer.
    """
    by_seed = runs.pivot(index="seed", columns="optimizer", values=column)
    if not {optimizer, against} <= set(by_seed):
        return np.array([])
    return (by_seed[optimizer] - by_seed[against]).dropna().to_numpy()


def steps_to(history, target=TARGET):
    """The step at which a run's validation loss first reaches `target`, linear between epochs; NaN if it never does."""
    steps, losses = history.step.to_numpy(float), history.val_loss.to_numpy(float)
    reached = np.flatnonzero(losses <= target)
    if len(reached) == 0:
        return np.nan
    pair = slice(max(reached[0] - 1, 0), reached[0] + 1)
    return np.interp(-target, -losses[pair], steps[pair])  # np.interp wants what rises


def width(learning_rates, losses, bound):
    """How many decades of learning rate around the best keep the loss within `bound`.

    Between grid points the loss is linear in the logarithm of the learning rate; a run that diverged counts as
    infinitely bad, and the region ends at the grid's ends. (N,), (N,) -> decades; 0 if even the best is outside.
    """
    order = np.argsort(learning_rates)
    rates = np.log10(np.asarray(learning_rates, float)[order])
    losses = np.nan_to_num(np.asarray(losses, float)[order], nan=np.inf)
    best = losses.argmin()
    if losses[best] > bound:
        return 0.0

    def edge(direction):
        here = best
        while 0 <= here + direction < len(rates):
            there = here + direction
            if losses[there] > bound:
                part = (bound - losses[here]) / (losses[there] - losses[here])  # 0 if `there` is infinite
                return rates[here] + part * (rates[there] - rates[here])
            here = there
        return rates[here]

    return edge(1) - edge(-1)
