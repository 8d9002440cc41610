"""The two networks of AdaSmooth's experiments on MNIST (Lu 2022, section 4), as in `nunes.models`.

    MLP: F128, dropout, F10        CNN: C(5×5, 10), pool, C(5×5, 20), pool, dropout, F50, dropout, F10

ReLU after each pool and hidden layer, 2×2 max pools. Parameters come from `alexnet.from_state_dict`.
"""

import jax
import jax.numpy as jnp
from jax import lax

from alexjax.alexnet import conv, drop_units


def apply(params, images, dropout=0.5, key=None):
    """Either network, told by its layers. (N, 28, 28, 1) -> (N, 10); dropout acts only if there is a `key`."""
    keys = iter((None, None) if key is None else jax.random.split(key))
    *hidden, last = [name for name in params if name.startswith("fc")]
    x = images.astype(params[last]["bias"].dtype)
    if "conv1" in params:
        for name in ("conv1", "conv2"):
            x = conv(params[name], x)
            x = jax.nn.relu(lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"))
        x = drop_units(x, dropout, next(keys))
    x = x.reshape(len(x), -1)
    for name in hidden:
        x = jax.nn.relu(x @ params[name]["weight"] + params[name]["bias"])
        x = drop_units(x, dropout, next(keys))
    return x @ params[last]["weight"] + params[last]["bias"]
