"""AlexNet in JAX and in NumPy are one network: same weights, same logits, same gradients, same losses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nunes.autograd.functional as F
from alexjax import adasmooth, alexnet
from alexjax.training import train_step
from nunes import Tensor, models, optimizers

SHAPE = {"num_classes": 10, "image_size": 67, "width": 0.125}


def batch(dtype, count=4, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.standard_normal((count, 67, 67, 3)).astype(dtype)
    return images, generator.integers(0, 10, count)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("norm", "smoothing"), [(True, 0.0), (False, 0.1)])
def test_logits_and_all_gradients_agree(groups, norm, smoothing, x64):
    model = models.AlexNet(**SHAPE, groups=groups, local_response_norm=norm).astype(np.float64).eval()
    params = alexnet.from_state_dict(model.state_dict())
    images, labels = batch(np.float64)

    def loss_of(params):
        logits = alexnet.apply(params, images, groups=groups, local_response_norm=norm)
        return alexnet.cross_entropy(logits, labels, smoothing), logits

    (loss, expected), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
    logits = model(Tensor(images))
    np.testing.assert_allclose(logits.data, expected, rtol=1e-9, atol=1e-9)
    ours = F.cross_entropy(logits, labels, smoothing)
    ours.backward()
    np.testing.assert_allclose(ours.item(), loss, rtol=1e-10)
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == 16
    for name, parameter in model.named_parameters():
        layer, kind = name.split(".")
        np.testing.assert_allclose(parameter.grad, gradients[layer][kind], rtol=1e-9, atol=1e-9, err_msg=name)


# In float32 one ReLU or maximum on the edge, decided differently, is soon as large as the learning rate makes it:
# AdaSmooth turns it into steps of up to 100 learning rates. Hence the smaller rate there, where both must agree.
@pytest.mark.parametrize(("dtype", "rate", "tolerance"), [("float64", 1e-3, 1e-8), ("float32", 3e-5, 1e-3)])
@pytest.mark.parametrize("optimizer", ["adasmooth", "adam"])
def test_twenty_steps_of_training_agree(optimizer, dtype, rate, tolerance, x64):
    model = models.AlexNet(**SHAPE, dropout=0.0).astype(dtype)
    params = alexnet.from_state_dict(model.state_dict())
    if optimizer == "adasmooth":
        ours, theirs = optimizers.AdaSmooth(model.parameters(), rate, window=7), adasmooth(rate, window=7)
    else:
        ours, theirs = optimizers.Adam(model.parameters(), rate), optax.adam(rate)
    state, step = theirs.init(params), train_step(theirs)
    losses = []
    for index in range(20):
        images, labels = batch(dtype, 16, seed=index % 3)
        loss = F.cross_entropy(model(Tensor(images)), labels)
        ours.zero_grad()
        loss.backward()
        ours.step()
        params, state, expected = step(params, state, images, labels, None)
        np.testing.assert_allclose(loss.item(), expected, rtol=tolerance, err_msg=f"step {index}")
        losses.append(loss.item())
    assert losses[19] < losses[1]  # the same batch: they have learned something


def plain_lrn(x, size, alpha, beta, k):
    """By its definition, a band matrix of channels that count."""
    i = jnp.arange(x.shape[3])
    return x / (k + alpha * jnp.square(x) @ (jnp.abs(i[:, None] - i) <= size // 2).astype(x.dtype)) ** beta


def plain_max_pool(x):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")


def assert_same_with_vjp(ours, theirs, *inputs, seed=0, tolerance=1e-12):
    """Two functions have the same values and, for a random cotangent, the same vector-Jacobian products."""
    (y, vjp), (expected, expected_vjp) = jax.vjp(ours, *inputs), jax.vjp(theirs, *inputs)
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
    for dx, expected_dx in zip(vjp(dy), expected_vjp(dy), strict=True):
        np.testing.assert_allclose(dx, expected_dx, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("beta", [0.75, 0.5])
@pytest.mark.parametrize("channels", [1, 2, 4, 5, 9, 48])
def test_lrn_is_its_definition(channels, beta, generator, x64):
    x = generator.standard_normal((2, 3, 4, channels)) * 30
    constants = (5, 0.01, beta, 2.0)
    assert_same_with_vjp(lambda x: alexnet.lrn(x, *constants), lambda x: plain_lrn(x, *constants), x)


def test_lrn_computes_in_float32_for_halves():
    x = jnp.full((1, 1, 1, 8), 300, jnp.float16)
    (dx,), (expected,) = (jax.vjp(alexnet.lrn, each)[1](each) for each in (x, x.astype(jnp.float32)))
    assert dx.dtype == jnp.float16
    np.testing.assert_allclose(dx, expected, rtol=1e-3)
    with pytest.raises(ValueError, match="size must be odd, got 4"):
        alexnet.lrn(x, 4)


@pytest.mark.parametrize(("height", "width"), [(3, 3), (4, 6), (5, 9), (7, 4), (8, 8), (10, 5)])
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_is_xlas(height, width, ties, generator, x64):
    x = generator.standard_normal((2, height, width, 5))
    x = np.maximum(np.round(x), 0) if ties else x  # as after a ReLU: the first maximum takes all
    assert_same_with_vjp(alexnet.max_pool, plain_max_pool, x)


@pytest.mark.parametrize("geometry", [(11, 4, 0, 1), (5, 1, 2, 2), (3, 1, 1, 1), (3, 2, 1, 2), (3, 3, 0, 4)])
def test_the_convolution_on_cpu_is_the_librarys(geometry, generator, x64):
    size, stride, padding, groups = geometry
    x, w = generator.standard_normal((2, 19, 23, 8)), generator.standard_normal((size, size, 8 // groups, 12))
    options = {"stride": stride, "padding": padding, "groups": groups}
    assert_same_with_vjp(
        lambda x, w: alexnet.conv({"weight": w, "bias": 0}, x, **options),
        lambda x, w: alexnet._conv(x, w, **options),
        x,
        w,
        tolerance=1e-10,
    )


def test_shapes_and_counts():
    shapes = jax.eval_shape(lambda key: alexnet.init(key, 1000), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 60_965_224
    model = models.AlexNet(**SHAPE)
    ours = {name: array.shape for name, array in model.state_dict().items()}
    theirs = alexnet.init(jax.random.key(0), **SHAPE)
    assert ours == {f"{layer}.{kind}": array.shape for layer, kinds in theirs.items() for kind, array in kinds.items()}


def test_init_is_he_normal_and_repeatable():
    params = alexnet.init(jax.random.key(3), 10, 67, 0.5)
    again = alexnet.init(jax.random.key(3), 10, 67, 0.5)
    weight = params["fc7"]["weight"]
    np.testing.assert_array_equal(weight, again["fc7"]["weight"])
    assert abs(float(weight.std()) / np.sqrt(2 / weight.shape[0]) - 1) < 0.01
    assert not any(params[layer]["bias"].any() for layer in params)


def test_dropout_needs_a_key():
    params = alexnet.init(jax.random.key(0), **SHAPE)
    images, _ = batch(np.float32, 2)
    plain = alexnet.apply(params, images, dropout=0.5)
    np.testing.assert_array_equal(plain, alexnet.apply(params, images))
    dropped = alexnet.apply(params, images, dropout=0.5, key=jax.random.key(1))
    assert not np.allclose(plain, dropped)


def test_an_image_size_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"one of 67, 99, 131.*got 224"):
        alexnet.init(jax.random.key(0), 10, image_size=224)
    params = alexnet.init(jax.random.key(0), **SHAPE)
    for size in (75, 99):
        with pytest.raises(ValueError, match=rf"images of shape \(1, {size}, {size}, 3\) are not what"):
            alexnet.apply(params, jnp.zeros((1, size, size, 3)))
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\), got 1\.0"):
        alexnet.apply(params, jnp.zeros((1, 67, 67, 3)), dropout=1.0)
