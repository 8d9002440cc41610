"""Tables and sentences from made-up runs whose answers are known."""

import json

import numpy as np
import pandas as pd
import pytest

from study import RunConfig, analysis, findings
from study.results import load_runs

GRID = [1e-4, 1e-3, 1e-2]


def write_run(folder, group, name, losses, accuracy=None, diverged=False, **settings):
    """A run of three epochs of 100 steps, 1.1 s each, with these validation losses."""
    config = RunConfig(**{"dataset": "stanford_cars", "backend": "jax", "schedule": "cosine"} | settings)
    history = pd.DataFrame({"epoch": [1, 2, 3], "step": [100, 200, 300], "train_loss": losses, "val_loss": losses})
    history = history.assign(train_loss=history.train_loss - 0.5)
    history = history.assign(val_accuracy=0.5, seconds=1.1, ratio_conv1=0.1)
    summary = {"val_loss": losses[-1], "val_accuracy": 0.5, "train_loss": losses[-1] - 0.5, "diverged": diverged}
    summary |= {"steps": 300, "seconds": 3.0, "machine": "a machine, 2 cores", "class_names": ["a", "b"]}
    summary |= {"counts": {"train": 640, "validation": 10, "test": 10}, "git_commit": "0" * 10}
    record = {"config": config.to_dict(), "summary": summary}
    if accuracy is not None:
        record["summary"] |= {"test_accuracy": accuracy, "test_loss": losses[-1]}
        record["confusion"] = np.diag([3] + 7 * [1]).tolist()  # entropy 1.97
    (folder / group).mkdir(exist_ok=True)
    history.to_csv(folder / group / f"{name}.csv", index=False)
    (folder / group / f"{name}.json").write_text(json.dumps(record))


@pytest.fixture
def comparison(tmp_path):
    """Five seeds: AdaSmooth 2 to 2.4 points behind Adam, which always reaches the target, at step 150."""
    for seed in range(5):
        noise = 0.001 * seed
        write_run(tmp_path, "comparison", f"a{seed}", [1.7, 1.5, 1.4], 0.45 + noise, optimizer="adam", seed=seed)
        losses = [1.9, 1.8, 1.59 if seed == 0 else 1.65]
        write_run(tmp_path, "comparison", f"s{seed}", losses, 0.43, optimizer="adasmooth", window="epoch", seed=seed)
    return tmp_path


def test_the_comparison(comparison):
    runs, histories = load_runs(comparison)
    table = analysis.comparison_table(runs, histories).set_index("optimizer")
    assert table.loc["Adam", "test accuracy"].startswith("45.2 [45.")
    assert table.loc["Adam", "constants"] == "β1 0.9, β2 0.999, ε 1e-8"
    assert table.loc["Adam", "steps to 1.60"] == "150 (5/5)"
    assert table.loc["AdaSmooth", "constants"] == "ρ1 0.5, ρ2 0.99, window epoch"
    assert table.loc["AdaSmooth", "steps to 1.60"] == "295 (1/5)"
    assert list(table.seeds) == [5, 5]
    assert table.loc["Adam", "validation loss"] == "1.400 [1.400, 1.400]"
    assert table.loc["Adam", "training loss"] == "0.900 [0.900, 0.900]"
    assert table.loc["Adam", "ms a step"] == "11"
    assert list(table.loc[["Adam", "AdaSmooth"], "s to 1.60"]) == ["2", "3"]
    text = findings.quality(runs, histories)
    assert "Adam at 45.2 [45." in text
    assert "−2.2 [−2.4, −2.0] points (worse, 5 seeds)" in text
    assert "gives 30.0%" in text
    text = findings.convergence(runs, histories)
    assert "validation loss +0.238 [0.205, 0.271] (worse, 5 seeds), training loss +0.238" in text
    assert "AdaSmooth 295 steps, 3 s (1 of 5), Adam 150 steps, 2 s (5 of 5); where both arrived +145 steps" in text
    assert "AdaSmooth, Adam" not in findings.setting(runs)
    assert findings.question(runs).startswith(
        "AlexNet trained with AdaSmooth and Adam on 640 Stanford Cars photographs"
    )
    assert "The learning rates were not tuned." in findings.limits(runs)
    assert findings.insensitivity(runs) is None
    assert findings.mechanism(runs) is None
    assert findings.implementations(runs) is None


