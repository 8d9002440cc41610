"""What came out, in sentences (Markdown): every number computed from the run files, nothing typed by hand.

What a profile has not run is passed over.
"""

import pandas as pd
from scipy.stats import ttest_ind

from study import analysis
from study.analysis import counted, difference, estimate, judged, schedules, tuned, verdict
from study.config import VARIANTS
from study.plots import NAMES
from study.statistics import TARGET, TOLERANCE, paired
from study.tables import compare

DATASET_NAMES = {"stanford_cars": "Stanford Cars photographs", "rendered_cars": "rendered cars"}
LOSSES = {"validation loss": "val_loss", "training loss": "train_loss"}


def question(runs):
    """The opening sentence of a report."""
    comparison = runs[runs.group == "comparison"]
    run, seeds = comparison.iloc[0], tuned(runs).groupby("optimizer").seed.nunique()
    number = f"{seeds.min()} to {seeds.max()}" if seeds.min() < seeds.max() else seeds.max()
    return (
        f"AlexNet trained with {_listed(sorted(NAMES[each] for each in comparison.optimizer.unique()))} on "
        f"{run.counts['train']:,} {DATASET_NAMES[run.dataset]} of {len(run.class_names)} classes, {run.epochs} epochs, "
        f"{number} seed{'s' if seeds.max() > 1 else ''} each, on {machines(comparison)}. What came out:"
    )


def machines(runs):
    """Where runs were made; if on several machines, which schedule's on which: their milliseconds do not compare."""
    where = runs.groupby("machine").schedule.unique().map(sorted).map(_listed)
    return where.index[0] if len(where) == 1 else _listed([f"{here} ({each} schedule)" for here, each in where.items()])


def _listed(words):
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def answer(runs):
    """The study's question answered in up to three sentences."""
    schedule, cells, parts = schedules(runs)[0], tuned(runs), []
    if {"adam", "adasmooth"} <= set(cells.optimizer):
        losses, points = paired(cells, "val_loss", "adasmooth"), 100 * paired(cells, "test_accuracy", "adasmooth")
        word = verdict(losses, "worse than", "better than", "no differently from") or "too few times to judge it beside"
        alike = "Tuned alike, " if (runs.group == "tuning").any() else ""
        others = [
            f"; {each}: {difference(gap)} in validation loss, {verdict(gap, 'worse', 'better') or 'no verdict'}"
            for each in schedules(runs)[1:]
            if len(gap := paired(tuned(runs, each), "val_loss", "adasmooth"))
        ]
        parts = [
            f"{alike}AdaSmooth trains AlexNet {word} Adam on {len(cells.class_names.iloc[0])} classes in "
            f"{cells.epochs.iloc[0]} epochs: {difference(losses)} in validation loss, {difference(points, digits=1)} "
            f"points of test accuracy ({counted(losses)}, {schedule} schedule{''.join(others)})."
        ]
        final = runs[(runs.group == "models") & ~runs.diverged]
        if len(hard := 100 * paired(final, "test_accuracy", "adasmooth")):
            task = f"on {len(final.class_names.iloc[0])} classes in {final.epochs.iloc[0]} epochs"
            parts = [f"{parts[0][:-1]}; {task}: {judged(hard, 'better', 'worse', ' points', digits=1)}."]
    if (runs.group == "surface").any():
        ours, adams = (analysis.widths(analysis.surface(runs, name))[0] for name in ("adasmooth", "adam"))
        low, high = ttest_ind(ours, adams, equal_var=False).confidence_interval()
        holds = "holds" if low > 0 else "does not hold: the contrary does" if high < 0 else "is not borne out"
        parts.append(
            f"That it is less sensitive to its constants {holds}: within {TOLERANCE - 1:.0%} of its best loss it stays "
            f"over {ours.mean():.2f} decades of learning rate, Adam over {adams.mean():.2f}."
        )
    if (runs.group == "ablation").any():
        chosen = pd.concat([analysis.with_variants(runs), cells[cells.optimizer == "adam"].assign(name="Adam")])
        losses = chosen.pivot(index="seed", columns="name", values="val_loss")
        said = [
            judged((losses[VARIANTS[name]] - losses[other]).dropna(), "worse", "better")
            for name, other in (("ratio_coin", "AdaSmooth"), ("momentum", "Adam"))
        ]
        parts.append(
            f"A coin in place of its effective ratio changes AdaSmooth's validation loss by {said[0]}; given momentum, "
            f"which Adam has and it lacks, it ends {said[1]} from Adam's."
        )
    return " ".join(parts)


