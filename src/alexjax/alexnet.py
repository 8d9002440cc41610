"""AlexNet (Krizhevsky, Sutskever, Hinton 2012) in plain JAX: parameters are a pytree, the network a pure function.

    params = init(key, num_classes)          {"conv1": {"weight", "bias"}, ..., "fc8": {"weight", "bias"}}
    logits = apply(params, images)           (N, S, S, 3) -> (N, num_classes)
    loss   = cross_entropy(logits, labels)   ()

Images are NHWC, convolution weights HWIO, fully-connected weights (in, out).
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import lax


def init(key, num_classes, image_size=227, width=1.0, groups=2, dtype=jnp.float32):
    """Initial parameters: He normal weights (He et al. 2015), zero biases.

    Args:
        key: a JAX random key.
        num_classes: how many logits.
        image_size: height and width in pixels, 67 + 32·i (227 in the paper).
        width: scales the channels and the units of fc6 and fc7.
        groups: of conv2, conv4 and conv5: 2 as in the paper, 1 for the single-tower form.
        dtype: of the parameters.

    Raises:
        ValueError: an image size that the strides do not fit, or another argument out of range.
    """
    if num_classes < 1 or width <= 0 or groups < 1:
        raise ValueError(f"alexnet.init: {num_classes=}, {width=} and {groups=} must be positive")
    if image_size < 67 or (image_size - 67) % 32:
        raise ValueError(f"alexnet.init: image_size must be one of 67, 99, 131, 163, 195, 227, ...; got {image_size}")
    c1, c2, c3, c4, c5, hidden = (groups * max(1, round(n * width / groups)) for n in (96, 256, 384, 384, 256, 4096))
    last = (image_size - 35) // 32  # height and width after the last pool
    shapes = {
        "conv1": (11, 11, 3, c1),
        "conv2": (5, 5, c1 // groups, c2),
        "conv3": (3, 3, c2, c3),
        "conv4": (3, 3, c3 // groups, c4),
        "conv5": (3, 3, c4 // groups, c5),
        "fc6": (last * last * c5, hidden),
        "fc7": (hidden, hidden),
        "fc8": (hidden, num_classes),
    }

    def layer(key, shape):
        fan_in = math.prod(shape[:-1])
        weight = math.sqrt(2 / fan_in) * jax.random.normal(key, shape, dtype)
        return {"weight": weight, "bias": jnp.zeros(shape[-1], dtype)}

    keys = jax.random.split(key, len(shapes))
    return {name: layer(key, shape) for (name, shape), key in zip(shapes.items(), keys, strict=True)}


def from_state_dict(state):
    """Parameters from {"conv1.weight": array, ...}, the form that `nunes.models.AlexNet` gives and takes."""
    params = {}
    for name, array in state.items():
        layer, kind = name.split(".")
        params.setdefault(layer, {})[kind] = jnp.asarray(array)
    return params


def conv(layer, x, stride=1, padding=0, groups=1):
    """Convolution and bias. (N, H, W, C) -> (N, OH, OW, O)"""
    kernel = dict(stride=stride, padding=padding, groups=groups)
    y = lax.platform_dependent(x, layer["weight"], cpu=partial(_conv_cpu, **kernel), default=partial(_conv, **kernel))
    return y + layer["bias"]


def _conv(x, weight, stride, padding, groups):
    return lax.conv_general_dilated(
        x,
        weight,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _conv_cpu(x, weight, stride, padding, groups):
    """The same around two weak places of XLA's CPU backend: grouped convolutions (four times slower than one
    convolution a group) and strided ones (twice to four times slower than im2col and a matrix product)."""
    if groups > 1:
        pairs = zip(jnp.split(x, groups, axis=3), jnp.split(weight, groups, axis=3), strict=True)
        return jnp.concatenate([_conv_cpu(x, w, stride, padding, 1) for x, w in pairs], axis=3)
    if stride == 1:
        return _conv(x, weight, stride, padding, groups)
    size = weight.shape[0]
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    taps = [stride * jnp.arange((n - size) // stride + 1)[:, None] + jnp.arange(size) for n in x.shape[1:3]]
    columns = x[:, taps[0][:, None, :, None], taps[1][None, :, None, :]]  # (N, OH, OW, size, size, C)
    return jnp.tensordot(columns, weight, 3)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def lrn(x, size=5, alpha=1e-4, beta=0.75, k=2.0):
    """Local response normalisation (section 3.3). (N, H, W, C) -> same

    y_c = x_c / d_c^beta, d_c = k + alpha · Σ x_c'² over the `size` channels c' around c. As in the paper, alpha
    multiplies the sum; PyTorch divides it by `size` first. Computed in float32 at least: in bfloat16 the numbers next
    to 2 are 1/64 away.

    Backward: x_c is in y_c and in the d of its neighbours, which are those that it has as neighbours, so
    dx_c = dy_c / d_c^beta − 2 alpha beta · x_c · Σ dy_c' x_c' / d_c'^(beta + 1). XLA would derive the same, in many
    more passes over memory.
    """
    return _lrn_forward(x, size, alpha, beta, k)[0]


def _lrn_forward(x, size, alpha, beta, k):
    _, power = _lrn_power(x, size, alpha, beta, k)
    return (x * power).astype(x.dtype), x


def _lrn_backward(size, alpha, beta, k, x, dy):
    d, power = _lrn_power(x, size, alpha, beta, k)
    dtype, x, dy = x.dtype, x.astype(d.dtype), dy.astype(d.dtype)
    dx = dy * power - 2 * alpha * beta * x * _around(dy * x * power / d, size)
    return (dx.astype(dtype),)


lrn.defvjp(_lrn_forward, _lrn_backward)


def _lrn_power(x, size, alpha, beta, k):
    """d and d^-beta, the latter by roots where it can."""
    if size % 2 == 0:
        raise ValueError(f"alexnet.lrn: size must be odd, got {size}")
    d = k + alpha * _around(jnp.square(x.astype(jnp.promote_types(x.dtype, jnp.float32))), size)
    return d, lax.rsqrt(d) * lax.rsqrt(jnp.sqrt(d)) if beta == 0.75 else d**-beta


def _around(x, size):
    """The sum over the `size` channels around each."""
    half, channels = size // 2, x.shape[3]
    x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (half, half)))
    return sum(x[..., shift : shift + channels] for shift in range(2 * half + 1))


@jax.custom_vjp
def max_pool(x):
    """The maximum of each 3×3 window, 2 apart. (N, H, W, C) -> (N, (H − 1) // 2, (W − 1) // 2, C)

    Backward: the gradient goes to the first maximum of the window. A pixel lies in up to four windows and looks into
    each of them whether it won: a gather, where XLA would derive a scatter.
    """
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")


def _max_pool_forward(x):
    y = max_pool(x)
    height, width = 2 * y.shape[1] - 1, 2 * y.shape[2] - 1
    winner = jnp.full(y.shape, 8, jnp.int8)  # which of the nine: 3 · row + column
    for tap in reversed(range(9)):
        row, column = divmod(tap, 3)
        candidate = x[:, row : row + height : 2, column : column + width : 2]
        winner = jnp.where(candidate == y, jnp.int8(tap), winner)
    return y, (winner, jnp.empty((0, *x.shape[1:3]), jnp.int8))


def _max_pool_backward(residuals, dy):
    winner, (height, width) = residuals[0], residuals[1].shape[1:]

    def window(z, rows, columns, fill):
        """Of each pixel's windows, the one that begins in its own pair of rows (1), or in the pair above (0)."""
        z = jnp.pad(z, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=fill)
        z = jnp.repeat(jnp.repeat(z, 2, axis=1), 2, axis=2)
        return z[:, 2 * rows : 2 * rows + height, 2 * columns : 2 * columns + width]

    dx = 0
    for rows in (0, 1):
        for columns in (0, 1):
            row = jnp.arange(height)[:, None, None] % 2 + 2 * (1 - rows)  # the pixel's place in that window
            column = jnp.arange(width)[:, None] % 2 + 2 * (1 - columns)
            inside = (row < 3) & (column < 3)
            won = inside & (window(winner, rows, columns, -1) == 3 * row + column)
            dx += jnp.where(won, window(dy, rows, columns, 0), 0)
    return (dx,)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def drop_units(x, rate, key):
    """Drop elements with probability `rate` and scale up the others; without a key, the identity."""
    if key is None or rate == 0:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def apply(params, images, groups=2, local_response_norm=True, dropout=0.0, key=None, compute_dtype=None):
    """The network. (N, S, S, 3) -> (N, num_classes)

    Args:
        params: as from `init`.
        images: floats, NHWC.
        groups: as given to `init`.
        local_response_norm: whether to normalise after conv1 and conv2.
        dropout: the probability of dropping a unit after fc6 and fc7; it acts only if there is a `key`.
        key: a JAX random key while training, None in evaluation.
        compute_dtype: what to compute in, e.g. jnp.bfloat16; by default as the parameters are. Parameters, their
            gradients and the logits keep the parameters' dtype all the same.

    Raises:
        ValueError: the images are not of the size that the parameters are for, or dropout is not in [0, 1).
    """
    last = (images.shape[1] - 35) // 32
    if (
        images.shape[1:] != (images.shape[2], images.shape[2], 3)
        or images.shape[1] % 32 != 3
        or (last * last * params["conv5"]["bias"].size != params["fc6"]["weight"].shape[0])
    ):
        raise ValueError(f"alexnet.apply: images of shape {images.shape} are not what these parameters are for")
    if not 0 <= dropout < 1:
        raise ValueError(f"alexnet.apply: dropout must lie in [0, 1), got {dropout}")
    dtype = params["fc8"]["bias"].dtype
    params, images = jax.tree.map(lambda array: jnp.asarray(array, compute_dtype or dtype), (params, images))
    norm = lrn if local_response_norm else lambda x: x
    keys = (None, None) if key is None else jax.random.split(key)

    x = jax.nn.relu(conv(params["conv1"], images, stride=4))
    x = max_pool(norm(x))
    x = jax.nn.relu(conv(params["conv2"], x, padding=2, groups=groups))
    x = max_pool(norm(x))
    x = jax.nn.relu(conv(params["conv3"], x, padding=1))
    x = jax.nn.relu(conv(params["conv4"], x, padding=1, groups=groups))
    x = jax.nn.relu(conv(params["conv5"], x, padding=1, groups=groups))
    x = max_pool(x)
    x = x.reshape(len(x), -1)
    for name, layer_key in zip(("fc6", "fc7"), keys, strict=True):
        x = jax.nn.relu(x @ params[name]["weight"] + params[name]["bias"])
        x = drop_units(x, dropout, layer_key)
    return (x @ params["fc8"]["weight"] + params["fc8"]["bias"]).astype(dtype)


def cross_entropy(logits, labels, label_smoothing=0.0):
    """The mean cross-entropy in nats. (N, K), (N,) integers in [0, K), which is not checked -> ()

    `label_smoothing` is the part of the target's probability that is spread over all classes (Szegedy et al. 2016).
    """
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    if label_smoothing:
        loss = (1 - label_smoothing) * loss - label_smoothing * jax.nn.log_softmax(logits).mean(axis=1)
    return loss.mean()
