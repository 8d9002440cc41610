"""Every operation against its twin in JAX, in float64: the value, and the vector-Jacobian product."""

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

TOLERANCE = 1e-9


def check(ours, theirs, *arrays, tolerance=TOLERANCE):
    """Compare value and gradients with JAX's, for a random gradient of the output; inputs must stay untouched."""
    copies = [array.copy() for array in arrays]
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    output = ours(*tensors)
    with jax.enable_x64(True):
        expected, vjp = jax.vjp(theirs, *map(jnp.asarray, arrays))
        assert output.shape == expected.shape
        np.testing.assert_allclose(output.data, expected, rtol=tolerance, atol=tolerance)
        gradient = np.random.default_rng(1).standard_normal(output.shape)
        output.backward(gradient)
        for tensor, expected in zip(tensors, vjp(jnp.asarray(gradient)), strict=True):
            assert tensor.grad.shape == tensor.shape
            scale = max(1.0, float(np.abs(expected).max(initial=0)))
            np.testing.assert_allclose(tensor.grad, expected, rtol=tolerance, atol=tolerance * scale)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def random(*shape, seed=0, low=None):
    values = np.random.default_rng(seed).standard_normal(shape)
    return values if low is None else low + np.abs(values)


UNARY = {
    "negative": (F.negative, jnp.negative, None),
    "exp": (F.exp, jnp.exp, None),
    "log": (F.log, jnp.log, 0.1),
    "sqrt": (F.sqrt, jnp.sqrt, 0.1),
    "absolute": (F.absolute, jnp.abs, None),
    "power": (lambda x: F.power(x, 3), lambda x: x**3, None),
    "square root as power": (lambda x: x**0.5, lambda x: x**0.5, 0.1),
    "clip": (lambda x: F.clip(x, -0.5, 0.7), lambda x: jnp.clip(x, -0.5, 0.7), None),
    "relu": (F.relu, jax.nn.relu, None),
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
    "reshape": (lambda x: x.reshape(4, -1), lambda x: x.reshape(4, -1), None),
    "transpose": (lambda x: x.T, lambda x: x.T, None),
    "transpose with axes": (lambda x: x.transpose(1, 2, 0), lambda x: x.transpose(1, 2, 0), None),
    "slice": (lambda x: x[1:, ::2], lambda x: x[1:, ::2], None),
    "index array": (lambda x: x[np.array([0, 2, 0])], lambda x: x[np.array([0, 2, 0])], None),
    "mask": (lambda x: x[np.eye(3, 4, dtype=bool)], lambda x: x[np.eye(3, 4, dtype=bool)], None),
}


@pytest.mark.parametrize("name", UNARY)
def test_of_one_argument(name):
    ours, theirs, low = UNARY[name]
    check(ours, theirs, random(3, 4, 2, low=low))
    check(ours, theirs, random(2, 4, 3, low=low).transpose(2, 1, 0))  # not contiguous


