"""Every operation against its twin in JAX, in float64: the value, and the vector-Jacobian product."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import nunes.autograd.functional as F
from nunes import Tensor
from nunes.autograd.functional.winograd import WinogradConv2d, best_tile
from nunes.tensor import apply

TOLERANCE = 1e-9


def check(ours, theirs, *arrays, tolerance=TOLERANCE):
    """Compare value and gradients with JAX's, for a random gradient of the output; nothing given may be changed."""
    copies = [array.copy() for array in arrays]
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    output = ours(*tensors)
    with jax.enable_x64(True):
        expected, vjp = jax.vjp(theirs, *map(jnp.asarray, arrays))
        assert output.shape == expected.shape
        scale = max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(output.data, expected, rtol=tolerance, atol=tolerance * scale)
        gradient = np.random.default_rng(1).standard_normal(output.shape).astype(output.dtype)
        copies.append(gradient.copy())
        output.backward(gradient)
        for tensor, expected in zip(tensors, vjp(jnp.asarray(gradient)), strict=True):
            assert tensor.grad.shape == tensor.shape
            scale = max(1.0, float(np.abs(expected).max(initial=0)))
            np.testing.assert_allclose(tensor.grad, expected, rtol=tolerance, atol=tolerance * scale)
    for array, copy in zip([*arrays, gradient], copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def random(*shape, seed=0, low=None):
    values = np.random.default_rng(seed).standard_normal(shape)
    return values if low is None else low + np.abs(values)


ORDERS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "read only": lambda x: np.broadcast_to(x, x.shape),
}
orders = st.sampled_from([*ORDERS.values()])
dtypes = st.sampled_from([np.float64, np.float32])
TOLERANCES = {np.float64: TOLERANCE, np.float32: 2e-4}


UNARY = {
    "negative": (F.negative, jnp.negative, None),
    "exp": (F.exp, jnp.exp, None),
    "log": (F.log, jnp.log, 0.1),
    "sqrt": (F.sqrt, jnp.sqrt, 0.1),
    "absolute": (F.absolute, jnp.abs, None),
    "power": (lambda x: F.power(x, 3), lambda x: x**3, None),
    "power of a number": (lambda x: 2.5**x, lambda x: 2.5**x, None),
    "square root as power": (lambda x: x**0.5, lambda x: x**0.5, 0.1),
    "clip": (lambda x: F.clip(x, -0.5, 0.7), lambda x: jnp.clip(x, -0.5, 0.7), None),
    "clip from below": (lambda x: F.clip(x, low=0.1), lambda x: jnp.clip(x, 0.1), None),
    "relu": (F.relu, jax.nn.relu, None),
    "leaky_relu": (F.leaky_relu, jax.nn.leaky_relu, None),
    "leaky_relu, slope 0.3": (lambda x: F.leaky_relu(x, slope=0.3), lambda x: jax.nn.leaky_relu(x, 0.3), None),
    "elu": (F.elu, jax.nn.elu, None),
    "elu, alpha 0.5": (lambda x: F.elu(x, 0.5), lambda x: jax.nn.elu(x, 0.5), None),
    "gelu": (F.gelu, jax.nn.gelu, None),
    "silu": (F.silu, jax.nn.silu, None),
    "softplus": (F.softplus, jax.nn.softplus, None),
    "sigmoid": (F.sigmoid, jax.nn.sigmoid, None),
    "tanh": (F.tanh, jnp.tanh, None),
    "softmax": (F.softmax, jax.nn.softmax, None),
    "softmax over axis 0": (lambda x: F.softmax(x, 0), lambda x: jax.nn.softmax(x, 0), None),
    "log_softmax": (F.log_softmax, jax.nn.log_softmax, None),
    "sum": (F.sum, jnp.sum, None),
    "sum over axis 1": (lambda x: x.sum(axis=1), lambda x: x.sum(axis=1), None),
    "sum over two axes": (lambda x: x.sum(axis=(0, -1), keepdims=True), lambda x: x.sum((0, -1), keepdims=True), None),
    "mean": (F.mean, jnp.mean, None),
    "mean over axis 0": (lambda x: x.mean(axis=0), lambda x: x.mean(axis=0), None),
    "var": (lambda x: x.var(axis=(0, 2)), lambda x: x.var(axis=(0, 2)), None),
    "max": (F.max, jnp.max, None),
    "max over axis 1": (lambda x: x.max(axis=1), lambda x: x.max(axis=1), None),
    "max of equals": (lambda x: F.max(x * 0.0, axis=0), lambda x: jnp.max(x * 0.0, axis=0), None),
    "min over two axes": (lambda x: x.min((0, 2), keepdims=True), lambda x: x.min((0, 2), keepdims=True), None),
    "pad": (
        lambda x: F.pad(x, ((1, 0), (0, 2), (3, 1)), 0.5),
        lambda x: jnp.pad(x, ((1, 0), (0, 2), (3, 1)), constant_values=0.5),
        None,
    ),
    "reshape": (lambda x: x.reshape(4, -1), lambda x: x.reshape(4, -1), None),
    "transpose": (lambda x: x.T, lambda x: x.T, None),
    "transpose with axes": (lambda x: x.transpose(1, 2, 0), lambda x: x.transpose(1, 2, 0), None),
    "transpose with a negative axis": (lambda x: x.transpose(0, -1, 1), lambda x: x.transpose(0, -1, 1), None),
    "slice": (lambda x: x[1:, ::2], lambda x: x[1:, ::2], None),
    "index array": (lambda x: x[np.array([0, 2, 0])], lambda x: x[np.array([0, 2, 0])], None),
    "mask": (lambda x: x[np.eye(3, 4, dtype=bool)], lambda x: x[np.eye(3, 4, dtype=bool)], None),
}


