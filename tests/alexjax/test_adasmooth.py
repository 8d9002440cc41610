"""AdaSmooth for optax: the paper's reference, RMSProp, known mistakes, and what optax asks of a transformation."""

import doctest
import re
import sys

import adasmooth_reference as reference
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alexjax import adasmooth, adasmooth_delta, scale_by_adasmooth

START = np.linspace(-1, 1, 12)
ALIASES = {"adasmooth": adasmooth, "adasmooth_delta": adasmooth_delta}


def run(optimizer, gradients, start=START):
    """The parameters after each step with the given gradients, all steps in one compiled scan."""

    def step(carry, gradient):
        params, state = carry
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    params = jnp.asarray(start)
    return np.asarray(jax.lax.scan(step, (params, optimizer.init(params)), jnp.asarray(gradients))[1])


@pytest.mark.parametrize("window", [None, 1, 2, 7, 64])
@pytest.mark.parametrize("initial_ratio", [0.0, 1.0])
@pytest.mark.parametrize("name", ALIASES)
def test_it_is_the_papers(name, window, initial_ratio, x64):
    gradients = reference.trying_gradients()
    rates = 1e-2 / (1 + np.arange(200) / 50)
    options = {"window": window, "initial_ratio": initial_ratio}
    expected = getattr(reference, name)(START, gradients, lambda t: rates[t], **options)
    solver = ALIASES[name](lambda t: jnp.asarray(rates)[t], **options)
    np.testing.assert_allclose(run(solver, gradients), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("beta1", [0.5, 0.9])
def test_with_momentum_the_numerator_is_adams(window, beta1, x64):
    gradients = reference.trying_gradients()
    expected = reference.adasmooth(START, gradients, 1e-2, window=window, beta1=beta1)
    np.testing.assert_allclose(run(adasmooth(1e-2, window=window, beta1=beta1), gradients), expected, rtol=1e-10)
    adams = run(optax.adam(1e-2, b1=beta1, b2=0.99, eps=0.0), gradients[:1] + 1)  # of one step, the ratio of two roots
    ours = run(adasmooth(1e-2, rho1=0.9, rho2=0.9, eps=1e-30, beta1=beta1), gradients[:1] + 1)
    np.testing.assert_allclose(ours - START, 10 * (adams - START), rtol=1e-9)


def test_without_momentum_nothing_is_kept_for_it():
    assert adasmooth().init(START)[0].mu is None
    assert scale_by_adasmooth(beta1=0.9).init(START).mu.shape == START.shape
    gradients = reference.trying_gradients().astype(np.float32)
    np.testing.assert_array_equal(run(adasmooth(beta1=0.0), gradients), run(adasmooth(), gradients))


def test_with_equal_constants_it_is_rmsprop(x64):
    gradients = reference.trying_gradients()
    expected = run(optax.rmsprop(1e-3, decay=0.99, eps=1e-6, eps_in_sqrt=True), gradients)
    np.testing.assert_allclose(run(adasmooth(1e-3, rho1=0.9, rho2=0.9), gradients), expected, rtol=1e-12, atol=1e-12)


def frozen_ratio(x, gradients):
    """The mistake of published ports: the previous parameters begin as zeros and are copied after the update, and the
    sums run over the whole tensor, so that the ratio is that of the initial parameters for ever."""
    c = 0.49 * abs(np.sum(x)) / np.sum(np.abs(x)) + 0.01
    v, path = np.zeros_like(x), []
    for g in gradients:
        v = c**2 * g**2 + (1 - c**2) * v
        path.append((path[-1] if path else x) - 1e-3 * g / np.sqrt(v + 1e-6))
    return np.array(path)


def whole_tensor(x, gradients):
    """The other half of that mistake alone: one ratio for all coordinates."""
    updates, v = [], np.zeros_like(x)
    for g in gradients:
        ratio = abs(np.sum(updates)) / np.sum(np.abs(updates)) if updates else 1.0
        c = 0.49 * ratio + 0.01
        v = c**2 * g**2 + (1 - c**2) * v
        updates.append(-1e-3 * g / np.sqrt(v + 1e-6))
    return x + np.cumsum(updates, axis=0)


def unsquared(x, gradients):
    """c where the paper has c²."""
    updates, v = [], np.zeros_like(x)
    for g in gradients:
        c = 0.49 * reference.effective_ratio(updates, None, 1.0) + 0.01
        v = c * g**2 + (1 - c) * v
        updates.append(-1e-3 * g / np.sqrt(v + 1e-6))
    return x + np.cumsum(updates, axis=0)


def adam(x, gradients):
    return run(optax.adam(1e-3), gradients, x)


def forgotten_average(x, gradients):
    """v computed, but never stored."""
    updates = []
    for g in gradients:
        c = 0.49 * reference.effective_ratio(updates, None, 1.0) + 0.01
        updates.append(-1e-3 * g / np.sqrt(c**2 * g**2 + 1e-6))
    return x + np.cumsum(updates, axis=0)


@pytest.mark.parametrize("mutant", [frozen_ratio, whole_tensor, unsquared, adam, forgotten_average])
def test_known_mistakes_are_told_apart(mutant, x64):
    gradients = reference.trying_gradients()
    ours, theirs = run(adasmooth(), gradients), mutant(START, gradients)
    moved = np.abs(ours[-1] - START)
    assert (np.abs(ours - theirs).max(axis=0) > 0.01 * moved).sum() >= 8  # of 12 coordinates, one of which never moves


@pytest.mark.parametrize("name", ALIASES)
def test_weight_decay_with_a_mask(name, x64):
    params = {"weight": jnp.ones(3), "bias": jnp.ones(3)}
    solver = ALIASES[name](0.1, weight_decay=0.5, mask={"weight": True, "bias": False})
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = solver.update(zero, solver.init(params), params)
    np.testing.assert_allclose(updates["weight"], -0.05)
    np.testing.assert_array_equal(updates["bias"], 0)


@pytest.mark.parametrize("name", ALIASES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_updates_have_the_parameters_dtype_and_accumulators_at_least_float32(name, dtype):
    params = jnp.array([0.0, 1.0, 2.0, -1.0], dtype)
    solver = ALIASES[name]()
    state = solver.init(params)
    for scale in (0, 1, 60000, 1e-7):
        updates, state = solver.update((scale * jnp.array([0, 1, -1, 0.5])).astype(dtype), state, params)
        assert updates.dtype == params.dtype
        assert jnp.isfinite(updates).all()
        params = optax.apply_updates(params, updates)
    assert state[0].nu.dtype == jnp.float32
    assert params[0] == 0


@pytest.mark.parametrize("name", ALIASES)
def test_it_compiles_once(name):
    solver = ALIASES[name](optax.cosine_decay_schedule(1e-2, 10), window=2)
    update = jax.jit(solver.update)
    params = jnp.ones(3)
    state = solver.init(params)
    for _ in range(4):
        _, state = update(params, state, params)
    assert update._cache_size() == 1


@pytest.mark.parametrize("name", ALIASES)
def test_inject_hyperparams_changes_nothing(name, x64):
    gradients = reference.trying_gradients(40)
    options = {"learning_rate": 1e-2, "window": 7}
    injected = optax.inject_hyperparams(ALIASES[name])(**options)
    np.testing.assert_allclose(run(injected, gradients), run(ALIASES[name](**options), gradients), rtol=1e-12)


def test_extra_arguments_are_accepted_and_the_state_is_a_tree_of_parameters():
    params = {"weight": jnp.ones((2, 3))}
    solver = optax.with_extra_args_support(scale_by_adasmooth())
    _, state = solver.update(params, solver.init(params), params, value=1.0)
    doubled = optax.tree_utils.tree_map_params(solver, lambda leaf: 2 * leaf, state)
    np.testing.assert_allclose(doubled.nu["weight"], 2 * state.nu["weight"])


def test_parameters_may_be_python_numbers():
    solver = adasmooth()
    updates, _ = solver.update(1.0, solver.init(1.0))
    assert updates == pytest.approx(-2e-3, rel=1e-4)


def test_the_papers_delta_leaves_rosenbrock_for_infinity_as_its_docstring_says():
    gradient = jax.grad(lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)

    def end(solver):
        def step(carry, _):
            params, state = carry
            updates, state = solver.update(gradient(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        start = jnp.zeros(2)
        return jax.lax.scan(step, (start, solver.init(start)), length=30_000)[0][0]

    assert not jnp.abs(end(adasmooth_delta())).max() < 1e6
    np.testing.assert_allclose(end(adasmooth_delta(0.1, eps=1e-4)), 1, atol=0.01)


def test_it_finds_the_bottom_of_a_parabola():
    path = jnp.array([1.0, -2.0, 3.0])
    solver = adasmooth(optax.cosine_decay_schedule(0.1, 500))
    state = solver.init(path)
    step = jax.jit(lambda p, s: solver.update(jax.grad(lambda x: (x**2).sum())(p), s, p))
    for _ in range(500):
        updates, state = step(path, state)
        path = optax.apply_updates(path, updates)
    assert jnp.abs(path).max() < 1e-3


def test_the_example_in_the_docstring():
    module = sys.modules["alexjax.adasmooth"]
    failures, tried = doctest.testmod(module)
    assert failures == 0
    assert tried >= 5


@pytest.mark.parametrize("make", [adasmooth, adasmooth_delta])
@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"rho1": 0.9, "rho2": 0.5}, "needs 0 <= rho1 <= rho2 < 1, got rho1=0.9 and rho2=0.5"),
        ({"rho1": -0.1}, "got rho1=-0.1"),
        ({"rho2": 1.0}, "rho2=1.0"),
        ({"rho2": np.nan}, "rho2=nan"),
        ({"eps": 0.0}, "eps must be positive and finite, got 0.0"),
        ({"eps": np.nan}, "eps must be positive and finite, got nan"),
        ({"eps": np.inf}, "eps must be positive and finite, got inf"),
        ({"window": 0}, "window must be None or a whole number of steps, at least 1, got 0"),
        ({"window": 2.5}, "window must be None or a whole number of steps, at least 1, got 2.5"),
        ({"window": np.nan}, "at least 1, got nan"),
        ({"window": np.inf}, "at least 1, got inf"),
        ({"initial_ratio": 1.5}, "initial_ratio must lie in [0, 1], got 1.5"),
        ({"initial_ratio": np.nan}, "initial_ratio must lie in [0, 1], got nan"),
    ],
)
def test_bad_constants_are_named(make, constants, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        make(**constants)
    assert str(error.value).startswith(f"{make.__name__}: ")


@pytest.mark.parametrize("beta1", [1.0, -0.1, np.nan])
def test_a_bad_beta1_is_named(beta1):
    with pytest.raises(ValueError, match=r"beta1 must lie in \[0, 1\), got"):
        adasmooth(beta1=beta1)
