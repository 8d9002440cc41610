"""The tables of the study, from its run files; the groups of runs are those of data/PROTOCOL.md."""

import numpy as np
import pandas as pd
import scipy

from study.config import VARIANTS, epsilon
from study.plots import NAMES
from study.statistics import TARGET, TOLERANCE, interval, steps_to, width


def constants(run):
    """An optimizer's constants other than its learning rate, in words."""
    eps = _eps(run)
    return {
        "sgd": f"momentum {run.beta1:g}",
        "rmsprop": f"decay {run.rho:g}, {eps}",
        "adadelta": f"ρ {run.rho:g}, {eps}",
        "adam": f"β1 {run.beta1:g}, β2 {run.beta2:g}, {eps}",
        "adasmooth": f"ρ1 {run.rho1:g}, ρ2 {run.rho2:g}, window {run.window}",
        "adasmooth_delta": f"ρ1 {run.rho1:g}, ρ2 {run.rho2:g}, window {run.window}, {eps}",
    }[run.optimizer]


def _eps(run):
    return f"ε {epsilon(run):.0e}".replace("e-0", "e-")


def estimate(values, unit="", digits=3):
    """ "44.1 [43.6, 44.7] %": the mean and its 95 % interval; of fewer than three values the mean alone."""
    values = np.asarray(values, float)
    if unit == " %":
        values, digits = 100 * values, 1
    low, high = interval(values)
    spread = "" if np.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{np.nanmean(values):.{digits}f}{spread}{unit}".replace("-", "−")


def difference(values, digits=3):
    """ "+0.054 [0.040, 0.068]": as `estimate`, with its sign."""
    return ("+" if len(values) and np.mean(values) >= 0 else "") + estimate(values, digits=digits)


def with_steps(runs, histories):
    """`runs` with the steps to the target, the seconds of a step (of the fastest epoch: others were disturbed), and
    whether the run `failed`: it diverged, or ends no better than the class frequencies alone would."""
    by_run = histories.groupby("run")[["step", "val_loss", "seconds"]]
    steps = by_run.apply(steps_to)
    pace = by_run.apply(lambda history: history.seconds.min() / history.step.min())
    failed = runs.diverged | (runs.val_loss >= 0.99 * entropy(runs))
    return runs.assign(steps_to_target=runs.run.map(steps), pace=runs.run.map(pace), failed=failed)


def entropy(runs):
    """The cross-entropy of always predicting the class frequencies, in nats, of the runs' test images; infinite if no
    run has looked at them."""
    counts = next((np.sum(each, axis=1) for each in runs.confusion if isinstance(each, list)), [1])
    return scipy.stats.entropy(counts) or np.inf


def comparison_table(runs, histories, groups=("comparison", "defaults")):
    """A row for each optimizer, schedule and implementation: test quality and speed of convergence over the seeds."""
    rows = []
    chosen = with_steps(runs, histories)
    chosen = chosen[chosen.group.isin(groups)]
    keys = ["group", "schedule", "backend", "optimizer"]
    for (group, schedule, backend, optimizer), cell in chosen.groupby(keys, sort=False):
        finished, reached = cell[~cell.diverged], cell.steps_to_target.dropna()
        steps = f"{reached.mean():,.0f} ({len(reached)}/{len(cell)})" if len(reached) else f"never (0/{len(cell)})"
        rows.append(
            {
                "optimizer": NAMES[optimizer],
                "schedule": schedule,
                "in": NAMES[backend],
                "learning rate": f"{cell.learning_rate.iloc[0]:g}" + (", untuned" if group == "defaults" else ""),
                "constants": constants(cell.iloc[0]),
                "seeds": len(cell),
                "test accuracy": estimate(finished.test_accuracy, " %"),
                "validation loss": estimate(finished.val_loss),
                "training loss": estimate(finished.train_loss),
                f"steps to {TARGET:.2f}": steps,
                f"s to {TARGET:.2f}": f"{reached.mean() * cell.pace.min():.0f}" if len(reached) else "",
                "ms a step": f"{1000 * cell.pace.min():.0f}",
                "failed": int(cell.failed.sum()),
            }
        )
    return pd.DataFrame(rows).sort_values(["schedule", "in"], ascending=False, kind="stable")


def compared(runs, schedule="cosine", backend="jax"):
    """The runs of the comparison with one schedule, in one implementation."""
    return runs[(runs.group == "comparison") & (runs.schedule == schedule) & (runs.backend == backend)]


def tuned(runs, schedule="cosine", backend="jax"):
    """Those that did not diverge: the paired differences are taken from them."""
    return compared(runs, schedule, backend)[lambda table: ~table.diverged]


def schedules(runs):
    """The schedules of the comparison, cosine first."""
    return sorted(runs[runs.group == "comparison"].schedule.unique(), reverse=True)


