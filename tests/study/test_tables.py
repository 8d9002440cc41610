"""The paper's MNIST tables: the networks, a cell trained on a few digits, the comparison with the published numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from study import findings, mnist, tables
from study.config import ConfigError


@pytest.fixture
def few_digits(monkeypatch):
    """320 training and 50 test digits drawn in fonts, said to be MNIST."""
    monkeypatch.setattr(mnist, "DRAWN_COUNTS", {"train": 320, "test": 50})
    drawn = mnist.draw_digits()
    digits = mnist.Digits(
        drawn.train_images, drawn.train_labels, drawn.test_images, drawn.test_labels, "MNIST, so to speak"
    )
    monkeypatch.setattr(tables, "load_mnist", lambda: digits)
    return digits


def cnn(params, images):
    """The paper's CNN with XLA's own convolution, images first and channels last."""
    y = images[..., None]
    for name in ("conv1", "conv2"):
        layout = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(y, params[name]["weight"], (1, 1), "VALID", dimension_numbers=layout)
        y = jax.nn.relu(y + params[name]["bias"])
        y = jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    y = y.transpose(0, 3, 1, 2).reshape(len(y), 320)
    y = jax.nn.relu(y @ params["hidden"]["weight"] + params["hidden"]["bias"])
    return y @ params["out"]["weight"] + params["out"]["bias"]


def test_the_cnn_is_the_papers(few_digits):
    params = tables.init("cnn", jax.random.key(0))
    x = jnp.asarray(few_digits.test_images / 255, jnp.float32)
    x += 0.01 * jax.random.normal(
        jax.random.key(2), x.shape
    )  # no two pixels of a pool are equal: one gets its gradient
    y, back = jax.vjp(cnn, params, x)
    ours, our_back = jax.vjp(tables.apply, params, x)
    np.testing.assert_allclose(ours, y, atol=1e-4)
    dy = jax.random.normal(jax.random.key(1), y.shape)
    for ours, theirs in zip(jax.tree.leaves(our_back(dy)), jax.tree.leaves(back(dy)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
    sizes = {
        name: sum(each.size for each in jax.tree.leaves(tables.init(name, jax.random.key(0))))
        for name in ("mlp", "cnn")
    }
    assert sizes == {"mlp": 784 * 128 + 128 + 1290, "cnn": 260 + 5020 + 16050 + 510}


@pytest.mark.parametrize(
    "name", ["mlp-momentum", "mlp-adagrad", "mlp-rmsprop", "mlp-adadelta_0.99", "mlp-adam", "cnn-adasmooth_delta_0.9"]
)
def test_cells_train(name, few_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "EPOCHS", {"mlp": 2, "cnn": 2})
    path = tmp_path / f"{name}.json"
    tables.run(name, path, seeds=1)
    record = json.loads(path.read_text())
    assert name == f"{record['network']}-{record['optimizer']}"
    assert [row["epoch"] for row in record["epochs"]] == [1, 2]
    losses = [row["train_loss"] for row in record["epochs"]]
    assert losses[1] < losses[0]
    assert {"git_commit", "machine", "versions", "data"} <= set(record)


def test_a_seed_gives_the_same_alone_and_beside_others(few_digits, monkeypatch):
    monkeypatch.setitem(tables.EPOCHS, "mlp", 1)
    beside = pd.DataFrame(tables.train("mlp", "adam", (0, 3), few_digits)).set_index("seed")
    alone = pd.DataFrame(tables.train("mlp", "adam", (3,), few_digits)).set_index("seed")
    np.testing.assert_allclose(beside.loc[3].train_loss, alone.loc[3].train_loss, rtol=1e-4)
    assert abs(beside.loc[0].train_loss / beside.loc[3].train_loss - 1) > 1e-3


def test_drawn_digits_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "load_mnist", mnist.draw_digits)
    with pytest.raises(ConfigError, match="the paper's tables are of MNIST"):
        tables.run("mlp-adam", tmp_path / "x.json")
    with pytest.raises(ConfigError, match="did you mean 'mlp-adam'"):
        tables.run("mlp-adan", tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def test_the_comparison_takes_the_best_epoch_and_judges_by_the_spread():
    rows = [
        {"network": "mlp", "optimizer": optimizer, "seed": seed, "epoch": epoch, "train_loss": 0.0}
        | {"test_accuracy": centre + 0.001 * (seed - 1) - 0.01 * (epoch == 5)}
        for optimizer, centre in (("rmsprop", 0.9714), ("momentum", 0.90))
        for seed in range(3)
        for epoch in (4, 5)
    ]
    table = tables.compare(pd.DataFrame(rows)).set_index("optimizer")
    assert table.loc["rmsprop", "ours, best epoch"] == "97.14 ± 0.10"
    assert table.loc["rmsprop", "ours, last epoch"] == "96.14 ± 0.10"
    assert table.loc["rmsprop", "paper's inside"] == "yes"
    assert table.loc["momentum", "paper's inside"] == "no"
    # t(0.975, 2) = 4.303; 4.303 · 0.1 · √(4/3) = 0.497
    assert table.loc["rmsprop", "one run's 95 % interval"] == "96.64 to 97.64"
    text = findings.paper(pd.DataFrame(rows).replace("rmsprop", "adagrad"))
    assert "one run each, 0 of 2 (MLP) lie in the 95 % prediction interval" in text
    assert "Adam" not in text
    adam = pd.DataFrame(rows).replace({"momentum": "adam"})
    text = findings.paper(adam)
    assert "one run each, 1 of 1 (MLP) lie in the 95 % prediction interval of a single run of ours." in text
    assert "Adam, which it leaves out, reaches, mean ± deviation, 90.00 ± 0.10 % (MLP)." in text
