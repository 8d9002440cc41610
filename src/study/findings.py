"""What came out, in sentences (Markdown): every number computed from the run files, nothing typed by hand.

What a profile has not run is passed over.
"""

import numpy as np

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
        f"{number} seed{'s' if seeds.max() > 1 else ''} each, on {machines(runs)}. What came out:"
    )


def machines(runs):
    """Where the comparison was made; if on several machines, what on which: their milliseconds do not compare."""
    runs = runs[runs.group.isin(("comparison", "defaults"))]
    labels = np.where(runs.group == "defaults", "untuned", runs.schedule + " schedule")
    where = runs.assign(label=labels).groupby("machine").label.unique().map(sorted).map(_listed)
    return where.index[0] if len(where) == 1 else _listed([f"{here} ({each})" for here, each in where.items()])


def _listed(words):
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def answer(runs):
    """The study's question answered in up to three sentences."""
    schedule, cells, parts = schedules(runs)[0], tuned(runs), []
    if {"adam", "adasmooth"} <= set(cells.optimizer):
        losses, points = paired(cells, "val_loss", "adasmooth"), 100 * paired(cells, "test_accuracy", "adasmooth")
        word = verdict(losses, "worse than", "better than", "no differently, as far as can be seen, from")
        word = word or "too few times to judge it beside"
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
        (ours, both), (adams, adams_both) = (decades(runs, name) for name in ("adasmooth", "adam"))
        holds = "holds" if ours > adams and both > adams_both else "is not borne out"
        parts.append(
            f"That it is less sensitive to its constants {holds}: within {TOLERANCE - 1:.0%} of its own best loss it "
            f"stays over {ours:.2f} decades of learning rate, Adam over {adams:.2f}; within {TOLERANCE - 1:.0%} of the "
            f"better one's, over {both:.2f} and {adams_both:.2f} (one seed)."
        )
    if (runs.group == "ablation").any():
        helps = "helps" if verdict(changed(runs, "ratio_coin"), "worse", "better") == "worse" else "is not seen to help"
        coin, momentum = (
            f"{difference(changed(runs, name))} in validation loss and "
            f"{difference(100 * changed(runs, name, 'test_accuracy'), digits=1)} points of test accuracy"
            for name in ("ratio_coin", "momentum")
        )
        parts.append(
            f"Its effective ratio {helps}: a coin's in its place gives {coin}; momentum, which Adam has and it lacks, "
            f"{momentum} ({counted(changed(runs, 'ratio_coin'))})."
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
        f"validation and {counts['test']:,} test images; on {machines(runs)}. Means over the seeds with "
        "95 % intervals (bootstrap, of fewer than eight seeds Student's t). Steps to a validation loss of "
        f"{TARGET:.2f}: mean over those runs that got there (how many); seconds: those steps at the pace of the "
        "fastest epoch, on one core, often with another run beside it."
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
    beside["both untuned (`defaults`)"] = runs[(runs.group == "defaults") & ~runs.diverged]
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
        pace = there.groupby("optimizer").pace.min()
        arrived = [
            f"{NAMES[name]} {f'{mean:,.0f} steps, {mean * pace[name]:.0f} s' if count else 'never'} ({count} of {size})"
            for name, mean, count, size in reached.loc[["adasmooth", "adam"]].itertuples()
        ]
        more = f"; where both arrived {difference(steps, digits=0)} steps" if len(steps) else ""
        parts.append(f"{schedule}: {', '.join(words)}; to a validation loss of {TARGET:.2f} {', '.join(arrived)}{more}")
    return f"**Convergence.** AdaSmooth's minus Adam's after the same steps, {'. '.join(parts)}."


def insensitivity(runs):
    if not (runs.group == "surface").any():
        return None
    parts = []
    for name in ("adasmooth", "adam"):
        by_row, share = analysis.widths(analysis.surface(runs, name))
        parts.append(f"{NAMES[name]} over {by_row.mean():.2f} decades of learning rate ({share:.0%} of the grid)")
    return (
        f"**Insensitivity.** Averaged over {len(by_row)} choices of the other constants, validation loss stays within "
        f"{TOLERANCE - 1:.0%} of the optimizer's best with {' and with '.join(parts)}; of the better one's best, "
        f"over {decades(runs, 'adasmooth')[1]:.2f} and {decades(runs, 'adam')[1]:.2f} (one seed)."
    )


def decades(runs, optimizer):
    """The mean width of an optimizer's surface, by its own best loss and by the best of AdaSmooth's and Adam's."""
    best = min(analysis.surface(runs, name).min(axis=None) for name in ("adasmooth", "adam"))
    return [analysis.widths(analysis.surface(runs, optimizer), each)[0].mean() for each in (None, best)]


def changed(runs, variant, column="val_loss"):
    """What changing one part of AdaSmooth changes, seed by seed."""
    values = analysis.with_variants(runs).pivot(index="seed", columns="name", values=column)
    return (values[VARIANTS[variant]] - values["AdaSmooth"]).dropna()


def mechanism(runs):
    if not (runs.group == "ablation").any():
        return None
    table = analysis.ablation_table(runs).set_index("change")
    names = [VARIANTS[key] for key in ("ratio_layer", "ratio_coin", "ratio_0", "first_ratio_0", "momentum")]
    names += ["RMSProp", "AdaSmooth, ε 1e-12", "AdaSmooth, window never reset"]
    gaps = [f"{metric} − AdaSmooth's" for metric in ("validation loss", "test accuracy")]
    rows = table.loc[[name for name in names if name in table.index], gaps]
    return (
        "**Why.** With one part changed, minus AdaSmooth's, seed by seed, in validation loss and in points of test "
        f"accuracy: {'; '.join(f'{name} {loss} and {points}' for name, loss, points in rows.itertuples())}."
    )


def paper(mnist):
    if mnist is None:
        return None
    table = compare(mnist)
    cells = table[table["paper's inside"] != ""].groupby("network", sort=False)["paper's inside"]
    inside = [f"{(cell == 'yes').sum()} of {len(cell)} ({network})" for network, cell in cells]
    adam = table[table.optimizer == "adam"]
    reached = (
        ""
        if adam.empty
        else (
            " Adam, which it leaves out, reaches, mean ± deviation, "
            f"{_listed([*(adam['ours, best epoch'] + ' % (' + adam.network + ')')])}."
        )
    )
    return (
        f"**The paper's tables.** Of the test accuracies on MNIST that the paper gives, one run each, "
        f"{_listed(inside)} lie in the 95 % prediction interval of a single run of ours.{reached}"
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
    if not {"numpy", "jax"} <= set(finished.backend):
        return None
    columns = ["test_accuracy", "val_loss", "seconds"]
    pairs = finished.pivot(index=["optimizer", "schedule", "seed"], columns="backend", values=columns).dropna()
    points, losses = (pairs[column]["numpy"] - pairs[column]["jax"] for column in columns[:2])
    seconds = pairs["seconds"].median()
    return (
        f"**Two implementations, one network.** From the same weights and batches ({len(pairs)} "
        f"{'pairs' if len(pairs) > 1 else 'pair'} of runs) NumPy and JAX end {100 * points.abs().mean():.1f} points of "
        f"test accuracy apart on average; NumPy's minus JAX's: {difference(100 * points, digits=1)} points, "
        f"{difference(losses)} in validation loss. A training took {seconds['numpy']:.0f} s in NumPy, "
        f"{seconds['jax']:.0f} in JAX (medians, one core)."
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
        items = [
            f"Each optimizer was tuned with {trials.min()} trials of one seed; which of those wins that differ by less "
            "than the seeds do is luck, for all alike. Only learning rates were extended at their ends: Adam's, "
            "RMSProp's, AdaDelta's and AdaSmoothDelta's best ε or decay is an extreme one; AdaSmooth's ε was not.",
            "There is no dropout because two early runs of Adam differed so in test accuracy.",
            "Of many intervals, each of 95 %, one in twenty is expected to miss zero by chance.",
        ]
    if seeds.max() == 1:
        items.append("One seed tells large differences from small ones and no more.")
    if runs.dataset.iloc[0] == "stanford_cars":
        items.append("One split, ours, of cars cropped to their boxes: the numbers do not compare with published ones.")
    if (runs.group == "surface").any():
        items.append("The surfaces of insensitivity are of one seed, and end where their grids end.")
    if (runs.group == "ablation").any():
        items.append(
            "Each ablation has its own best learning rate, mostly another than AdaSmooth's 0.003; notebook 8 compares "
            "them at the same one too. Five seeds show only differences of about 0.05 in validation loss."
        )
    if (dirty := runs.git_commit.str.endswith("-dirty")).any():
        groups = _listed([f"{size} of `{group}`" for group, size in runs[dirty].groupby("group").size().items()])
        items.append(f"Run with changes not committed then (`-dirty` in the file): {groups}.")
    items.append("The networks are sized for a CPU: small images, fewer channels, short training.")
    return "\n".join(f"- {item}" for item in items)