@pytest.mark.parametrize("name", UNARY)
def test_of_one_argument(name):
    ours, theirs, low = UNARY[name]
    for order in ORDERS.values():
        check(ours, theirs, order(random(3, 4, 2, low=low)))


BINARY = {
    "add": (lambda x, y: x + y, jnp.add),
    "subtract": (lambda x, y: x - y, jnp.subtract),
    "multiply": (lambda x, y: x * y, jnp.multiply),
    "divide": (lambda x, y: x / y, jnp.divide),
    "power": (lambda x, y: x**y, jnp.power),
}


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (2, 1, 4)), ((), (2, 3)), ((1,), (3,))])
def test_of_two_arguments_with_broadcasting(name, shapes):
    ours, theirs = BINARY[name]
    check(ours, theirs, random(*shapes[0], low=0.5), random(*shapes[1], low=0.5, seed=1))


def test_numbers_and_arrays_are_constants():
    x = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    for y in (2 - x, 2 / x, 3 * x, x * 2.5, np.ones((2, 2), np.float32) + x, x @ np.eye(2, dtype=np.float32)):
        assert y.dtype == np.float32
        assert y.requires_grad


@pytest.mark.parametrize("k", [0, 0.0, 1, 2.0, np.array([0.0, 1.0, 0.0]), np.array([False, True, False])])
def test_powers_at_zero(k):
    """k·x^(k−1), which is 0 for k = 0, as in PyTorch."""
    x = Tensor(np.array([0.0, 0.0, -2.0]), requires_grad=True)
    with np.errstate(all="raise"):
        (x**k).sum().backward()
    slopes = {0: [0, 0, 0], 1: [1, 1, 1], 2: [0, 0, -4]}
    np.testing.assert_array_equal(x.grad, slopes[k] if np.ndim(k) == 0 else [0, 1, 0])


def test_powers_of_zero():
    """As in PyTorch, 0 at 0⁰ too; JAX does the same for k > 0."""
    x, k = Tensor(np.array([0.0, 0.0, 0.0, 2.0]), requires_grad=True), Tensor(np.array([2.0, 0.5, 0.0, 3.0]))
    k.requires_grad = True
    with np.errstate(divide="ignore"):  # √x is vertical at 0
        (x**k).backward(np.ones(4))
    np.testing.assert_allclose(k.grad, [0, 0, 0, 8 * np.log(2)])
    np.testing.assert_array_equal(x.grad, [0, np.inf, 0, 12])
    k = Tensor(np.array([1.5, 2.5]), requires_grad=True)
    (Tensor(np.array([0, 3], np.int8)) ** k).sum().backward()
    np.testing.assert_allclose(k.grad, [0, 3**2.5 * np.log(3)])