BINARY = {
    "add": (lambda x, y: x + y, jnp.add),
    "subtract": (lambda x, y: x - y, jnp.subtract),
    "multiply": (lambda x, y: x * y, jnp.multiply),
    "divide": (lambda x, y: x / y, jnp.divide),
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


def jax_conv(x, w, b, stride, padding, dilation, groups):
    y = lax.conv_general_dilated(
        x, w, (stride, stride), [(padding, padding)] * 2, rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
    )  # fmt: skip
    return y + b


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 5),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 3),
    contiguous=st.booleans(),
)
def test_conv2d(images, size, kernel, channels, stride, padding, dilation, groups, contiguous):
    reach = [dilation * (k - 1) + 1 for k in kernel]
    size = [max(n, r - 2 * padding) for n, r in zip(size, reach, strict=True)]
    x = random(images, *size, channels[0] * groups)
    if not contiguous:
        x = np.asfortranarray(x)
    w, b = random(*kernel, channels[0], channels[1] * groups), random(channels[1] * groups)
    options = (stride, padding, dilation, groups)
    check(lambda x, w, b: F.conv2d(x, w, b, *options), lambda x, w, b: jax_conv(x, w, b, *options), x, w, b)


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
)
def test_max_pool2d(images, size, channels, kernel, stride, padding, ties):
    padding = min(padding, kernel // 2)
    size = [max(n, kernel - 2 * padding) for n in size]
    x = random(images, *size, channels)
    if ties:  # of equal values the first one gets the gradient, as in JAX
        x = np.round(x)
    check(lambda x: F.max_pool2d(x, kernel, stride, padding), lambda x: jax_max_pool(x, kernel, stride, padding), x)


@pytest.mark.parametrize("channels", [1, 2, 5, 16])
@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_local_response_norm(channels, beta):
    def theirs(x):
        squares = jnp.pad(x**2, ((0, 0), (0, 0), (0, 0), (2, 2)))
        window = sum(squares[..., i : i + channels] for i in range(5))
        return x / (2 + 0.1 * window) ** beta

    check(lambda x: F.local_response_norm(x, alpha=0.1, beta=beta), theirs, random(3, 4, 2, channels))


def test_dropout():
    x = Tensor(np.ones((200, 300), np.float32), requires_grad=True)
    y = F.dropout(x, 0.3, generator=np.random.default_rng(0))
    y.sum().backward()
    kept = y.data != 0
    assert abs(kept.mean() - 0.7) < 0.01
    np.testing.assert_allclose(y.data[kept], 1 / 0.7, rtol=1e-6)
    np.testing.assert_array_equal(x.grad, y.data)
    assert F.dropout(x, 0.3, training=False) is x


@pytest.mark.parametrize("name", UNARY)
def test_float32_stays_float32(name):
    x = Tensor(random(3, 4, 2, low=0.5).astype(np.float32), requires_grad=True)
    y = UNARY[name][0](x)
    y.backward(np.ones(y.shape))
    assert y.dtype == x.grad.dtype == np.float32


BAD = {
    "matmul": lambda: F.matmul(Tensor(random(2, 3)), Tensor(random(2, 3))),
    "linear": lambda: F.linear(Tensor(random(2, 3)), Tensor(random(2, 3))),
    "conv2d": lambda: F.conv2d(Tensor(random(2, 8, 8, 3)), Tensor(random(3, 3, 2, 4))),
    "conv2d: the 9×9 kernel": lambda: F.conv2d(Tensor(random(2, 8, 8, 3)), Tensor(random(9, 9, 3, 4))),
    "conv2d: bias": lambda: F.conv2d(Tensor(random(2, 8, 8, 3)), Tensor(random(3, 3, 3, 4)), Tensor(random(3))),
    "conv2d: stride must be at least 1, got 0": lambda: F.conv2d(
        Tensor(random(2, 8, 8, 3)), Tensor(random(3, 3, 3, 4)), stride=0
    ),
    "conv2d: x must be": lambda: F.conv2d(Tensor(random(0, 8, 8, 3)), Tensor(random(3, 3, 3, 4))),
    "max_pool2d: stride must be at least 1, got 0": lambda: F.max_pool2d(Tensor(random(1, 8, 8, 3)), 2, 0),
    "max_pool2d: padding 2 is more than half": lambda: F.max_pool2d(Tensor(random(1, 8, 8, 3)), 3, padding=2),
    "max_pool2d": lambda: F.max_pool2d(Tensor(random(8, 8, 3)), 2),
    "local_response_norm": lambda: F.local_response_norm(Tensor(random(1, 8, 8, 3)), size=4),
    "dropout": lambda: F.dropout(Tensor(random(3)), 1.0),
    "cross_entropy: logits": lambda: F.cross_entropy(Tensor(random(2, 3)), np.array([0, 1, 2])),
    "cross_entropy: labels must lie": lambda: F.cross_entropy(Tensor(random(2, 3)), np.array([0, 3])),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments_are_named(message):
    with pytest.raises(ValueError, match=f"^{message}"):
        BAD[message]()


def test_labels_must_be_integers():
    with pytest.raises(TypeError, match="labels must be integers"):
        F.cross_entropy(Tensor(random(2, 3)), np.array([0.0, 1.0]))
