"""What optax asks of a transformation in `contrib`, of both of ours: its properties as tests of our own, and optax's
own common tests, which the installed package ships."""

import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alexjax import adasmooth, adasmooth_delta, scale_by_adasmooth, scale_by_adasmooth_delta


def with_momentum(make):
    """The same with a `beta1` of 0.9 by default, to the outside like the original."""
    wrapped, signature = functools.wraps(make)(functools.partial(make, beta1=0.9)), inspect.signature(make)
    parameters = [each.replace(default=0.9) if each.name == "beta1" else each for each in signature.parameters.values()]
    wrapped.__signature__ = signature.replace(parameters=parameters)
    return wrapped


ALIASES = {
    "adasmooth": adasmooth,
    "adasmooth_momentum": with_momentum(adasmooth),
    "adasmooth_delta": adasmooth_delta,
}
SCALES = {
    "adasmooth": scale_by_adasmooth,
    "adasmooth_momentum": with_momentum(scale_by_adasmooth),
    "adasmooth_delta": scale_by_adasmooth_delta,
}
RATES = {"adasmooth": 1e-3, "adasmooth_momentum": 1e-3, "adasmooth_delta": 0.1}
OPTIONS = {
    "adasmooth": {"learning_rate": 1e-3},
    "adasmooth_momentum": {"learning_rate": 1e-3},
    "adasmooth_delta": {"learning_rate": 0.1, "eps": 1e-4},
}
START = {"weight": jnp.linspace(-1, 1, 6).reshape(2, 3), "bias": jnp.array([0.5, -0.5, 0.0])}

pytestmark = pytest.mark.parametrize("name", ALIASES)


def steps(solver, params, count=5, gradient=lambda params: params):
    state = solver.init(params)
    for _ in range(count):
        updates, state = solver.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def assert_trees_close(ours, theirs, rtol=1e-6):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-7)


def test_the_alias_takes_what_optax_says(name):
    parameters = inspect.signature(ALIASES[name]).parameters
    assert parameters["learning_rate"].annotation is optax.ScalarOrSchedule
    assert {"weight_decay", "mask", "accumulator_dtype"} <= set(parameters)
    text = inspect.getdoc(ALIASES[name])
    assert all(part in text for part in (".. math::", "Args:", "Returns:", ">>> ", "References:", "2204.00825"))
    assert all(re.search(rf"^  {each}:", text, re.M) for each in parameters)  # every argument is explained


def test_the_state_is_a_named_tuple_and_a_tree_of_parameters(name):
    solver = SCALES[name]()
    state = solver.init(START)
    assert isinstance(state, tuple)
    assert state._fields[:4] == ("count", "displacement", "distance", "nu")
    doubled = optax.tree.map_params(solver, lambda leaf: leaf + 1, state)
    assert doubled.count == 0
    kept = {"adasmooth": 3, "adasmooth_momentum": 4, "adasmooth_delta": 4}[name]
    trees = [tree for tree in doubled[1:] if tree is not None]
    assert len(trees) == kept
    for tree in trees:
        assert_trees_close(tree, jax.tree.map(jnp.ones_like, START))


def test_unknown_extra_arguments_are_accepted(name):
    solver = ALIASES[name]()
    solver.update(START, solver.init(START), START, value=1.0, nobody_knows=2)


def test_a_constant_schedule_is_a_number(name):
    by_number = steps(ALIASES[name](RATES[name]), START)[0]
    assert_trees_close(steps(ALIASES[name](optax.constant_schedule(RATES[name])), START)[0], by_number)


def test_it_works_under_scan_cond_and_multi_steps(name):
    solver = ALIASES[name](RATES[name], window=3)
    expected, _ = steps(solver, START)

    def body(carry, _):
        params, state = carry
        updates, state = jax.lax.cond(
            state[0].count < 100, lambda: solver.update(params, state, params), lambda: (params, state)
        )
        return (optax.apply_updates(params, updates), state), None

    (scanned, _), _ = jax.lax.scan(body, (START, solver.init(START)), length=5)
    assert_trees_close(scanned, expected, rtol=1e-5)
    every_second = optax.MultiSteps(solver, 2)
    params, state = START, every_second.init(START)
    for index in range(10):  # two equal gradients, whose mean is the gradient
        updates, state = every_second.update(params, state, params)
        if index % 2 == 0:
            assert not any(leaf.any() for leaf in jax.tree.leaves(updates))
        params = optax.apply_updates(params, updates)
    assert_trees_close(params, expected, rtol=1e-5)