def test_matrix_products():
    check(F.matmul, jnp.matmul, random(3, 4), random(4, 5))
    check(F.matmul, jnp.matmul, random(2, 3, 4), random(4, 5))
    check(F.matmul, jnp.matmul, random(2, 1, 3, 4), random(5, 4, 2))
    check(F.linear, lambda x, w, b: x @ w + b, random(3, 4), random(4, 5), random(5))
    check(F.linear, jnp.matmul, random(300, 70), random(70, 90))  # large enough for the threads


def test_concatenate():
    check(
        lambda x, y: F.concatenate([x, y], axis=1),
        lambda x, y: jnp.concatenate([x, y], axis=1),
        random(2, 3), random(2, 1),
    )  # fmt: skip


def test_cross_entropy():
    labels = np.array([2, 0, 2, 1, 4])
    check(
        lambda x: F.cross_entropy(x, labels),
        lambda x: optax.softmax_cross_entropy_with_integer_labels(x, labels).mean(),
        10 * random(5, 5),
    )
    extreme = Tensor(np.array([[1e4, -1e4]]), requires_grad=True)
    loss = F.cross_entropy(extreme, np.array([1]))
    loss.backward()
    assert loss.item() == 2e4
    np.testing.assert_array_equal(extreme.grad, [[1, -1]])


LABELS = np.array([2, 0, 2, 1, 4])
LOSSES = {
    "cross_entropy with smoothing": (
        lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1),
        lambda x: optax.softmax_cross_entropy(x, optax.smooth_labels(jax.nn.one_hot(LABELS, 5), 0.1)).mean(),
    ),
    "nll": (lambda x: F.nll(F.log_softmax(x), LABELS), lambda x: -jax.nn.log_softmax(x)[np.arange(5), LABELS].mean()),
    "mse": (lambda x: F.mse(x, np.eye(5)), lambda x: ((x - np.eye(5)) ** 2).mean()),
    "l1": (lambda x: F.l1(x, np.eye(5)), lambda x: jnp.abs(x - np.eye(5)).mean()),
    "huber": (lambda x: F.huber(x, np.eye(5), 0.7), lambda x: optax.huber_loss(x, np.eye(5), delta=0.7).mean()),
    "bce_with_logits": (
        lambda x: F.bce_with_logits(x, 0.8 * np.eye(5)),
        lambda x: optax.sigmoid_binary_cross_entropy(x, 0.8 * np.eye(5)).mean(),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    check(*LOSSES[name], 3 * random(5, 5))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_is_nan_says_where_from(name):
    x = random(5, 5)
    x[3, 2] = np.nan
    with pytest.raises(FloatingPointError, match=rf"{name.split()[0]}: the loss is NaN, for \w+ of shape \(5, 5\)"):
        LOSSES[name][0](Tensor(x))


def jax_conv(x, w, b, stride, padding, dilation, groups):
    y = lax.conv_general_dilated(
        x, w, (stride, stride), [(padding, padding)] * 2, rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
    )  # fmt: skip
    return y + b


@settings(max_examples=50, deadline=None)
@given(
    images=st.integers(1, 5),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 3),
    order=orders,
    dtype=dtypes,
)
def test_conv2d(images, size, kernel, channels, stride, padding, dilation, groups, order, dtype):
    reach = [dilation * (k - 1) + 1 for k in kernel]
    size = [max(n, r - 2 * padding) for n, r in zip(size, reach, strict=True)]
    x = order(random(images, *size, channels[0] * groups).astype(dtype))
    w, b = order(random(*kernel, channels[0], channels[1] * groups).astype(dtype)), random(channels[1] * groups)
    options = (stride, padding, dilation, groups)
    check(
        lambda x, w, b: F.conv2d(x, w, b, *options),
        lambda x, w, b: jax_conv(x, w, b, *options),
        x,
        w,
        b.astype(dtype),
        tolerance=TOLERANCES[dtype],
    )