def setting(runs):
    """One sentence: what was trained, on what, for how long, where."""
    comparison = runs[runs.group == "comparison"]
    run, counts = comparison.iloc[0], comparison.counts.iloc[0]
    return (
        f"AlexNet at {run.image_size} px, width {run.width:g}, batch {run.batch_size}, {run.epochs} epochs, "
        f"{'no dropout' if run.dropout == 0 else f'dropout {run.dropout:g}'}; {DATASET_NAMES[run.dataset]}, "
        f"{len(run.class_names)} classes ({run.label}), {counts['train']:,} training, {counts['validation']:,} "
        f"validation and {counts['test']:,} test images; on {machines(comparison)}. Means over the seeds with "
        f"95 % bootstrap intervals. Steps to a validation loss of {TARGET:.2f}: mean over those runs that got there "
        "(how many)."
    )


def findings(runs, histories, speed=None, mnist=None):
    """What came out: [(a sentence in Markdown, the folder of the runs it is of, the notebook that shows more), ...]."""
    sentences = [
        (quality(runs, histories), "comparison", "06_convergence"),
        (convergence(runs, histories), "comparison", "06_convergence"),
        (insensitivity(runs), "surface", "07_sensitivity"),
        (mechanism(runs), "ablation", "08_mechanism"),
        (paper(mnist), "../mnist", "09_tables"),
        (models(runs), "models", "10_models"),
        (implementations(runs), "comparison", "06_convergence"),
        (timing(speed), "speed.csv", "11_speed"),
    ]
    return [each for each in sentences if each[0]]


def quality(runs, _):
    cells = tuned(runs)
    if not {"adam", "adasmooth"} <= set(cells.optimizer):
        return None
    means = [estimate(cells[cells.optimizer == name].test_accuracy, " %") for name in ("adasmooth", "adam")]
    beside = {schedule: tuned(runs, schedule) for schedule in schedules(runs)}
    beside["both untuned"] = runs[(runs.group == "defaults") & ~runs.diverged]
    parts = [
        f"{name}: {judged(100 * points, 'better', 'worse', ' points', digits=1)}"
        for name, table in beside.items()
        if len(points := paired(table, "test_accuracy", "adasmooth"))
    ]
    return (
        f"**Quality.** Under the {schedules(runs)[0]} schedule AdaSmooth ends at {means[0]} test accuracy, Adam at "
        f"{means[1]}. AdaSmooth's minus Adam's, seed by seed: {'; '.join(parts)}. Always guessing the most frequent "
        f"class gives {analysis.majority(cells):.1%}."
    )


def convergence(runs, histories):
    cells = analysis.with_steps(runs, histories)
    if not {"adam", "adasmooth"} <= set(tuned(cells).optimizer):
        return None
    parts = []
    for schedule in schedules(runs):
        there = tuned(cells, schedule)
        gaps = {name: paired(there, column, "adasmooth") for name, column in LOSSES.items()}
        steps = paired(there, "steps_to_target", "adasmooth")
        words = [f"{name} {judged(gap, 'worse', 'better')}" for name, gap in gaps.items()]
        reached = analysis.compared(cells, schedule).groupby("optimizer").steps_to_target.agg(["mean", "count", "size"])
        arrived = [
            f"{NAMES[name]} {f'{mean:,.0f} steps' if count else 'never'} ({count} of {size} runs)"
            for name, mean, count, size in reached.loc[["adasmooth", "adam"]].itertuples()
        ]
        more = f"; where both arrived {difference(steps, digits=0)} steps" if len(steps) else ""
        parts.append(f"{schedule}: {', '.join(words)}; to a validation loss of {TARGET:.2f} {', '.join(arrived)}{more}")
    pace = cells[cells.group == "comparison"].groupby(["backend", "optimizer"]).pace.min().get("jax")
    return (
        f"**Convergence.** AdaSmooth's minus Adam's after the same steps, {'. '.join(parts)}. A step (one core, the "
        f"fastest epoch) takes {1000 * pace['adasmooth']:.0f} ms with AdaSmooth, {1000 * pace['adam']:.0f} with Adam."
    )


