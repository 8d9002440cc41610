"""The optimizers: AdaSmooth against the paper's reference, the others against optax, both in float64."""

import adasmooth_reference as reference
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nunes import Tensor, optimizers, schedules

START = np.linspace(-1, 1, 12)


def run(optimizer_class, gradients, **options):
    """The parameters after each step with the given gradients."""
    x = Tensor(START.copy(), requires_grad=True)
    optimizer = optimizer_class([x], **options)
    path = []
    for gradient in gradients:
        x.grad = gradient.copy()
        optimizer.step()
        np.testing.assert_array_equal(x.grad, gradient)
        path.append(x.data.copy())
    return np.array(path)


@pytest.mark.parametrize("window", [None, 1, 2, 7, 64])
@pytest.mark.parametrize("initial_ratio", [0.0, 1.0])
@pytest.mark.parametrize("name", ["adasmooth", "adasmooth_delta"])
def test_adasmooth_is_the_papers(name, window, initial_ratio):
    optimizer = {"adasmooth": optimizers.AdaSmooth, "adasmooth_delta": optimizers.AdaSmoothDelta}[name]
    gradients = reference.trying_gradients()
    options = {"window": window, "initial_ratio": initial_ratio, "learning_rate": lambda t: 1e-2 / (1 + t / 50)}
    expected = getattr(reference, name)(START, gradients, **options)
    np.testing.assert_allclose(run(optimizer, gradients, **options), expected, rtol=1e-10, atol=1e-13)


def test_the_first_step_is_at_most_two_learning_rates():
    gradients = np.full((1, 12), 7.0)
    assert np.abs(run(optimizers.AdaSmooth, gradients) - START).max() < 2.1e-3
    trap = run(optimizers.AdaSmooth, gradients, initial_ratio=0.0)
    assert np.abs(trap - START).max() > 99e-3


OPTAX = {
    "SGD": (optimizers.SGD, optax.sgd(1e-2), {"learning_rate": 1e-2}),
    "SGD with momentum": (optimizers.SGD, optax.sgd(1e-2, 0.9), {"learning_rate": 1e-2, "momentum": 0.9}),
    "SGD with Nesterov's momentum": (
        optimizers.SGD,
        optax.sgd(1e-2, 0.9, nesterov=True),
        {"learning_rate": 1e-2, "momentum": 0.9, "nesterov": True},
    ),
    "SGD with weight decay": (
        optimizers.SGD,
        optax.chain(optax.add_decayed_weights(0.1), optax.sgd(1e-2, 0.9)),
        {"learning_rate": 1e-2, "momentum": 0.9, "weight_decay": 0.1},
    ),
    "AdaGrad": (optimizers.AdaGrad, optax.adagrad(1e-2, initial_accumulator_value=0.0, eps=1e-10), {}),
    "AdaDelta": (optimizers.AdaDelta, optax.adadelta(0.7, rho=0.95, eps=1e-6), {"learning_rate": 0.7, "rho": 0.95}),
    "Adam": (optimizers.Adam, optax.adam(1e-3), {}),
    "AdamW": (optimizers.AdamW, optax.adamw(1e-3, weight_decay=0.1), {"weight_decay": 0.1}),
    "RMSProp": (optimizers.RMSProp, optax.rmsprop(1e-3, 0.99, 1e-6, eps_in_sqrt=True), {}),
    "AdaSmooth with ρ1 = ρ2 = 0.9 is RMSProp": (
        optimizers.AdaSmooth,
        optax.rmsprop(1e-3, 0.99, 1e-6, eps_in_sqrt=True),
        {"rho1": 0.9, "rho2": 0.9},
    ),
}


SCHEDULES = {
    "cosine": (schedules.cosine(1e-2, 150), optax.cosine_decay_schedule(1e-2, 150)),
    "cosine after a warm-up": (
        schedules.cosine(1e-2, 150, warmup=20, final=1e-4),
        optax.warmup_cosine_decay_schedule(0.0, 1e-2, 20, 150, 1e-4),
    ),
    "steps": (schedules.step_decay(1e-2, 60, 0.3), optax.exponential_decay(1e-2, 60, 0.3, staircase=True)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_against_optax(name, x64):
    ours, theirs = SCHEDULES[name]
    for step in range(200):  # optax computes schedules in float32
        assert ours(step) == pytest.approx(float(theirs(step)), rel=1e-6, abs=1e-12)
    x = Tensor(np.zeros(1), requires_grad=True)
    optimizer = optimizers.SGD([x], ours)
    x.grad = np.ones(1)
    for _ in range(200):
        optimizer.step()
    assert x.data[0] == pytest.approx(-np.sum([ours(step) for step in range(200)]))


@pytest.mark.parametrize("name", OPTAX)
def test_against_optax(name, x64):
    ours, theirs, options = OPTAX[name]
    gradients = reference.trying_gradients()
    params, update = jnp.asarray(START), jax.jit(theirs.update)
    state, expected = theirs.init(params), []
    for gradient in gradients:
        updates, state = update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, updates)
        expected.append(np.asarray(params))
    np.testing.assert_allclose(run(ours, gradients, **options), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("window", "beta1"), [(None, 0.9), (7, 0.5)])
def test_adasmooth_with_momentum(window, beta1):
    gradients = reference.trying_gradients()
    expected = reference.adasmooth(START, gradients, 1e-2, window=window, beta1=beta1)
    ours = run(optimizers.AdaSmooth, gradients, learning_rate=1e-2, window=window, beta1=beta1)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-13)
    x = Tensor(START.copy(), requires_grad=True)
    assert "m.0" not in optimizers.AdaSmooth([x]).state
    with pytest.raises(ValueError, match=r"AdaSmooth: beta1 must lie in \[0, 1\), got 1"):
        optimizers.AdaSmooth([x], beta1=1)


