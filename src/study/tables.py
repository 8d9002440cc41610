"""The tables of AdaSmooth's paper: MNIST with its MLP and its CNN, its optimizers at its settings, over several seeds.

    python -m study tables cnn-adasmooth_0.99 data/results/mnist/cnn-adasmooth_0.99.json

Lu 2022 (arXiv 2204.00825, section 4): batches of 64, learning rate 0.001 but for AdaGrad (0.01), AdaDelta (1) and
AdaSmoothDelta (0.5). What it does not say and we chose: He normal weights, zero biases, pixels normalised to mean 0 and
deviation 1, valid convolutions with ReLU, all 60,000 training images, the incomplete last batch left out.
"""

import json
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from scipy.stats import t

from alexjax import adasmooth, adasmooth_delta, alexnet
from alexjax.training import train_step
from study.config import ConfigError, check_choice
from study.mnist import load_mnist
from study.results import describe_machine, write_json

BATCH_SIZE, EPOCHS = 64, {"mlp": 5, "cnn": 10}
PUBLISHED = {  # test accuracy in per cent, the best of the epochs, one run; None: not in the paper
    "mlp": {
        "momentum": 94.38,
        "adagrad": 96.21,
        "rmsprop": 97.14,
        "adadelta_0.99": 97.06,
        "adasmooth_0.9": 97.26,
        "adasmooth_0.95": 97.34,
        "adasmooth_0.99": None,
        "adasmooth_delta_0.9": 97.24,
        "adam": None,
    },
    "cnn": {
        "adagrad": 96.82,
        "rmsprop": 97.82,
        "adadelta_0.99": 97.83,
        "adadelta_0.9": 98.20,
        "adasmooth_0.9": 98.13,
        "adasmooth_0.95": 98.12,
        "adasmooth_0.99": 98.12,
        "adasmooth_delta_0.9": 98.86,
        "adasmooth_delta_0.95": 98.91,
        "adasmooth_delta_0.99": 98.78,
        "adam": None,
    },
}
RUNS = [f"{network}-{optimizer}" for network, optimizers in PUBLISHED.items() for optimizer in optimizers]


def make_optimizer(name, window):
    """ "adasmooth_0.95" -> AdaSmooth with ρ2 = 0.95, and so on; `window`: the steps of an epoch."""
    kind, _, decay = name.rpartition("_")
    return {
        "momentum": lambda: optax.sgd(1e-3, momentum=0.9),
        "adagrad": lambda: optax.adagrad(1e-2, initial_accumulator_value=0.0),
        "rmsprop": lambda: optax.rmsprop(1e-3, decay=0.99, eps=1e-6, eps_in_sqrt=True),
        "adam": lambda: optax.adam(1e-3),
        "adadelta": lambda: optax.adadelta(1.0, rho=float(decay)),
        "adasmooth": lambda: adasmooth(1e-3, rho2=float(decay), window=window),
        "adasmooth_delta": lambda: adasmooth_delta(0.5, rho2=float(decay), window=window),
    }[kind or name]()


def init(network, key):
    """Parameters of the MLP (784–F128–F10) or the CNN (C5:10–C5:20–F50–F10)."""
    shapes = {
        "mlp": {"hidden": (784, 128), "out": (128, 10)},
        "cnn": {"conv1": (5, 5, 1, 10), "conv2": (5, 5, 10, 20), "hidden": (320, 50), "out": (50, 10)},
    }[network]
    params = {}
    for name, shape in shapes.items():
        key, own = jax.random.split(key)
        weight = np.sqrt(2 / np.prod(shape[:-1])) * jax.random.normal(own, shape)
        params[name] = {"weight": weight, "bias": jnp.zeros(shape[-1])}
    return params


def apply(params, images, key=None):
    """(N, 28, 28) -> (N, 10) logits; dropout of a half with a key."""
    keys = (None, None) if key is None else jax.random.split(key)
    x = images
    if "conv1" in params:
        x = jnp.moveaxis(x, 0, -1)[None]  # (C, H, W, N): 10 channels are too few for vector units, 64 images are not
        for name in ("conv1", "conv2"):
            x = _conv_pool(params[name]["weight"], params[name]["bias"], x)
        x = alexnet.drop_units(jnp.moveaxis(x, -1, 0), 0.5, keys[0])
    x = x.reshape(len(x), -1)
    x = jax.nn.relu(x @ params["hidden"]["weight"] + params["hidden"]["bias"])
    x = alexnet.drop_units(x, 0.5, keys[1])
    return x @ params["out"]["weight"] + params["out"]["bias"]