def test_no_difference_is_called_one(tmp_path):
    for seed, gap in enumerate([0.01, -0.01, 0.02, -0.02, 0.0]):
        for name, accuracy in (("adam", 0.4), ("adasmooth", 0.4 + gap)):
            write_run(tmp_path, "comparison", f"{name}{seed}", [2, 2, 2], accuracy, optimizer=name, seed=seed)
    runs, histories = load_runs(tmp_path)
    assert "(no difference shown, 5 seeds)" in findings.quality(runs, histories)
    assert "AdaSmooth never (0 of 5), Adam never (0 of 5)." in findings.convergence(runs, histories)
    assert set(analysis.comparison_table(runs, histories).failed) == {5}  # none is below the entropy of the classes


def test_runs_that_diverged_are_counted_and_left_out_of_means(comparison):
    settings = {"optimizer": "adam", "seed": 9, "diverged": True}
    write_run(comparison, "comparison", "a9", [1.7, 9e9, np.nan], 0.1, **settings)
    runs, histories = load_runs(comparison)
    table = analysis.comparison_table(runs, histories).set_index("optimizer")
    assert table.loc["Adam", "failed"] == 1
    assert table.loc["Adam", "test accuracy"].startswith("45.2 [")
    assert table.loc["Adam", "steps to 1.60"].endswith("(5/6)")
    assert "Adam 150 steps, 2 s (5 of 6)" in findings.convergence(runs, histories)


def test_the_surface_and_its_widths(tmp_path):
    losses = {"adam": [[9, 1, 9], [9, 1.04, 9]], "adasmooth": [[1.02, 1, 1.02], [1, 1, np.nan]]}
    columns = {"adam": {"beta2": [0.999, 0.99]}, "adasmooth": {"rho2": [0.99, 0.9]}}
    for optimizer, rows in losses.items():
        ((key, values),) = columns[optimizer].items()
        for value, row in zip(values, rows, strict=True):
            for rate, loss in zip(GRID, row, strict=True):
                name, diverged = f"{optimizer}-{value}-{rate}", bool(np.isnan(loss))
                settings = {"optimizer": optimizer, key: value, "learning_rate": rate, "diverged": diverged}
                write_run(tmp_path, "surface", name, [2, 2, loss], **settings)
    runs, _ = load_runs(tmp_path)
    by_row, share = analysis.widths(analysis.surface(runs, "adam"))
    assert share == pytest.approx(2 / 6)
    assert by_row.max() == pytest.approx(2 * 0.05 / 8)
    by_row, share = analysis.widths(analysis.surface(runs, "adasmooth"))
    assert share == pytest.approx(5 / 6)
    assert sorted(by_row) == pytest.approx([1, 2])
    text = findings.insensitivity(runs)
    assert "AdaSmooth over 1.50 decades of learning rate (83% of the grid) and with Adam over 0.01 decades" in text
    assert "of the better one's best, over 1.50 and 0.01 (one seed)" in text
    assert len(analysis.sensitivity_table(runs)) == 6


def test_a_trial_in_both_groups_counts_once(tmp_path):
    """When the tuning's grid is extended, its new trials can be those of the surface."""
    for group, rates in (("tuning", GRID), ("surface", GRID[1:])):
        for rate in rates:
            write_run(tmp_path, group, f"a{rate}", [2, 2, 1], optimizer="adam", learning_rate=rate)
    write_run(tmp_path, "tuning", "b", [2, 2, 1], optimizer="adam", learning_rate=1e-3, beta1=0.95)
    runs, _ = load_runs(tmp_path)
    assert list(analysis.surface(runs, "adam").columns) == [1e-3]  # the others are not of all rows


def test_the_ablation(tmp_path):
    cases = {
        "AdaSmooth": {"optimizer": "adasmooth"},
        "AdaSmooth, window never reset": {"optimizer": "adasmooth", "window": "training"},
        "ratio of a coin's path": {"optimizer": "adasmooth", "variant": "ratio_coin"},
        "AdaSmooth, ε 1e-12": {"optimizer": "adasmooth", "eps": 1e-12},
        "RMSProp": {"optimizer": "rmsprop"},
        "Adam, β1 = 0": {"optimizer": "adam", "beta1": 0.0},
    }
    for place, settings in enumerate(cases.values()):
        for seed in range(4):
            group, name = "ablation" if place else "comparison", f"{place}-{seed}"
            losses = [2, 2, 1 + 0.1 * place + 0.01 * seed]
            accuracy = 0.4 + 0.01 * place
            write_run(tmp_path, group, name, losses, accuracy, **{"window": "epoch", "seed": seed} | settings)
    settings = {"optimizer": "rmsprop", "seed": 4, "diverged": True}
    write_run(tmp_path, "ablation", "d", [2, 2, np.nan], 0.4, **settings)
    runs, _ = load_runs(tmp_path)
    table = analysis.ablation_table(runs)
    assert list(table.change) == [name for name in cases if name != "RMSProp"] + ["RMSProp"]  # who diverged comes last
    table = table.set_index("change")
    differences = [f"+0.{i}00 [0.{i}00, 0.{i}00]" for i in (1, 2, 3, 5)]
    assert list(table["validation loss − AdaSmooth's"][:5]) == ["", *differences]
    assert list(table.diverged) == [0, 0, 0, 0, 0, 1]
    text = findings.mechanism(runs)
    assert "ratio of a coin's path +0.200 [0.200, 0.200] and +2.0 [2.0, 2.0]; RMSProp +0.400" in text