@settings(max_examples=40, deadline=None)
@given(
    images=st.integers(1, 5),
    size=st.tuples(st.integers(1, 11), st.integers(1, 11)),
    kernel=st.integers(2, 5),
    tile=st.integers(2, 4),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.integers(0, 3),
    groups=st.integers(1, 3),
    order=orders,
    dtype=dtypes,
)
def test_winograd(images, size, kernel, tile, channels, padding, groups, order, dtype):
    tile = min(tile, 8 - kernel)
    x = order(random(images, *[max(n, kernel - 2 * padding) for n in size], channels[0] * groups).astype(dtype))
    w = order(random(kernel, kernel, channels[0], channels[1] * groups).astype(dtype))
    b = random(channels[1] * groups)
    check(
        lambda x, w, b: apply(WinogradConv2d(tile, padding, groups), x, w, b),
        lambda x, w, b: jax_conv(x, w, b, 1, padding, 1, groups),
        x,
        w,
        b.astype(dtype),
        tolerance=TOLERANCES[dtype],
    )


@pytest.mark.parametrize(("kernel", "tolerance"), [(3, 1e-5), (5, 2e-5)])
def test_winograd_is_chosen_and_its_float32_error_is_small(kernel, tolerance):
    x, w = random(8, 13, 13, 48), random(kernel, kernel, 48, 64, seed=1)
    assert best_tile(x.shape, w.shape, 1, 1) is not None
    y = F.conv2d(Tensor(x.astype(np.float32)), Tensor(w.astype(np.float32), requires_grad=True), padding=1)
    assert type(y.node) is WinogradConv2d
    with jax.enable_x64(True):
        expected = np.asarray(jax_conv(x, w, 0.0, 1, 1, 1, 1))
    assert np.abs(y.data - expected).max() < tolerance * np.abs(expected).max()


def test_float32_gradients_of_conv2d_are_those_of_float64():
    x, w, b = random(6, 15, 15, 24), random(3, 3, 12, 32, seed=1), random(32, seed=2)
    gradient = random(6, 15, 15, 32, seed=3)
    grads = []
    for dtype in (np.float32, np.float64):
        tensors = [Tensor(array.astype(dtype), requires_grad=True) for array in (x, w, b)]
        F.conv2d(*tensors, padding=1, groups=2).backward(gradient)
        grads.append([tensor.grad for tensor in tensors])
        assert all(grad.dtype == dtype for grad in grads[-1])
    for single, double in zip(*grads, strict=True):
        assert np.abs(single - double).max() < 1e-5 * np.abs(double).max()


def test_conv2d_without_bias_and_without_the_images_gradient():
    x, w = random(2, 6, 6, 3), random(3, 3, 3, 4)
    check(lambda w: F.conv2d(x, w), lambda w: jax_conv(x, w, 0, 1, 0, 1, 1), w)


def jax_max_pool(x, kernel, stride, padding):
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, kernel, kernel, 1), (1, stride, stride, 1), pads)