def insensitivity(runs):
    if not (runs.group == "surface").any():
        return None
    parts = []
    for name in ("adasmooth", "adam"):
        by_row, share = analysis.widths(analysis.surface(runs, name))
        parts.append(f"{NAMES[name]} {by_row.mean():.2f} decades of learning rate on average ({share:.0%} of the grid)")
    return (
        f"**Insensitivity.** Within {TOLERANCE - 1:.0%} of its best validation loss stays, over "
        f"{len(by_row)} choices of the other constants, {' and '.join(parts)}."
    )


def mechanism(runs):
    if not (runs.group == "ablation").any():
        return None
    table = analysis.ablation_table(runs).set_index("change")["− AdaSmooth's"]
    names = [*(VARIANTS[key] for key in ("ratio_layer", "ratio_coin")), "RMSProp", "AdaSmooth, ε 1e-12"]
    parts = [f"{name} {table[name]}" for name in names if name in table]
    return f"**Why.** Validation loss minus AdaSmooth's, seed by seed, with one part changed: {'; '.join(parts)}."


def paper(mnist):
    if mnist is None:
        return None
    table = compare(mnist)
    cells = table[table["paper's inside"] != ""].groupby("network", sort=False)["paper's inside"]
    inside = [f"{(cell == 'yes').sum()} of {len(cell)} ({network})" for network, cell in cells]
    adam = table[table.optimizer == "adam"]
    return (
        f"**The paper's tables.** Of the test accuracies on MNIST that the paper gives, one run each, "
        f"{_listed(inside)} lie where 95 % of our single runs do. "
        f"Adam, which it leaves out, reaches {_listed([*(adam['ours, best epoch'] + ' % (' + adam.network + ')')])}."
    )


def models(runs):
    cells = runs[(runs.group == "models") & ~runs.diverged]
    if cells.empty:
        return None
    run = cells.iloc[0]
    parts = [
        f"{NAMES[name]} {estimate(cell.test_accuracy, ' %')} top-1 and {estimate(cell.test_top5, ' %')} top-5"
        for name, cell in cells.groupby("optimizer")
    ]
    gaps = [100 * paired(cells, f"{images}_accuracy", "adasmooth") for images in ("test", "val")]
    points = [judged(gap, "better", "worse", " points", digits=1) for gap in gaps]
    return (
        f"**{len(run.class_names)} models.** From scratch, {run.counts['train'] / len(run.class_names):.0f} "
        f"photographs a class, {run.image_size} px, width {run.width:g}, {run.epochs} epochs: {', '.join(parts)}. "
        f"AdaSmooth's top-1 minus Adam's: {points[0]}; on the {run.counts['validation']:,} validation images "
        f"{points[1]}; its training loss minus Adam's: "
        f"{judged(paired(cells, 'train_loss', 'adasmooth'), 'worse', 'better')}."
    )


def implementations(runs):
    finished = runs[(runs.group == "comparison") & ~runs.diverged]
    pairs = finished.pivot(index=["optimizer", "schedule", "seed"], columns="backend", values="test_accuracy")
    if not {"numpy", "jax"} <= set(pairs):
        return None
    gap = 100 * (pairs["numpy"] - pairs["jax"]).dropna()
    return (
        f"**Two implementations, one network.** From the same weights and batches NumPy and JAX end "
        f"{gap.abs().mean():.1f} points of test accuracy apart on average ({len(gap)} "
        f"{'pairs' if len(gap) > 1 else 'pair'} of runs); NumPy's mean is {gap.mean():+z.1f} from JAX's."
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


def limits(runs):
    """What the numbers do not say (Markdown), as far as it depends on the runs."""
    trials = runs[runs.group == "tuning"].groupby("optimizer").size()
    seeds = tuned(runs).groupby("optimizer").seed.nunique()
    items = ["The learning rates were not tuned."]
    if len(trials):
        items[0] = (
            f"Each optimizer was tuned with {trials.min()} trials of one seed; which of those wins that differ by less "
            "than the seeds do is luck, for all alike."
        )
    if seeds.max() == 1:
        items.append("One seed tells large differences from small ones and no more.")
    if runs.dataset.iloc[0] == "stanford_cars":
        items.append("One split, ours, of cars cropped to their boxes: the numbers do not compare with published ones.")
    if (runs.group == "surface").any():
        items.append("The surfaces of insensitivity are of one seed, and end where their grids end.")
    items.append("The networks are sized for a CPU: small images, fewer channels, short training.")
    return "\n".join(f"- {item}" for item in items)
