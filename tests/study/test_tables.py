"""The runs of the paper's tables (data/results/mnist), a file a seed, give the table that was published when a file
held ten seeds; and data/paper.csv speaks of the same runs."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from study.config import project_path
from study.results import load_runs

# (network, arm): test accuracy in per cent; of the best epoch mean, deviation, and the 95 % prediction interval of one
# run; of the last epoch mean and deviation. As published before the runs were converted.
PUBLISHED = {
    ("mlp", "SGD with momentum"): (94.82, 0.10, 94.58, 95.06, 94.82, 0.10),
    ("mlp", "AdaGrad"): (96.22, 0.13, 95.92, 96.52, 96.22, 0.13),
    ("mlp", "RMSProp"): (97.11, 0.15, 96.74, 97.47, 97.11, 0.15),
    ("mlp", "AdaDelta (ρ 0.99)"): (96.84, 0.13, 96.54, 97.15, 96.82, 0.17),
    ("mlp", "AdaSmooth (ρ2 0.9)"): (97.05, 0.11, 96.78, 97.32, 97.00, 0.13),
    ("mlp", "AdaSmooth (ρ2 0.95)"): (97.11, 0.09, 96.91, 97.31, 97.10, 0.11),
    ("mlp", "AdaSmooth (ρ2 0.99)"): (97.17, 0.16, 96.79, 97.56, 97.17, 0.16),
    ("mlp", "AdaSmoothDelta (ρ2 0.9)"): (97.00, 0.14, 96.67, 97.34, 97.00, 0.14),
    ("mlp", "Adam"): (97.13, 0.12, 96.84, 97.43, 97.12, 0.14),
    ("cnn", "AdaGrad"): (97.99, 0.14, 97.67, 98.31, 97.99, 0.14),
    ("cnn", "RMSProp"): (98.88, 0.08, 98.70, 99.06, 98.84, 0.11),
    ("cnn", "AdaDelta (ρ 0.99)"): (98.88, 0.06, 98.74, 99.03, 98.80, 0.10),
    ("cnn", "AdaDelta (ρ 0.9)"): (98.74, 0.09, 98.52, 98.96, 98.59, 0.11),
    ("cnn", "AdaSmooth (ρ2 0.9)"): (98.85, 0.08, 98.67, 99.03, 98.82, 0.13),
    ("cnn", "AdaSmooth (ρ2 0.95)"): (98.87, 0.07, 98.71, 99.03, 98.82, 0.11),
    ("cnn", "AdaSmooth (ρ2 0.99)"): (98.85, 0.07, 98.67, 99.03, 98.77, 0.13),
    ("cnn", "AdaSmoothDelta (ρ2 0.9)"): (98.66, 0.06, 98.52, 98.80, 98.61, 0.06),
    ("cnn", "AdaSmoothDelta (ρ2 0.95)"): (98.69, 0.07, 98.52, 98.86, 98.66, 0.06),
    ("cnn", "AdaSmoothDelta (ρ2 0.99)"): (98.68, 0.06, 98.54, 98.81, 98.65, 0.09),
    ("cnn", "Adam"): (98.89, 0.07, 98.73, 99.06, 98.86, 0.09),
}
HALF = 0.005 + 1e-6  # they were rounded to two decimals


@pytest.fixture(scope="module")
def mnist():
    return load_runs("data/results/mnist")


def test_the_published_table_comes_out_again(mnist):
    runs, histories = mnist
    best = 100 * histories.groupby(["network", "arm", "seed"]).val_accuracy.max()
    last = 100 * runs.set_index(["network", "arm", "seed"]).test_accuracy
    best, last = (each.groupby(["network", "arm"]).agg(["mean", "std"]) for each in (best, last))
    half = t.ppf(0.975, 9) * best["std"] * np.sqrt(1 + 1 / 10)
    table = pd.concat([best, best["mean"] - half, best["mean"] + half, last], axis=1)
    assert set(table.index) == set(PUBLISHED)
    for arm, numbers in PUBLISHED.items():
        np.testing.assert_allclose(table.loc[arm], numbers, rtol=0, atol=HALF, err_msg=str(arm))


def test_every_arm_has_ten_seeds_of_one_configuration(mnist):
    runs, histories = mnist
    for (network, arm), each in runs.groupby(["network", "arm"]):
        assert sorted(each.seed) == list(range(10)), arm
        assert not each.diverged.any()
        assert (each.group == network).all()
        settings = each[["optimizer", "learning_rate", "rho", "rho2", "window", "epochs", "dropout", "batch_size"]]
        assert (settings.nunique() == 1).all(), arm
    ends = histories[histories.epoch == histories.epochs].set_index("run").val_accuracy
    pd.testing.assert_series_equal(
        ends, runs.set_index("run").test_accuracy, check_names=False, check_like=True, atol=1e-6
    )


def test_the_papers_numbers_are_of_arms_that_were_run(mnist):
    paper = pd.read_csv(project_path("data/paper.csv"))
    assert set(zip(paper.network, paper.arm, strict=True)) < set(PUBLISHED)
    assert paper.accuracy.between(90, 100).all()