def test_the_models(tmp_path):
    for seed in range(3):
        for name, accuracy in (("adam", 0.3), ("adasmooth", 0.28 + 0.001 * seed)):
            settings = {"optimizer": name, "seed": seed, "label": "model", "image_size": 99, "epochs": 60}
            write_run(tmp_path, "models", f"{name}{seed}", [3, 3, 3], accuracy, **settings)
            path = tmp_path / "models" / f"{name}{seed}.json"
            record = json.loads(path.read_text())
            record["summary"] |= {"test_top5": 2 * accuracy, "class_names": ["a"] * 20}
            path.write_text(json.dumps(record))
    runs, histories = load_runs(tmp_path)
    text = findings.models(runs)
    assert "**20 models.** From scratch, 32 photographs a class, 99 px, width 0.5, 60 epochs" in text
    assert "Adam 30.0 [30.0, 30.0] % top-1 and 60.0 [60.0, 60.0] % top-5" in text
    assert "AdaSmooth's top-1 minus Adam's: −1.9 [−2.1, −1.7] points (worse, 3 seeds)" in text
    assert [found[1:] for found in findings.findings(runs, histories)] == [("models", "10_models")]
    assert findings.models(runs[runs.group == "comparison"]) is None


def test_numpy_beside_jax(tmp_path):
    for seed in range(3):
        for backend, accuracy, loss in (("numpy", 0.41, 2.1), ("jax", 0.40 + 0.02 * (seed == 0), 2)):
            settings = {"optimizer": "adam", "backend": backend, "seed": seed}
            write_run(tmp_path, "comparison", f"{backend}{seed}", [3, 3, loss], accuracy, **settings)
    text = findings.implementations(load_runs(tmp_path)[0])
    assert "(3 pairs of runs) NumPy and JAX end 1.0 points of test accuracy apart on average" in text
    assert "NumPy's minus JAX's: +0.3 [−2.5, 3.2] points, +0.100 [0.100, 0.100] in validation loss" in text


def test_the_answer(comparison):
    losses = {0: 1.59, 1: 1.65, 2: 1.65, 3: 1.65, 4: 1.65}
    assert findings.answer(load_runs(comparison)[0]) == (
        "AdaSmooth trains AlexNet worse than Adam on 2 classes in 10 epochs: +0.238 [0.205, 0.271] in validation loss, "
        "−2.2 [−2.4, −2.0] points of test accuracy (5 seeds, cosine schedule)."
    )
    write_run(comparison, "tuning", "trial", [2, 2, 1.5])
    assert findings.answer(load_runs(comparison)[0]).startswith("Tuned alike, AdaSmooth trains AlexNet worse")
    for seed, loss in losses.items():
        settings = {"optimizer": "adasmooth", "window": "epoch", "seed": seed}
        write_run(comparison, "ablation", f"coin{seed}", [2, 2, loss + 0.1], 0.4, variant="ratio_coin", **settings)
        write_run(comparison, "ablation", f"m{seed}", [2, 2, 1.4], 0.4, variant="momentum", **settings)
    for optimizer, key, values in (("adam", "beta2", [0.99, 0.999]), ("adasmooth", "rho2", [0.9, 0.99])):
        for value in values:
            for rate in GRID:
                valley, slope = (0.5 - 0.1 * (value > 0.99)) * (rate != 1e-3), 0.1 * (rate == 1e-2 and value == 0.9)
                worse = valley if optimizer == "adam" else slope + 0.01 * value
                settings = {"optimizer": optimizer, "learning_rate": rate, key: value}
                write_run(comparison, "surface", f"{optimizer}{value}-{rate}", [2, 2, 1.5 + worse], **settings)
    text = findings.answer(load_runs(comparison)[0])
    assert "is less sensitive to its constants holds: within 5% of its own best loss it stays over 1.88 decades" in text
    assert "learning rate, Adam over 0.34; within 5% of the better one's, over" in text
    assert "Its effective ratio helps: a coin's in its place gives +0.100 [0.100, 0.100] in validation loss" in text
    assert "momentum, which Adam has and it lacks, −0.238 [−0.271, −0.205] in validation loss" in text
