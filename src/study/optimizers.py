"""The optimizer and the learning rate of a run, by the same constants in both implementations; and AdaSmooth with one
part changed, to see what that part does (JAX, float32; the names are RunConfig's `variant`):

    first_ratio_0      the ratio is 0, not 1, where nothing has moved: a first step of up to 100 η
    ratio_0, ratio_1   the ratio is 0 (or 1) everywhere after the first step: RMSProp with c² = (1 − ρ2)² or (1 − ρ1)²
    ratio_layer        every coordinate that has moved has the mean ratio of those of its array: when, not which
    ratio_coin         the ratio of a path of the same step sizes with the signs of a coin: no direction is left in it
    unsquared          c where the paper has c²
    eps_outside        g / (√v + ε)
    momentum           the steps averaged, as Adam averages gradients (`beta1` averages the gradients themselves)
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

import alexjax
import nunes.optimizers as in_numpy


def schedule(config, steps_per_epoch):
    """The learning rate as a function of the step: constant, or falling to 0 on half a cosine."""
    if config.schedule == "constant":
        return optax.constant_schedule(config.learning_rate)
    return optax.cosine_decay_schedule(config.learning_rate, config.epochs * steps_per_epoch)


def adasmooth_constants(config, steps_per_epoch):
    """The arguments of AdaSmooth, by the names that both implementations give them."""
    window = {"epoch": steps_per_epoch, "training": None}
    window = window[config.window] if config.window in window else int(config.window)
    return {"rho1": config.rho1, "rho2": config.rho2, "eps": config.eps, "window": window}


def in_nunes(config, parameters, steps_per_epoch):
    """The optimizer of a run for these parameters (`nunes.optimizers`)."""
    smooth, eps = adasmooth_constants(config, steps_per_epoch), {"eps": config.eps}
    make = {
        "adadelta": partial(in_numpy.AdaDelta, rho=config.rho, **eps),
        "adagrad": partial(in_numpy.AdaGrad, **eps),
        "adam": partial(in_numpy.Adam, beta1=config.beta1, beta2=config.beta2, **eps),
        "adasmooth": partial(in_numpy.AdaSmooth, beta1=config.beta1, **smooth),
        "adasmooth_delta": partial(in_numpy.AdaSmoothDelta, **smooth),
        "rmsprop": partial(in_numpy.RMSProp, decay=config.rho, **eps),
        "sgd": partial(in_numpy.SGD, momentum=config.beta1),
    }[config.optimizer]
    return make(parameters, schedule(config, steps_per_epoch))


def in_optax(config, steps_per_epoch):
    """The same as an optax transformation, and AdaSmooth's variants."""
    smooth, eps, decay = adasmooth_constants(config, steps_per_epoch), config.eps, config.weight_decay or None
    adasmooth = partial(alexjax.adasmooth, beta1=config.beta1, weight_decay=decay, **smooth)
    if config.variant == "first_ratio_0":
        adasmooth = partial(adasmooth, initial_ratio=0.0)
    elif config.variant not in ("paper", "momentum"):
        adasmooth = partial(altered_adasmooth, config.variant, seed=config.seed, **smooth)
    make = {
        "adadelta": partial(optax.adadelta, rho=config.rho, eps=eps),
        "adagrad": partial(optax.adagrad, initial_accumulator_value=0.0, eps=eps),
        "adam": partial(optax.adamw, b1=config.beta1, b2=config.beta2, eps=eps, weight_decay=decay or 0.0),
        "adasmooth": adasmooth,
        "adasmooth_delta": partial(alexjax.adasmooth_delta, **smooth),
        "rmsprop": partial(optax.rmsprop, decay=config.rho, eps=eps, eps_in_sqrt=True),
        "sgd": partial(optax.sgd, momentum=config.beta1),
    }[config.optimizer]
    steps = make(schedule(config, steps_per_epoch))
    return optax.chain(steps, optax.ema(0.9)) if config.variant == "momentum" else steps  # debiased, as Adam's


def altered_adasmooth(variant, rate, rho1, rho2, eps, window, seed):
    """The variant as an optax transformation, the learning rate included (`rate`: step -> learning rate).

    The first step's ratio is 1. What is not changed is Algorithm 1 of the paper (arXiv 2204.00825).
    """

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
        eta, count = rate(state.count), state.count + 1
        keep = 1 if window is None else jnp.where(count % window == 0, 0, 1)
        keys = optax.tree.split_key_like(jax.random.fold_in(jax.random.key(seed), count), gradients)

        def step(g, v):
            return -eta * g / (jnp.sqrt(v) + eps if variant == "eps_outside" else jnp.sqrt(v + eps))

        def travelled(s, d, key):
            if variant == "ratio_coin":
                d = jnp.abs(d) * jax.random.rademacher(key, d.shape, d.dtype)
            return keep * s + d

        c = jax.tree.map(coefficient, state.displacement, state.distance)
        nu = jax.tree.map(lambda c, g, v: c * jnp.square(g) + (1 - c) * v, c, gradients, state.nu)
        updates = jax.tree.map(step, gradients, nu)
        displacement = jax.tree.map(travelled, state.displacement, updates, keys)
        distance = jax.tree.map(lambda n, d: keep * n + jnp.abs(d), state.distance, updates)
        return updates, state._replace(count=count, displacement=displacement, distance=distance, nu=nu)

    return optax.GradientTransformation(alexjax.scale_by_adasmooth().init, update)