ADAPTIVE = [
    optimizers.AdaSmooth, optimizers.AdaSmoothDelta, optimizers.Adam, optimizers.AdaGrad, optimizers.AdaDelta,
    optimizers.RMSProp,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("optimizer_class", ADAPTIVE)
def test_zero_huge_and_tiny_gradients_in_float32(optimizer_class):
    x = Tensor(np.zeros(4, np.float32), requires_grad=True)
    optimizer = optimizer_class([x])
    for step in range(50):
        x.grad = np.array([0, 1e20 if step == 0 else 1, 1e-30, -1], np.float32)  # 1e20² is infinite
        optimizer.step()
        assert np.isfinite(x.data).all()
    assert x.data[0] == 0
    assert x.data[3] != 0


def test_blocks_and_threads_do_not_matter(monkeypatch):
    generator = np.random.default_rng(0)
    gradient = generator.standard_normal(100_000)

    def train():
        x = Tensor(np.ones(100_000), requires_grad=True)
        optimizer = optimizers.AdaSmooth([x], window=3)
        for _ in range(5):
            x.grad = gradient
            optimizer.step()
        return x.data

    expected = train()
    for block, threads in ((1 << 10, 1), (1 << 12, 2), (1 << 20, 5)):
        monkeypatch.setattr("nunes.parallel.BLOCK", block)
        monkeypatch.setattr("nunes.parallel._num_threads", threads)
        np.testing.assert_array_equal(train(), expected)


def test_state_is_saved_and_restored():
    gradients = reference.trying_gradients(20)
    whole = run(optimizers.AdaSmooth, gradients, window=6)
    x = Tensor(START.copy(), requires_grad=True)
    first = optimizers.AdaSmooth([x], window=6)
    for gradient in gradients[:10]:
        x.grad = gradient
        first.step()
    second = optimizers.AdaSmooth([x], window=6)
    second.load_state_dict(first.state_dict())
    for gradient in gradients[10:]:
        x.grad = gradient
        second.step()
    np.testing.assert_array_equal(x.data, whole[-1])
    with pytest.raises(ValueError, match="not this optimizer's"):
        optimizers.Adam([x]).load_state_dict(first.state_dict())


ALL = [optimizers.SGD, optimizers.AdamW, *ADAPTIVE]
DECAYS = {
    optimizers.SGD: ["momentum"],
    optimizers.RMSProp: ["decay"],
    optimizers.AdaDelta: ["rho"],
    optimizers.Adam: ["beta1", "beta2"],
    optimizers.AdamW: ["beta1", "beta2"],
    optimizers.AdaSmooth: ["rho1", "rho2", "beta1"],
    optimizers.AdaSmoothDelta: ["rho1", "rho2"],
}
DECAYED = [optimizers.SGD, optimizers.Adam, optimizers.AdamW]
EPS = [each for each in ALL if each is not optimizers.SGD]
BAD = [
    *[(each, "learning_rate", value) for each in ALL for value in (np.nan, np.inf, -0.1)],
    *[(each, "weight_decay", value) for each in DECAYED for value in (np.nan, np.inf, -0.1)],
    *[(each, "eps", value) for each in EPS for value in (np.nan, np.inf, -1e-8, 0, 1e-50)],
    *[(each, name, value) for each, names in DECAYS.items() for name in names for value in (np.nan, -0.1, 1, 1.5)],
    *[(optimizers.AdaSmooth, "window", value) for value in (np.nan, np.inf, -3, 2.5)],
    *[(optimizers.AdaSmooth, "initial_ratio", value) for value in (np.nan, np.inf, -0.1)],
]


@pytest.mark.parametrize(("optimizer_class", "name", "value"), BAD)
def test_constants_out_of_range_are_refused(optimizer_class, name, value):
    with pytest.raises(ValueError, match=rf"^{optimizer_class.__name__}: {name} must .*, got {value}$"):
        optimizer_class([Tensor(np.ones(1), requires_grad=True)], **{name: value})


@pytest.mark.parametrize("optimizer_class", ALL)
def test_constants_that_are_no_numbers_are_refused(optimizer_class):
    with pytest.raises(TypeError):
        optimizer_class([Tensor(np.ones(1), requires_grad=True)], learning_rate="1e-3")


@pytest.mark.parametrize("rate", [np.nan, np.inf, -1e-3])
@pytest.mark.parametrize("make", [lambda rate: lambda step: rate if step else 0.1, lambda rate: 0.1])
def test_a_rate_that_goes_out_of_range_changes_nothing(rate, make):
    x = Tensor(START.copy(), requires_grad=True)
    optimizer = optimizers.Adam([x], make(rate))
    x.grad = np.ones_like(START)
    optimizer.step()
    before, state = x.data.copy(), optimizer.state_dict()
    if not callable(optimizer.learning_rate):
        optimizer.learning_rate = rate
    with pytest.raises(ValueError, match=rf"Adam: learning_rate must lie in \[0, inf\), got {rate} at step 1"):
        optimizer.step()
    np.testing.assert_array_equal(x.data, before)
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


@pytest.mark.parametrize("optimizer_class", ALL)
def test_float16_is_changed_in_float32(optimizer_class):
    """Gradients whose squares float16 does not hold, and constants that it does not know."""
    ours, twin = (Tensor(np.array([1, 0.5, 0, -0.5], d), requires_grad=True) for d in (np.float16, np.float32))
    pair = [optimizer_class([x], 1.0) for x in (ours, twin)]
    for _ in range(3):
        twin.data = ours.data.astype(np.float32)
        for x, optimizer in zip((ours, twin), pair, strict=True):
            x.grad = np.array([300, 1e-4, 0, -1], x.dtype)
            optimizer.step()
        np.testing.assert_allclose(ours.data, twin.data, rtol=1e-3)  # a rounding to float16
    assert ours.dtype == np.float16
    assert all(slot.dtype == np.float32 for slot in pair[0].state.values())
    assert ours.data[0] != 1
    assert ours.data[2] == 0


def test_a_parameter_that_is_named_twice_is_changed_once():
    x = Tensor(START.copy(), requires_grad=True)
    optimizer = optimizers.SGD([x, Tensor(START.copy(), requires_grad=True), x], 1.0)
    x.grad = np.ones_like(START)
    optimizer.step()
    assert len(optimizer.parameters) == 2
    np.testing.assert_array_equal(x.data, START - 1)


@pytest.mark.parametrize("parameters", [lambda x: x, lambda x: [x * 1.0]])
def test_tensors_that_were_computed_are_no_parameters(parameters):
    with pytest.raises(ValueError, match=r"parameter 0 of shape .* must require a gradient and own"):
        optimizers.Adam(parameters(Tensor(np.ones((2, 3)), requires_grad=True)))


def test_a_state_in_another_order_is_copied():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    optimizer = optimizers.Adam([x])
    optimizer.load_state_dict({name: np.array(array, order="F") for name, array in optimizer.state_dict().items()})
    x.grad = np.ones((2, 3))
    optimizer.step()
    assert optimizer.state["m.0"].all()


def test_a_bad_state_changes_nothing():
    optimizer = optimizers.Adam([Tensor(START.copy(), requires_grad=True)])
    bad = optimizer.state_dict() | {"count": np.asarray(7), "m.0": np.ones(12), "v.0": np.array(["v"] * 12)}
    with pytest.raises(ValueError, match="could not convert"):
        optimizer.load_state_dict(bad)
    assert optimizer.count == 0
    assert not optimizer.state["m.0"].any()


def test_bad_constants_are_named():
    x = [Tensor(np.ones(1), requires_grad=True)]
    with pytest.raises(ValueError, match=r"rho1=0\.9 and rho2=0\.5"):
        optimizers.AdaSmooth(x, rho1=0.9, rho2=0.5)
    with pytest.raises(ValueError, match="window must be None or a whole number of steps, at least 1, got 0"):
        optimizers.AdaSmooth(x, window=0)
    with pytest.raises(ValueError, match=r"initial_ratio must lie in \[0, 1\], got 7"):
        optimizers.AdaSmoothDelta(x, initial_ratio=7)
    with pytest.raises(ValueError, match=r"parameter 0 of shape \(3, 2\) must require a gradient and own a contiguous"):
        optimizers.SGD([Tensor(np.ones((2, 3)).T, requires_grad=True)])
    with pytest.raises(ValueError, match="SGD: nesterov needs a momentum"):
        optimizers.SGD(x, nesterov=True)
    x[0].grad = np.ones(2)
    with pytest.raises(ValueError, match=r"Adam: parameter 0 has shape \(1,\), its gradient \(2,\)"):
        optimizers.Adam(x).step()
    with pytest.raises(ValueError, match="no parameters"):
        optimizers.Adam([])