def test_weight_decay_and_masks_compose(name):
    mask = {"weight": True, "bias": False}
    decayed = ALIASES[name](RATES[name], weight_decay=0.1, mask=mask)
    plain = ALIASES[name](RATES[name])
    zero = jax.tree.map(jnp.zeros_like, START)
    moved, _ = decayed.update(zero, decayed.init(START), START)
    np.testing.assert_allclose(moved["weight"], -RATES[name] * 0.1 * START["weight"], rtol=1e-6)
    assert not moved["bias"].any()
    by_callable = ALIASES[name](RATES[name], weight_decay=0.1, mask=lambda params: mask)
    assert_trees_close(steps(by_callable, START)[0], steps(decayed, START)[0])
    # Only the masked leaf differs from the plain optimizer: decay does not enter the effective ratio.
    np.testing.assert_allclose(
        steps(decayed, START, gradient=lambda _: START)[0]["bias"],
        steps(plain, START, gradient=lambda _: START)[0]["bias"],
    )
    states = [steps(each, START, gradient=lambda _: START)[1][0] for each in (decayed, plain)]
    assert_trees_close(*states)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("scale", [0, 1e-30, 1e-7, 1, 1e4, 1e30])
def test_no_gradient_makes_nan_or_infinity(name, dtype, scale, x64):
    gradient = jnp.clip(scale * jnp.array([0, 1, -1, 0.5]), -jnp.finfo(dtype).max, jnp.finfo(dtype).max)
    gradient = jnp.where(jnp.isfinite(gradient), gradient, 1).astype(dtype)
    params = jnp.array([0, 0, 1, -2], dtype)
    after, state = steps(ALIASES[name](RATES[name], window=3), params, 7, lambda _: gradient)
    assert after.dtype == dtype
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((after, state)))
    assert after[0] == 0


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, None])
def test_the_accumulators_dtype(name, dtype):
    params = jnp.ones(3, jnp.bfloat16)
    state = ALIASES[name](accumulator_dtype=dtype).init(params)[0]
    assert {leaf.dtype for leaf in jax.tree.leaves(state[1:])} == {jnp.dtype(dtype or jnp.float32)}
    assert ALIASES[name](accumulator_dtype=dtype).update(params, (state, optax.EmptyState()))[0].dtype == jnp.bfloat16


# optax's own ----------------------------------------------------------------------------------------------------------

common = pytest.importorskip("optax.contrib._common_test", reason="this optax comes without its tests")
TARGETS = [value for key, value in vars(common).items() if key.startswith("_setup_")]
CASES = [
    ("test_optimizers_accept_extra_args", {"wrap": False}),
    *(("test_optimizers", {"target": target, "dtype": "float32"}) for target in TARGETS),
    ("test_optimizers_can_be_wrapped_in_inject_hyperparams", {}),
    *(("test_preserve_dtype", {"dtype": dtype}) for dtype in ("bfloat16", "float32")),
    *(("test_gradient_accumulation", {"dtype": dtype}) for dtype in ("bfloat16", "float32")),
    *(
        ("test_state_shape_dtype_shard_stability", {"dtype": dtype})
        for dtype in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64)
    ),
    ("test_optimizers_accept_learning_rate_schedule_if_type_annotated_as_such", {}),
]


def original(name):
    """The method behind the cases that absl generates of it."""
    return next(
        method.__wrapped__
        for key, method in vars(common.ContribTest).items()
        if re.fullmatch(rf"{name}\d+.*", key) and method.__wrapped__.__name__ == name
    )


@pytest.mark.parametrize(("case", "options"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_optaxs_own(name, case, options, monkeypatch):
    monkeypatch.setattr(optax.contrib, name, ALIASES[name], raising=False)
    original(case)(
        common.ContribTest(),
        opt_name=name,
        opt_kwargs=OPTIONS[name],
        wrapper_name=None,
        wrapper_kwargs=None,
        **options,
    )


def test_all_of_optaxs_common_tests_are_run(name):
    theirs = {re.sub(r"\d+.*$", "", key) for key in vars(common.ContribTest) if key.startswith("test_")}
    assert theirs == {case for case, _ in CASES}
    assert len(TARGETS) == 4