def _conv_pool(weight, bias, x):
    """Valid 5 × 5 convolution, 2 × 2 max pool and ReLU. (5, 5, C, O), (O,), (C, H, W, N) -> (O, (H−4)/2, (W−4)/2, N)

    As one matrix product: the four outputs of a pool see the same 6 × 6 inputs, each through its own shift of the
    weights. That is 1.44 times the multiplications of a product over 5 × 5 inputs, and 0.36 times the copying.
    """
    channels, height, width, n = x.shape
    height, width = height // 2, width // 2
    shifts = [jnp.pad(weight, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i in (0, 1) for j in (0, 1)]
    weights = jnp.stack(shifts).reshape(4, 3, 2, 3, 2, channels, -1).transpose(0, 6, 1, 3, 2, 4, 5)
    x = x.reshape(channels, height, 2, width, 2, n).transpose(2, 4, 0, 1, 3, 5)  # (2, 2, C, H/2, W/2, N)
    taps = jnp.stack([x[..., i : height - 2 + i, j : width - 2 + j, :] for i in range(3) for j in range(3)])
    y = weights.reshape(4 * len(bias), -1) @ taps.reshape(36 * channels, -1)
    return jax.nn.relu(y.reshape(4, len(bias), height - 2, width - 2, n).max(axis=0) + bias[:, None, None, None])


def train(network, optimizer_name, seeds, digits):
    """Train a network from each of the `seeds`, as one program; returns [{"seed", "epoch", "train_loss",
    "test_accuracy"}, ...]. What a seed gives does not depend on the others, but for rounding."""
    mean, deviation = digits.train_images.mean(), digits.train_images.std()
    images, tests = (
        jnp.asarray((each - mean) / deviation, jnp.float32) for each in (digits.train_images, digits.test_images)
    )
    labels, steps = jnp.asarray(digits.train_labels), len(images) // BATCH_SIZE
    optimizer = make_optimizer(optimizer_name, steps)
    step = train_step(optimizer, apply=apply)

    @partial(jax.jit, donate_argnums=(0, 1))
    def epoch_of_all(params, state, orders, keys, first, images, labels):
        def epoch_of_one(seed):
            *start, order, key = seed

            def body(carry, part):
                index, chosen = part
                *carry, loss = step(*carry, images[chosen], labels[chosen], jax.random.fold_in(key, index))
                return carry, loss

            return jax.lax.scan(body, start, (first + jnp.arange(steps), order))

        # Seed after seed: side by side (vmap) a processor's matrix products are slower.
        (params, state), losses = jax.lax.map(epoch_of_one, (params, state, orders, keys))
        return params, state, losses.mean(axis=1)

    right = jax.jit(lambda params, x, y: jax.lax.map(lambda each: (apply(each, x).argmax(axis=1) == y).sum(), params))
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    params = jax.vmap(partial(init, network))(keys)
    state, rows = jax.vmap(optimizer.init)(params), []
    for epoch in range(EPOCHS[network]):
        orders = [np.random.default_rng((seed, epoch)).permutation(len(images)) for seed in seeds]
        orders = np.stack(orders)[:, : steps * BATCH_SIZE].reshape(len(seeds), steps, BATCH_SIZE)
        params, state, losses = epoch_of_all(params, state, orders, keys, epoch * steps, images, labels)
        parts = [np.array_split(each, -(-len(tests) // 100)) for each in (tests, digits.test_labels)]
        accuracies = sum(right(params, *part) for part in zip(*parts, strict=True)) / len(tests)
        for seed, loss, accuracy in zip(seeds, losses.tolist(), accuracies.tolist(), strict=True):
            loss = loss if np.isfinite(loss) else None  # JSON has no NaN
            rows.append({"seed": seed, "epoch": epoch + 1, "train_loss": loss, "test_accuracy": accuracy})
        print(f"{network}-{optimizer_name}, epoch {epoch + 1}: {accuracies.mean():.2%}", flush=True)
    return rows


def run(name, path, seeds=10):
    """Train one cell of the tables, `name` out of RUNS, with each seed, and write what came out as JSON."""
    check_choice("cell of the paper's tables", name, RUNS)
    network, optimizer = name.split("-")
    digits, start = load_mnist(), time.perf_counter()
    if digits.drawn:
        raise ConfigError("the paper's tables are of MNIST; put its four files in data/raw/mnist (see data/README.md)")
    record = {"network": network, "optimizer": optimizer, "data": digits.source, **describe_machine()}
    rows, seconds = train(network, optimizer, range(seeds), digits), time.perf_counter() - start
    write_json(path, record | {"device": jax.devices()[0].device_kind, "seconds": seconds, "epochs": rows})


def load(folder):
    """All cells, seeds and epochs: a DataFrame of network, optimizer, seed, epoch, train_loss, test_accuracy."""
    records = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    return pd.json_normalize(records, "epochs", ["network", "optimizer"])


def compare(epochs):
    """The paper's tables with ours beside: the best epoch on test, as there, and whether its run could be one of ours.

    The 95 % prediction interval of one more run is mean ± t·s·√(1 + 1/n), Student's t with n − 1 degrees of freedom.
    """
    rows = []
    for name in RUNS:
        network, optimizer = name.split("-")
        cell = epochs[(epochs.network == network) & (epochs.optimizer == optimizer)]
        if cell.empty:
            continue
        best = 100 * cell.groupby("seed").test_accuracy.max()
        last = 100 * cell[cell.epoch == EPOCHS[network]].test_accuracy
        n, published = len(best), PUBLISHED[network][optimizer]
        diverged = cell[cell.train_loss.isna()].seed.nunique()
        reach = t.ppf(0.975, n - 1) * best.std(ddof=1) * np.sqrt(1 + 1 / n)
        inside = "" if published is None or diverged else "yes" if abs(published - best.mean()) <= reach else "no"
        rows.append(
            {
                "network": network.upper(),
                "optimizer": optimizer,
                "paper, best epoch": "–" if published is None else f"{published:.2f}",
                "ours, best epoch": f"{best.mean():.2f} ± {best.std(ddof=1):.2f}",
                "one run's 95 % interval": f"{best.mean() - reach:.2f} to {best.mean() + reach:.2f}",
                "paper's inside": inside,
                "ours, last epoch": f"{last.mean():.2f} ± {last.std(ddof=1):.2f}",
                "seeds": n,
                "diverged": diverged,
            }
        )
    return pd.DataFrame(rows)
