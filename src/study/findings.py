"""What came out, as tables and sentences (Markdown): every number computed from the run files, nothing typed by hand.

The groups of runs are those of data/PROTOCOL.md. What a profile has not run is passed over.
"""

import numpy as np
import pandas as pd

from study.plots import NAMES
from study.statistics import TARGET, TOLERANCE, interval, paired, steps_to, width

DATASET_NAMES = {"stanford_cars": "Stanford Cars photographs", "rendered_cars": "rendered cars"}
OWN_EPS = {"adam": 1e-8}  # the others': 1e-6


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
    return f"ε {run.eps or OWN_EPS.get(run.optimizer, 1e-6):.0e}".replace("e-0", "e-")


def estimate(values, unit="", digits=3):
    """ "44.1 [43.6, 44.7] %": the mean and its 95 % interval; of fewer than three values the mean alone."""
    values = np.asarray(values, float)
    if unit == " %":
        values, digits = 100 * values, 1
    low, high = interval(values)
    spread = "" if np.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{np.nanmean(values):.{digits}f}{spread}{unit}".replace("-", "−")


def difference(values, unit="", digits=3):
    """ "+0.054 [0.040, 0.068]": as `estimate`, with its sign."""
    return ("+" if np.mean(values) >= 0 else "") + estimate(values, unit, digits)


def is_difference(values):
    """Whether the interval of the mean excludes zero."""
    low, high = interval(values)
    return bool(low > 0 or high < 0)


def with_steps(runs, histories):
    """`runs` with the steps to the target, and the seconds that they take at the run's median pace."""
    by_run = histories.groupby("run")[["step", "val_loss", "seconds"]]
    steps = by_run.apply(steps_to)
    pace = by_run.apply(lambda history: history.seconds.median() / history.step.min())
    return runs.assign(steps_to_target=runs.run.map(steps), seconds_to_target=runs.run.map(steps * pace))


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
                "diverged": int(cell.diverged.sum()),
            }
        )
    return pd.DataFrame(rows)


def tuned(runs, schedule="cosine", backend="jax"):
    """The runs of the comparison that the paired differences are taken from."""
    return runs[(runs.group == "comparison") & (runs.schedule == schedule) & (runs.backend == backend) & ~runs.diverged]


def surface(runs, optimizer):
    """Final validation losses of the insensitivity runs: a row a choice of constants, a column a learning rate."""
    chosen = runs[runs.group.isin(["tuning", "surface"]) & (runs.optimizer == optimizer)]
    chosen = chosen.assign(constants=[constants(run) for run in chosen.itertuples()])
    losses = chosen.val_loss.where(~chosen.diverged)
    table = chosen.assign(val_loss=losses).pivot(index="constants", columns="learning_rate", values="val_loss")
    full = table.columns[chosen.groupby("learning_rate").size() == len(table)]  # edges extended in tuning alone
    return table[full]


def widths(losses):
    """Of a `surface`: each row's width in decades within 5 % of the best loss of all, and the share of cells within."""
    bound = TOLERANCE * losses.min(axis=None)
    by_row = losses.apply(lambda row: width(losses.columns, row, bound), axis=1)
    return by_row, float((losses <= bound).to_numpy().mean())


def sensitivity_table(runs):
    """A row for each choice of constants of Adam and AdaSmooth: where it is best, and how wide the region is."""
    rows = []
    for optimizer in ("adam", "adasmooth"):
        losses = surface(runs, optimizer)
        by_row, share = widths(losses)
        for row, losses_there in losses.iterrows():
            best = losses_there.idxmin()
            rows.append([NAMES[optimizer], row, f"{best:g}", f"{losses_there[best]:.3f}", f"{by_row[row]:.2f}"])
        rows.append([NAMES[optimizer], f"mean; {share:.0%} of the grid within", "", "", f"{by_row.mean():.2f}"])
    columns = ["optimizer", "constants", "best learning rate", "validation loss there", "decades within 5 %"]
    return pd.DataFrame(rows, columns=columns)


def with_variants(runs):
    """The runs of the ablation with the `name` of what was changed; the loss of one that diverged is NaN."""
    chosen = runs[runs.group == "ablation"]
    losses = chosen.val_loss.where(~chosen.diverged)
    return chosen.assign(name=[_variant(run) for run in chosen.itertuples()], val_loss=losses)


