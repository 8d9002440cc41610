"""A run's optimizer has the run's constants, the same in both implementations."""

import jax.numpy as jnp
import numpy as np
import pytest

from nunes.nn import Parameter
from study import RunConfig
from study.config import OPTIMIZERS, ConfigError
from study.optimizers import in_nunes, in_optax

CHANGES = {  # of each constant that an optimizer has, a value that is not its default
    "adadelta": {"rho": 0.5, "eps": 1e-2},
    "adagrad": {"eps": 1e-2},
    "adam": {"beta1": 0.5, "beta2": 0.9, "eps": 1e-2},
    "adasmooth": {"rho1": 0.2, "rho2": 0.7, "eps": 1e-2, "window": "3", "learning_rate": 0.02, "beta1": 0.9},
    "adasmooth_delta": {"rho1": 0.2, "rho2": 0.7, "eps": 1e-2, "window": "epoch"},
    "rmsprop": {"rho": 0.5, "eps": 1e-2},
    "sgd": {"beta1": 0.5, "schedule": "cosine"},
}
GRADIENTS = np.random.default_rng(0).standard_normal((12, 6))


def in_numpy(config):
    parameter = Parameter(np.ones(6))
    optimizer = in_nunes(config, [parameter], 5)
    for gradient in GRADIENTS:
        parameter.grad = gradient.copy()
        optimizer.step()
    return parameter.data


def in_jax(config):
    import jax

    with jax.enable_x64(True):
        optimizer, x = in_optax(config, 5), jnp.ones(6, jnp.float64)
        state = optimizer.init(x)
        for gradient in GRADIENTS:
            update, state = optimizer.update(jnp.asarray(gradient), state, x)
            x = x + update
        return np.asarray(x)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_both_implementations_take_every_constant(name):
    start = {"optimizer": name, "learning_rate": 0.05, "schedule": "constant"}
    before = in_numpy(RunConfig(**start))
    np.testing.assert_allclose(in_jax(RunConfig(**start)), before, rtol=1e-6)
    for key, value in CHANGES[name].items():
        config = RunConfig(**start | {key: value})
        changed = in_numpy(config)
        assert np.abs(changed - before).max() > 1e-6, f"{key} does nothing"
        np.testing.assert_allclose(in_jax(config), changed, rtol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", ["adam", "adasmooth"])
def test_weight_decay_is_decoupled(name):
    """Without gradients it is all that moves the weights: x ← (1 − η·decay)·x."""
    optimizer = in_optax(RunConfig(backend="jax", optimizer=name, learning_rate=0.1, weight_decay=0.5), 5)
    x = jnp.ones(3)
    update, _ = optimizer.update(jnp.zeros(3), optimizer.init(x), x)
    np.testing.assert_allclose(x + update, 0.95 * np.ones(3), rtol=1e-6)
    with pytest.raises(ConfigError, match="weight_decay is one of adam and adasmooth in jax, not of"):
        RunConfig(backend="numpy", optimizer=name, weight_decay=0.5)


@pytest.mark.parametrize("window", [7, 40])
def test_the_coin_forgets_the_direction_and_keeps_the_distance(window):
    """Against the same written as a float64 loop, the coin's throws taken from the path that comes out."""
    eta, rho1, rho2, eps = 0.01, 0.5, 0.99, 1e-6
    gradients = np.tile(np.concatenate([np.ones(3000), np.random.default_rng(0).standard_normal(1000)]), (40, 1))
    config = RunConfig(
        optimizer="adasmooth", backend="jax", variant="ratio_coin", window=str(window),
        schedule="constant", learning_rate=eta,
    )  # fmt: skip
    optimizer, x = in_optax(config, 10), jnp.zeros(4000)
    state = optimizer.init(x)
    path, n, v = np.zeros((3, 4000))
    for step, g in enumerate(gradients, 1):
        e = np.where(n > 0, np.abs(path) / np.where(n > 0, n, 1), 1)
        c2 = ((rho2 - rho1) * e + 1 - rho2) ** 2
        v = c2 * g**2 + (1 - c2) * v
        d = -eta * g / np.sqrt(v + eps)
        update, state = optimizer.update(jnp.asarray(g, jnp.float32), state, x)
        np.testing.assert_allclose(update, d, rtol=1e-4, atol=1e-7)
        before = 0 if step % window == 0 else path
        coin = np.rint((np.asarray(state[0].displacement, np.float64) - before) / np.abs(d))
        assert set(coin) == {-1, 1}
        assert abs(coin[:3000].mean()) < 0.1
        path, n = before + coin * np.abs(d), (0 if step % window == 0 else n) + np.abs(d)
    for seed, same in ((0, True), (1, False)):  # the coin is thrown by the run's seed
        another = in_optax(config.model_copy(update={"seed": seed}), 10)
        once, twice = (each.update(jnp.ones(4000), each.init(x), x)[1][0] for each in (optimizer, another))
        assert (once.displacement == twice.displacement).all() == same


def test_the_coin_is_adasmooths_in_jax():
    for wrong in ({"optimizer": "adam", "backend": "jax"}, {"optimizer": "adasmooth", "backend": "numpy"}):
        with pytest.raises(ConfigError, match="variant 'ratio_coin' is one of AdaSmooth in JAX, not of"):
            RunConfig(variant="ratio_coin", **wrong)