def surface(runs, optimizer):
    """Final validation losses of the insensitivity runs: a row a choice of constants, a column a learning rate."""
    chosen = runs[runs.group.isin(["tuning", "surface"]) & (runs.optimizer == optimizer)]
    chosen = chosen.assign(constants=[constants(run) for run in chosen.itertuples()])
    chosen = chosen.assign(val_loss=chosen.val_loss.where(~chosen.diverged))
    chosen = chosen.drop_duplicates(["constants", "learning_rate"])
    table = chosen.pivot(index="constants", columns="learning_rate", values="val_loss")
    full = table.columns[chosen.groupby("learning_rate").size() == len(table)]  # edges extended in tuning alone
    return table[full]


def widths(losses, best=None):
    """Of a `surface`: each row's width in decades within 5 % of the best loss of all, and the share of cells within."""
    bound = TOLERANCE * (best or losses.min(axis=None))
    by_row = losses.apply(lambda row: width(losses.columns, row, bound), axis=1)
    return by_row, float((losses <= bound).to_numpy().mean())


def sensitivity_table(runs):
    """A row for each choice of constants of Adam and AdaSmooth: where it is best, and how wide the region is."""
    rows = []
    for optimizer in ("adam", "adasmooth"):
        losses = surface(runs, optimizer)
        by_row, share = widths(losses)
        bound = TOLERANCE * losses.min(axis=None)
        for row, there in losses.dropna(how="all").iterrows():
            best, at_an_end = there.idxmin(), (there.iloc[[0, -1]] <= bound).any()
            decades = f"{'≥ ' if at_an_end else ''}{by_row[row]:.2f}"
            rows.append([NAMES[optimizer], row, f"{best:g}", f"{there[best]:.3f}", decades])
        rows.append([NAMES[optimizer], f"mean; {share:.0%} of the grid within", "", "", f"{by_row.mean():.2f}"])
    columns = ["optimizer", "constants", "best learning rate", "validation loss there", "decades within 5 %"]
    return pd.DataFrame(rows, columns=columns)


def with_variants(runs, group="ablation"):
    """The runs of an ablation, and those of AdaSmooth itself, with the `name` of what was changed.

    The validation loss and the test accuracy of a run that diverged are NaN.
    """
    chosen = runs[runs.group == group]
    if group == "ablation":
        chosen = pd.concat([tuned(runs)[lambda table: table.optimizer == "adasmooth"], chosen])
    base = tuned(runs)[lambda table: table.optimizer == "adasmooth"].iloc[0]
    names = [_variant(run, base) for run in chosen.itertuples()]
    return chosen.assign(name=names, **chosen[["val_loss", "test_accuracy"]].where(~chosen.diverged))


def ablation_table(runs):
    """What each change of AdaSmooth and each control does, the best first: differences to AdaSmooth, seed by seed."""
    chosen, rows = with_variants(runs), []
    base = chosen[chosen.name == "AdaSmooth"].set_index("seed")
    for name, cell in chosen.groupby("name"):
        row = {"change": name, "learning rate": f"{cell.learning_rate.iloc[0]:g}", "seeds": len(cell)}
        for column, (label, unit) in ABLATED.items():
            row[label] = estimate(cell[column], unit)
            gaps = (cell.set_index("seed")[column] - base[column]).dropna()
            gap = difference(100 * gaps, digits=1) if unit else difference(gaps)
            row[f"{label} − AdaSmooth's"] = gap if name != "AdaSmooth" else ""
        rows.append(row | {"diverged": int(cell.diverged.sum()), "order": cell.val_loss.mean(skipna=False)})
    return pd.DataFrame(rows).sort_values("order").drop(columns="order")


ABLATED = {
    "val_loss": ("validation loss", ""),
    "test_accuracy": ("test accuracy", " %"),
    "train_loss": ("training loss", ""),
}
WINDOWS = {"training": "never reset", "epoch": "an epoch"}


def _variant(run, base):
    """What was changed in `run` against the run `base` of AdaSmooth."""
    if run.optimizer == "adam" and run.beta1 == 0:
        return "Adam, β1 = 0"
    if run.optimizer != "adasmooth":
        return NAMES[run.optimizer] + (f", {_eps(run)}" if run.eps else "")
    name = VARIANTS[run.variant]
    if run.window != base.window:
        name += f", window {WINDOWS.get(run.window, run.window)}"
    return name + (f", {_eps(run)}" if run.eps != base.eps else "")


def verdict(values, more, less, neither="no difference shown"):
    """In a word or two, whether the differences exclude zero, and to which side; None for too few of them."""
    low, high = interval(values)
    return None if np.isnan(low) else more if low > 0 else less if high < 0 else neither


def judged(values, more, less, unit="", digits=3):
    """ "+0.054 [0.040, 0.068] (worse, 10 seeds)": a `difference` and its `verdict`."""
    word, seeds = verdict(values, more, less), counted(values)
    return f"{difference(values, digits=digits)}{unit} ({f'{word}, {seeds}' if word else f'{seeds}, no verdict'})"


def counted(values):
    return f"{len(values)} seed{'s' if len(values) > 1 else ''}"


def majority(runs):
    """The share of the most frequent class among the test images."""
    return max(map(sum, runs.confusion.iloc[0])) / runs.counts.iloc[0]["test"]