def ablation_table(runs):
    """Mean final validation loss: a row for each change of AdaSmooth and each control, a column a learning rate."""
    table = with_variants(runs).pivot_table(index="name", columns="learning_rate", values="val_loss", dropna=False)
    return table.loc[table.min(axis=1).sort_values().index]


VARIANTS = {
    "paper": "AdaSmooth",
    "first_ratio_0": "first ratio 0",
    "ratio_0": "ratio 0 everywhere",
    "ratio_1": "ratio 1 everywhere",
    "ratio_layer": "ratio: mean of the layer",
    "ratio_coin": "ratio of a coin's path",
    "unsquared": "c instead of c²",
    "eps_outside": "ε outside the root",
}


def _variant(run):
    if run.optimizer == "adam" and run.beta1 == 0:
        return "Adam, β1 = 0"
    name = VARIANTS[run.variant] if run.optimizer == "adasmooth" else NAMES[run.optimizer]
    name = "window never reset" if name == "AdaSmooth" and run.window == "training" else name
    return f"{name}, {_eps(run)}" if run.eps else name


def question(runs):
    """The opening sentence of a report."""
    comparison = runs[runs.group == "comparison"]
    run, seeds = comparison.iloc[0], tuned(runs).groupby("optimizer").seed.nunique()
    number = f"{seeds.min()} to {seeds.max()}" if seeds.min() < seeds.max() else seeds.max()
    return (
        f"AlexNet trained with {_listed(sorted(NAMES[each] for each in comparison.optimizer.unique()))} on "
        f"{run.counts['train']:,} {DATASET_NAMES[run.dataset]} of {len(run.class_names)} classes, {run.epochs} epochs, "
        f"{number} seed{'s' if seeds.max() > 1 else ''} each, on {run.machine}. What came out:"
    )


def _listed(words):
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]


def setting(runs):
    """One sentence: what was trained, on what, for how long, where."""
    run = runs[runs.group == "comparison"].iloc[0]
    counts = run["counts"]
    return (
        f"AlexNet at {run.image_size} px, width {run.width:g}, batch {run.batch_size}, {run.epochs} epochs, "
        f"{'no dropout' if run.dropout == 0 else f'dropout {run.dropout:g}'}; {DATASET_NAMES[run.dataset]}, "
        f"{len(run.class_names)} classes ({run.label}), {counts['train']:,} training, {counts['validation']:,} "
        f"validation and {counts['test']:,} test images; on {run.machine}. Means over the seeds with 95 % bootstrap "
        f"intervals. Steps to a validation loss of {TARGET:.2f}: mean over those runs that got there (how many)."
    )


def findings(runs, histories, speed=None):
    """What came out, in sentences (Markdown)."""
    parts = [quality, convergence, insensitivity, mechanism]
    sentences = [part(runs, histories) for part in parts] + [implementations(runs), timing(speed)]
    return [sentence for sentence in sentences if sentence]


def quality(runs, _):
    cells = tuned(runs)
    if not {"adam", "adasmooth"} <= set(cells.optimizer):
        return None
    accuracy = 100 * paired(cells, "test_accuracy", "adasmooth")
    means = [estimate(cells[cells.optimizer == name].test_accuracy, " %") for name in ("adasmooth", "adam")]
    verdict = "No difference in accuracy" if not is_difference(accuracy) else "A difference in accuracy"
    verdict = f"{verdict} ({len(accuracy)} paired seeds)" if len(accuracy) > 2 else "One seed"
    return (
        f"**Quality.** {verdict}: AdaSmooth ends at {means[0]} test accuracy, Adam at {means[1]}, "
        f"{difference(accuracy, digits=1)} points. Always guessing the most frequent class gives {majority(cells):.1%}."
    )


