"""AdaSmooth with one part changed, to see what that part does. JAX, float32; the names are RunConfig's `variant`.

    ratio_0, ratio_1   the ratio is 0 (or 1) everywhere after the first step: RMSProp with c² = (1 − ρ2)² or (1 − ρ1)²
    ratio_layer        every coordinate that has moved has the mean ratio of those of its array: when, not which
    ratio_coin         the ratio of a path of the same step sizes with the signs of a coin: no direction is left in it
    unsquared          c where the paper has c²
    eps_outside        g / (√v + ε)

The first step's ratio is 1 in all of them. What is not changed is Algorithm 1 of the paper (arXiv 2204.00825).
"""

import jax
import jax.numpy as jnp
import optax

from alexjax.adasmooth import ScaleByAdasmoothState, scale_by_adasmooth


def altered_adasmooth(variant, schedule, rho1, rho2, eps, window, seed):
    """The variant as an optax transformation, the learning rate included (`schedule`: step -> learning rate)."""

    def coefficient(s, n):
        ratio = jnp.where(n > 0, jnp.abs(s) / jnp.where(n > 0, n, 1), 1)
        if variant in ("ratio_0", "ratio_1"):
            ratio = jnp.where(n > 0, float(variant[-1]), 1)
        elif variant == "ratio_layer":
            mean = jnp.where(n > 0, ratio, 0).sum() / jnp.maximum((n > 0).sum(), 1)
            ratio = jnp.where(n > 0, mean, 1)
        c = (rho2 - rho1) * ratio + (1 - rho2)
        return c if variant == "unsquared" else jnp.square(c)

    def update(gradients, state, params=None):
        del params
        rate, count = schedule(state.count), state.count + 1
        keep = 1 if window is None else jnp.where(count % window == 0, 0, 1)
        keys = optax.tree.split_key_like(jax.random.fold_in(jax.random.key(seed), count), gradients)

        def step(g, v):
            return -rate * g / (jnp.sqrt(v) + eps if variant == "eps_outside" else jnp.sqrt(v + eps))

        def travelled(s, d, key):
            if variant == "ratio_coin":
                d = jnp.abs(d) * jax.random.rademacher(key, d.shape, d.dtype)
            return keep * s + d

        c = jax.tree.map(coefficient, state.displacement, state.distance)
        nu = jax.tree.map(lambda c, g, v: c * jnp.square(g) + (1 - c) * v, c, gradients, state.nu)
        updates = jax.tree.map(step, gradients, nu)
        displacement = jax.tree.map(travelled, state.displacement, updates, keys)
        distance = jax.tree.map(lambda n, d: keep * n + jnp.abs(d), state.distance, updates)
        return updates, ScaleByAdasmoothState(count, displacement, distance, nu)

    return optax.GradientTransformation(scale_by_adasmooth().init, update)