@settings(max_examples=40, deadline=None)
@given(
    images=st.integers(1, 4),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.integers(1, 4),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 1),
    ties=st.booleans(),
    order=orders,
)
def test_pooling(images, size, channels, kernel, stride, padding, ties, order):
    padding = min(padding, kernel // 2)
    size = [max(n, kernel - 2 * padding) for n in size]
    x = random(images, *size, channels)
    if ties:  # of equal values the first one gets the gradient, as in JAX
        x = np.round(x)
    options = (kernel, stride, padding)
    check(lambda x: F.max_pool2d(x, *options), lambda x: jax_max_pool(x, *options), order(x))
    check(lambda x: F.avg_pool2d(x, *options), lambda x: jax_avg_pool(x, *options), order(x))


def jax_avg_pool(x, kernel, stride, padding):
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return lax.reduce_window(x, 0.0, lax.add, (1, kernel, kernel, 1), (1, stride, stride, 1), pads) / kernel**2


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 3, st.integers(1, 17)),
    size=st.sampled_from([1, 3, 5, 7]),
    beta=st.sampled_from([0.75, 0.6]),
    order=orders,
    dtype=dtypes,
)
def test_local_response_norm(shape, size, beta, order, dtype):
    def theirs(x):
        squares = jnp.pad(x**2, ((0, 0), (0, 0), (0, 0), (size // 2, size // 2)))
        window = sum(squares[..., i : i + shape[3]] for i in range(size))
        return x / (2 + 0.1 * window) ** beta

    check(
        lambda x: F.local_response_norm(x, size, 0.1, beta),
        theirs,
        order(random(*shape)).astype(dtype),
        tolerance=TOLERANCES[dtype],
    )


@pytest.mark.parametrize("shape", [(7, 3), (2, 4, 5, 3), (2, 1, 1, 1)])
def test_batch_norm(shape):
    mean, var = np.zeros(shape[-1]), np.ones(shape[-1])
    axes, count = tuple(range(len(shape) - 1)), np.prod(shape[:-1])
    x, w, b = random(*shape), random(shape[-1], seed=1), random(shape[-1], seed=2)

    def theirs(x, w, b):
        return (x - x.mean(axes)) / jnp.sqrt(x.var(axes) + 1e-5) * w + b

    check(
        lambda x, w, b: F.batch_norm(x, w, b, mean, var), theirs, x, w, b, tolerance=1e-8 if count == 2 else TOLERANCE
    )
    np.testing.assert_allclose(mean, 0.1 * x.mean(axes))
    np.testing.assert_allclose(var, 0.9 + 0.1 * x.var(axes, ddof=1))
    check(
        lambda x, w, b: F.batch_norm(x, w, b, mean, var, training=False),
        lambda x, w, b: (x - mean) / jnp.sqrt(var + 1e-5) * w + b,
        x, w, b,
    )  # fmt: skip


def test_batch_norm_moves_running_statistics_that_are_tensors():
    x, mean, var = random(4, 3), Tensor(np.zeros(3)), Tensor(np.ones(3))
    F.batch_norm(Tensor(x), np.ones(3), np.zeros(3), mean, var)
    np.testing.assert_allclose(mean.data, 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(var.data, 0.9 + 0.1 * x.var(axis=0, ddof=1))


def test_dropout():
    x = Tensor(np.ones((200, 300), np.float32), requires_grad=True)
    y = F.dropout(x, 0.3, generator=np.random.default_rng(0))
    y.sum().backward()
    kept = y.data != 0
    assert abs(kept.mean() - 0.7) < 0.01
    np.testing.assert_allclose(y.data[kept], 1 / 0.7, rtol=1e-6)
    np.testing.assert_array_equal(x.grad, y.data)
    assert F.dropout(x, 0.3, training=False) is x


def test_dropout2d_drops_channels():
    x = Tensor(np.ones((50, 3, 4, 40), np.float32), requires_grad=True)
    y = F.dropout2d(x, 0.25, generator=np.random.default_rng(0))
    channels = y.data[:, 0, 0]
    np.testing.assert_array_equal(y.data, np.broadcast_to(channels[:, None, None], y.shape))
    assert set(np.unique(channels)) == {0, np.float32(1 / 0.75)}
    assert abs((channels == 0).mean() - 0.25) < 0.03
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(x.grad, y.data)


@pytest.mark.parametrize("name", UNARY)
def test_float32_stays_float32(name):
    x = Tensor(random(3, 4, 2, low=0.5).astype(np.float32), requires_grad=True)
    y = UNARY[name][0](x)
    y.backward(np.ones(y.shape))
    assert y.dtype == x.grad.dtype == np.float32


IMAGES, KERNEL = random(2, 8, 8, 3), random(3, 3, 3, 4)
BAD = {  # the beginning of the message: the operation is named, the argument, and the shapes
    "matmul: cannot multiply shapes (2, 3) and (2, 3)": lambda: F.matmul(Tensor(random(2, 3)), Tensor(random(2, 3))),
    "linear: x must be (N, in) and weight (in, out), got (2, 3) and (2, 3)": lambda: F.linear(
        Tensor(random(2, 3)), Tensor(random(2, 3))
    ),
    "linear: bias must be (4,), got (3,)": lambda: F.linear(
        Tensor(random(2, 3)), Tensor(random(3, 4)), Tensor(random(3))
    ),
    "conv2d: x has 3 channels and weight (3, 3, 2, 4), which do not fit groups=1": lambda: F.conv2d(
        Tensor(IMAGES), Tensor(random(3, 3, 2, 4))
    ),
    "conv2d: x has 3 channels and weight (3, 3, 1, 4), which do not fit groups=3": lambda: F.conv2d(
        Tensor(IMAGES), Tensor(random(3, 3, 1, 4)), groups=3
    ),
    "conv2d: the 9×9 kernel is larger than the images (2, 8, 8, 3)": lambda: F.conv2d(
        Tensor(IMAGES), Tensor(random(9, 9, 3, 4))
    ),
    "conv2d: bias must be (4,), got (3,)": lambda: F.conv2d(Tensor(IMAGES), Tensor(KERNEL), Tensor(random(3))),
    "conv2d: stride must be at least 1, got 0": lambda: F.conv2d(Tensor(IMAGES), Tensor(KERNEL), stride=0),
    "conv2d: padding must not be negative, got -1": lambda: F.conv2d(Tensor(IMAGES), Tensor(KERNEL), padding=-1),
    "conv2d: groups must be at least 1, got 0": lambda: F.conv2d(Tensor(IMAGES), Tensor(KERNEL), groups=0),
    "conv2d: x must be (N, H, W, C), none of them 0; got shape (0, 8": lambda: F.conv2d(
        Tensor(IMAGES[:0]), Tensor(KERNEL)
    ),
    "conv2d: weight must be (KH, KW, C / groups, O), none of them 0; got shape (3, 3)": lambda: F.conv2d(
        Tensor(IMAGES), Tensor(random(3, 3))
    ),
    "max_pool2d: stride must be at least 1, got 0": lambda: F.max_pool2d(Tensor(IMAGES), 2, 0),
    "max_pool2d: padding 2 is more than half": lambda: F.max_pool2d(Tensor(IMAGES), 3, padding=2),
    "max_pool2d: x must be (N, H, W, C)": lambda: F.max_pool2d(Tensor(random(8, 8, 3)), 2),
    "avg_pool2d: the 9×9 kernel is larger": lambda: F.avg_pool2d(Tensor(IMAGES), 9),
    "local_response_norm: size must be odd and positive, got 4": lambda: F.local_response_norm(Tensor(IMAGES), size=4),
    "batch_norm: bias has shape (2,), x (2, 8, 8, 3)": lambda: F.batch_norm(
        Tensor(IMAGES), *map(Tensor, (random(3), random(2))), random(3), random(3)
    ),
    "batch_norm: x of shape (1, 3) has one value a channel": lambda: F.batch_norm(
        Tensor(random(1, 3)), *map(Tensor, (random(3), random(3))), random(3), random(3)
    ),
    "dropout: p must be in [0, 1), got 1.0": lambda: F.dropout(Tensor(random(3)), 1.0),
    "dropout2d: p must be in [0, 1), got -1": lambda: F.dropout2d(Tensor(IMAGES), -1),
    "pad: widths must be a (before, after) pair for each axis of shape (2, 3)": lambda: F.pad(
        Tensor(random(2, 3)), ((1, 1),)
    ),
    "cross_entropy: logits must be (N, K) and labels (N,), got (2, 3) and (3,)": lambda: F.cross_entropy(
        Tensor(random(2, 3)), np.array([0, 1, 2])
    ),
    "cross_entropy: labels must lie in [0, 3), got 0 to 3": lambda: F.cross_entropy(
        Tensor(random(2, 3)), np.array([0, 3])
    ),
    "cross_entropy: label_smoothing must lie in [0, 1), got 1": lambda: F.cross_entropy(
        Tensor(random(2, 3)), np.array([0, 2]), 1
    ),
    "mse: prediction has shape (2, 3), target (3,)": lambda: F.mse(Tensor(random(2, 3)), random(3)),
    "huber: delta must be positive, got 0": lambda: F.huber(Tensor(random(2, 3)), random(2, 3), 0),
    "bce_with_logits: targets must lie in [0, 1]": lambda: F.bce_with_logits(Tensor(random(2)), np.array([0.0, 2.0])),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments_are_named(message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        BAD[message]()


WHOLE = np.array([[1, 0, 4], [2, 7, 3]])
ARRAYS = [np.ones(3, np.float32) for _ in range(4)]
NEEDS_FLOATING = {
    "softmax": F.softmax,
    "log_softmax": F.log_softmax,
    "cross_entropy": lambda x: F.cross_entropy(x, [2, 0]),
    "nll": lambda x: F.nll(x, [2, 0]),
    "mse": lambda x: F.mse(x, WHOLE / 2),
    "l1": lambda x: F.l1(x, WHOLE / 2),
    "huber": lambda x: F.huber(x, WHOLE / 2),
    "bce_with_logits": lambda x: F.bce_with_logits(x, WHOLE / 10),
    "dropout": F.dropout,
    "dropout2d": lambda x: F.dropout2d(x.reshape(1, 2, 3, 1)),
    "max_pool2d": lambda x: F.max_pool2d(x.reshape(1, 2, 3, 1), 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x.reshape(1, 2, 3, 1), 2),
    "local_response_norm": lambda x: F.local_response_norm(x.reshape(1, 2, 1, 3)),
    "batch_norm": lambda x: F.batch_norm(x, *ARRAYS),
    "batch_norm in evaluation": lambda x: F.batch_norm(x, *ARRAYS, training=False),
    "conv2d": lambda x: F.conv2d(x.reshape(1, 2, 1, 3), np.ones((1, 1, 3, 2), np.float32)),
}


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.uint64])
@pytest.mark.parametrize("name", NEEDS_FLOATING)
def test_integers_are_refused_where_they_would_go_wrong(name, dtype):
    with pytest.raises(TypeError, match=r"\w+: \w+ of shape \(.*\) must be floating, got u?(int|bool)"):
        NEEDS_FLOATING[name](Tensor(WHOLE.astype(dtype)))
    assert NEEDS_FLOATING[name](Tensor(WHOLE.astype(np.float32))).dtype == np.float32


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.uint64])
@pytest.mark.parametrize("name", ["sigmoid", "silu", "gelu", "softplus", "tanh", "elu", "mean", "var", "max", "min"])
def test_integers_elsewhere_give_the_true_value(name, dtype):
    x = np.array([0, 1, 6, 100]).astype(dtype)
    expected = getattr(F, name)(Tensor(x.astype(np.float64))).data
    np.testing.assert_allclose(getattr(F, name)(Tensor(x)).data, expected, rtol=1e-3)


def test_the_least_integer_is_a_minimum():
    assert Tensor(np.array([-128, 5], np.int8)).min().item() == -128


@pytest.mark.parametrize("loss", [F.mse, F.l1, F.huber, F.bce_with_logits])
@pytest.mark.parametrize("convert", [list, np.array, Tensor])
def test_targets_may_be_integers(loss, convert):
    x = Tensor(np.array([0.3, -2.0, 0.5], np.float32), requires_grad=True)
    result = loss(x, convert([1, 0, 1]))
    assert result.dtype == np.float32
    assert result.item() == loss(x, np.array([1, 0, 1], np.float32)).item()


def half(values):
    return Tensor(np.asarray(values, np.float16), requires_grad=True)


FLOAT16 = {  # what float16 itself gets wrong: the function, its value, the tensor, the gradient of its first element
    "mean": (lambda x: x.mean(), 3.0, np.full(70_000, 3), 1 / 70_000),
    "sum": (lambda x: x.sum(axis=0)[0], 5000.0, np.ones((5000, 2)), 1.0),
    "sum beyond 65504": (lambda x: x.sum(), 210_000.0, np.full(70_000, 3), 1.0),
    "max of equals": (lambda x: x.max() * 7e4, 0.0, np.zeros(70_000), 1.0),
    "min of equals": (lambda x: x.min() * 7e4, 0.0, np.zeros(70_000), 1.0),
    "var": (lambda x: x.var(), 300.0**2 / 1000 * 0.999, np.r_[300, np.zeros(999)], 2 * 299.7 / 1000),
    "mse": (lambda x: F.mse(x, [0.0, 0.0]), 90_000.0, [300, -300], 300.0),
    "softmax": (lambda x: F.softmax(x)[0], 1 / 70_000, np.zeros(70_000), 1 / 70_000),
    "a small constant": (lambda x: x * 1e-8 * 1e8, 6e4, 6e4, 1.0),
    "a large constant": (lambda x: x * 1e6 / 1e6, 0.5, 0.5, 1.0),
    "batch_norm": (
        lambda x: F.batch_norm(x, half([1, 1]), half([0, 0]), *np.zeros((2, 2), np.float16), False, eps=1e-8)[0, 0],
        0.0, np.zeros((3, 2)), 1e4,
    ),
    "a bias's gradient": (lambda b: F.linear(half(np.ones((5000, 1))), half([[1]]), b).sum(), 5000.0, [0], 5000.0),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOAT16)
def test_float16_is_computed_in_float32(name):
    function, expected, x, gradient = FLOAT16[name]
    x = half(x)
    y = function(x)
    y.backward()
    assert y.item() == pytest.approx(expected, rel=1e-3)
    assert x.grad.ravel()[0] == pytest.approx(gradient, rel=1e-2)
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float16)


@pytest.mark.parametrize("name", UNARY)
def test_float16_in_every_operation(name):
    x = random(3, 4, 2, low=0.5).astype(np.float16)
    ours, twin = (Tensor(x.astype(dtype), requires_grad=True) for dtype in (np.float16, np.float32))
    y, expected = UNARY[name][0](ours), UNARY[name][0](twin)
    np.testing.assert_array_equal(y.data, expected.data)
    for each in (y, expected):
        each.backward(np.ones(y.shape))
    np.testing.assert_array_equal(ours.grad, twin.grad.astype(np.float16))


@pytest.mark.parametrize("reduce", [F.sum, F.mean, F.max, F.min, F.var])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_reductions_of_a_single_number(reduce, axis):
    x = Tensor(np.array(3.0), requires_grad=True)
    reduce(x, axis).backward()
    assert x.grad.shape == ()


def test_empty_batches_and_tensors_as_indices():
    assert F.flatten(Tensor(np.zeros((0, 2, 3)))).shape == (0, 6)
    x = Tensor(np.arange(3.0), requires_grad=True)
    (x[Tensor([2, 0, 2])] * x[Tensor(np.array([True, True, True]))]).sum().backward()
    np.testing.assert_array_equal(x.grad, [2 + 1, 0, 0 + 2 + 2])


def test_wrong_dtypes_are_named():
    with pytest.raises(TypeError, match="cross_entropy: labels must be integers, got float64"):
        F.cross_entropy(Tensor(random(2, 3)), np.array([0.0, 1.0]))
    pixels = Tensor(np.zeros((2, 8, 8, 3), np.uint8))
    for op in (lambda: F.conv2d(pixels, Tensor(KERNEL)), lambda: F.max_pool2d(pixels, 2), lambda: F.dropout2d(pixels)):
        with pytest.raises(TypeError, match=r"x of shape \(2, 8, 8, 3\) must be floating, got uint8"):
            op()
    with pytest.raises(TypeError, match=r"conv2d: weight of shape \(3, 3, 3, 4\) must be floating, got int64"):
        F.conv2d(Tensor(IMAGES), Tensor(KERNEL.astype(int)))