def convergence(runs, histories):
    cells = tuned(with_steps(runs, histories))
    if not {"adam", "adasmooth"} <= set(cells.optimizer):
        return None
    training, validation = (paired(cells, column, "adasmooth") for column in ("train_loss", "val_loss"))
    reached = []
    for name in ("adasmooth", "adam"):
        of = cells[cells.optimizer == name]
        steps, seconds = of.steps_to_target.dropna(), of.seconds_to_target.dropna()
        if len(steps):
            reached.append(
                f"{NAMES[name]} {steps.mean():,.0f} steps or {seconds.mean():.0f} s ({len(steps)} of {len(of)} runs)"
            )
        else:
            reached.append(f"{NAMES[name]} none of its {len(of)} runs")
    return (
        f"**Convergence.** After the same steps AdaSmooth's training loss differs from Adam's by "
        f"{difference(training)}, its validation loss by {difference(validation)}. To a validation loss of "
        f"{TARGET:.2f}: {'; '.join(reached)}."
    )


def insensitivity(runs, _):
    if not (runs.group == "surface").any():
        return None
    parts = []
    for name in ("adasmooth", "adam"):
        by_row, share = widths(surface(runs, name))
        parts.append(f"{NAMES[name]} {by_row.mean():.2f} decades of learning rate on average ({share:.0%} of the grid)")
    return (
        f"**Insensitivity.** Within {TOLERANCE - 1:.0%} of its best validation loss stays, over "
        f"{len(by_row)} choices of the other constants, {' and '.join(parts)}."
    )


def mechanism(runs, _):
    chosen = runs[runs.group == "ablation"]
    if chosen.empty:
        return None
    table = ablation_table(runs).min(axis=1)
    names = ["AdaSmooth", *(VARIANTS[key] for key in ("ratio_layer", "ratio_coin")), "RMSProp", "AdaSmooth, ε 1e-12"]
    return (
        "**Why.** Best mean validation loss over three learning rates: "
        + "; ".join(f"{name} {table[name]:.3f}" for name in names if name in table)
        + "."
    )


def implementations(runs):
    finished = runs[(runs.group == "comparison") & ~runs.diverged]
    keys = ["optimizer", "schedule", "seed"]
    pairs = finished.pivot_table(index=keys, columns="backend", values="test_accuracy")
    if not {"numpy", "jax"} <= set(pairs):
        return None
    gap = 100 * (pairs["numpy"] - pairs["jax"]).dropna()
    return (
        f"**Two implementations, one network.** From the same weights and batches NumPy and JAX end "
        f"{gap.abs().mean():.1f} points of test accuracy apart on average ({len(gap)} "
        f"{'pairs' if len(gap) > 1 else 'pair'} of runs); NumPy's mean is {gap.mean():+.1f} from JAX's."
    )


def timing(speed):
    if speed is None:
        return None
    largest = speed[(speed.image_size == speed.image_size.max()) & (speed.task == "AlexNet (2012)")]
    batch_size = 32 if (largest.batch_size == 32).any() else largest.batch_size.max()
    medians = largest[largest.batch_size == batch_size].groupby("implementation").seconds.median()
    parts = [f"{name} {1000 * medians[name]:,.0f} ms" for name in ("NumPy", "JAX", "PyTorch") if name in medians]
    return (
        f"**Speed.** Forward and backward at {largest.image_size.iloc[0]} px, batch {batch_size}, width "
        f"{largest.width.iloc[0]:g}: {', '.join(parts)}; the matrix products alone would take "
        f"{1000 * medians['GEMM floor']:,.0f} ms."
    )


def majority(runs):
    """The share of the most frequent class among the test images."""
    return max(map(sum, runs.confusion.iloc[0])) / runs.counts.iloc[0]["test"]


def limits(runs):
    """What the numbers do not say (Markdown), as far as it depends on the runs."""
    trials = runs[runs.group == "tuning"].groupby("optimizer").size()
    seeds = tuned(runs).groupby("optimizer").seed.nunique()
    items = []
    if len(trials):
        items.append(
            f"Each optimizer was tuned with {trials.min()} trials of one seed; which of those wins that differ by less "
            "than the seeds do is luck, for all alike."
        )
    else:
        items.append("The learning rates were not tuned.")
    if seeds.max() == 1:
        items.append("One seed tells large differences from small ones and no more.")
    if runs.dataset.iloc[0] == "stanford_cars":
        items.append(
            "One split of Stanford Cars, our own, the cars cropped to their boxes: the numbers do not compare with "
            "published ones."
        )
    items.append("The networks are sized for a CPU: small images, fewer channels, short training.")
    return "\n".join(f"- {item}" for item in items)
