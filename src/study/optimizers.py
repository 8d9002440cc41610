"""The optimizer and the learning rate of a run, by the same constants in both implementations."""

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
    make = {
        "adadelta": partial(optax.adadelta, rho=config.rho, eps=eps),
        "adagrad": partial(optax.adagrad, initial_accumulator_value=0.0, eps=eps),
        "adam": partial(optax.adamw, b1=config.beta1, b2=config.beta2, eps=eps, weight_decay=decay or 0.0),
        "adasmooth": partial(alexjax.adasmooth, beta1=config.beta1, weight_decay=decay, **smooth),
        "adasmooth_delta": partial(alexjax.adasmooth_delta, **smooth),
        "rmsprop": partial(optax.rmsprop, decay=config.rho, eps=eps, eps_in_sqrt=True),
        "sgd": partial(optax.sgd, momentum=config.beta1),
    }[config.optimizer]
    steps = make(schedule(config, steps_per_epoch))
    return on_a_coins_path(steps, config.seed) if config.variant == "ratio_coin" else steps


def on_a_coins_path(adasmooth, seed):
    """AdaSmooth with the effective ratio of a path whose steps are as long, but go forth or back as a coin says.

    No direction is left in such a ratio: if training does as well with it, it is not the direction that helps.
    """

    def update(gradients, state, params=None):
        updates, (state, *others) = adasmooth.update(gradients, state, params)
        keys = optax.tree.split_key_like(jax.random.fold_in(jax.random.key(seed), state.count), gradients)

        def turned(s, d, key):  # the last step, which lies in s with the other sign, goes where the coin says
            return s + d + jnp.abs(d) * jax.random.rademacher(key, d.shape, d.dtype)

        displacement = jax.tree.map(turned, state.displacement, updates, keys)
        return updates, (state._replace(displacement=displacement), *others)

    return optax.GradientTransformation(adasmooth.init, update)
