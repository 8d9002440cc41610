"""AdaSmooth with one part changed: each variant against a float64 loop with that part written out."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alexjax import adasmooth
from study.config import VARIANTS
from study.optimizers import altered_adasmooth

STEPS, WINDOW, RHO1, RHO2, EPS = 40, 7, 0.5, 0.99, 1e-6
SCHEDULE = optax.cosine_decay_schedule(0.01, 100)


@pytest.fixture
def gradients():
    """(steps, 5): noise, a zigzag, a straight run, a coordinate that pauses, one that never moves; small, so that ε
    counts."""
    generator, time = np.random.default_rng(0), np.arange(STEPS)
    columns = [
        generator.standard_normal(STEPS), (-1.0) ** time, np.ones(STEPS), (time % 9 < 5) * 0.3, np.zeros(STEPS)
    ]  # fmt: skip
    return 0.01 * np.stack(columns, axis=1)


def follow(optimizer, gradients):
    """The updates (steps, 5) and the last state."""
    params, updates = jnp.zeros(gradients.shape[1]), []
    state = optimizer.init(params)
    for gradient in gradients:
        update, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, params)
        updates.append(update)
    return np.array(updates), state


def variant(name, gradients, seed=0):
    return follow(altered_adasmooth(name, SCHEDULE, RHO1, RHO2, EPS, WINDOW, seed), gradients)


def reference(name, gradients):
    """The same in float64, written as a loop."""
    s, n, v = np.zeros((3, gradients.shape[1]))
    updates = []
    for index, g in enumerate(gradients):
        e = np.array([abs(a) / b if b > 0 else 1.0 for a, b in zip(s, n, strict=True)])
        if name in ("ratio_0", "ratio_1"):
            e[n > 0] = {"ratio_0": 0, "ratio_1": 1}[name]
        if name == "ratio_layer":
            e[n > 0] = e[n > 0].mean() if (n > 0).any() else 1
        c = (RHO2 - RHO1) * e + 1 - RHO2
        c = c if name == "unsquared" else c**2
        v = c * g**2 + (1 - c) * v
        root = np.sqrt(v) + EPS if name == "eps_outside" else np.sqrt(v + EPS)
        update = -float(SCHEDULE(index)) * g / root
        if (index + 1) % WINDOW == 0:
            s, n = 0 * s, 0 * n
        s, n = s + update, n + np.abs(update)
        updates.append(update)
    return np.array(updates)


@pytest.mark.parametrize("name", ["paper", "ratio_0", "ratio_1", "ratio_layer", "unsquared", "eps_outside"])
def test_each_variant_is_what_it_says(name, gradients):
    updates, _ = variant(name, gradients)
    np.testing.assert_allclose(updates, reference(name, gradients), rtol=2e-4, atol=1e-7)
    if name != "paper":
        assert np.abs(updates - variant("paper", gradients)[0]).max() > 1e-4


def test_unchanged_it_is_adasmooth(gradients):
    ours = follow(adasmooth(SCHEDULE, RHO1, RHO2, EPS, WINDOW), gradients)[0]
    np.testing.assert_allclose(variant("paper", gradients)[0], ours, rtol=1e-5, atol=1e-8)


def test_the_coin_forgets_the_direction_and_keeps_the_distance(gradients):
    straight = np.ones((STEPS, 2000))
    _, state = follow(altered_adasmooth("ratio_coin", SCHEDULE, RHO1, RHO2, EPS, None, 0), straight)
    updates, _ = follow(altered_adasmooth("ratio_coin", SCHEDULE, RHO1, RHO2, EPS, None, 0), straight)
    np.testing.assert_allclose(state.distance, np.abs(updates).sum(axis=0), rtol=1e-5)
    ratio = np.abs(state.displacement) / state.distance
    assert 0.8 < ratio.mean() / np.sqrt(2 / (np.pi * STEPS)) < 1.3  # of a random walk; it would be 1 without the coin
    assert np.abs(variant("ratio_coin", gradients, 0)[0] - variant("ratio_coin", gradients, 1)[0]).max() > 1e-5


def test_every_variant_of_the_configuration_exists(gradients):
    from study import RunConfig
    from study.optimizers import in_optax

    updates = {}
    for name in VARIANTS:
        config = RunConfig(optimizer="adasmooth", backend="jax", variant=name, window=str(WINDOW), schedule="constant")
        updates[name] = follow(in_optax(config, 10), gradients)[0]
    for name in VARIANTS[1:]:
        assert np.abs(updates[name] - updates["paper"]).max() > 1e-5, name
    weights = 0.1 * 0.9 ** np.arange(4)[::-1] / (1 - 0.9**4)
    np.testing.assert_allclose(updates["momentum"][3], weights @ updates["paper"][:4], rtol=1e-5, atol=1e-9)
    config = RunConfig(optimizer="adasmooth", backend="jax", variant="first_ratio_0")
    first = follow(in_optax(config, 10), np.ones((1, 3)))[0][0]
    np.testing.assert_allclose(first, -100 * config.learning_rate, rtol=0.01)
