"""The optimizer and the learning rate of a run, by the same constants in both implementations."""

from functools import partial

import optax

import alexjax
import nunes.optimizers
from study.ablations import altered_adasmooth
from study.config import epsilon


def schedule(config, steps_per_epoch):
    """The learning rate as a function of the step: constant, or falling to 0 on half a cosine."""
    if config.schedule == "constant":
        return optax.constant_schedule(config.learning_rate)
    return optax.cosine_decay_schedule(config.learning_rate, config.epochs * steps_per_epoch)


def adasmooth_constants(config, steps_per_epoch):
    """The arguments of AdaSmooth, by the names that both implementations give them."""
    window = {"epoch": steps_per_epoch, "training": None}
    window = window[config.window] if config.window in window else int(config.window)
    return {"rho1": config.rho1, "rho2": config.rho2, "eps": epsilon(config), "window": window}


def in_nunes(config, parameters, steps_per_epoch):
    """The optimizer of a run for these parameters (`nunes.optimizers`)."""
    smooth, rate = adasmooth_constants(config, steps_per_epoch), schedule(config, steps_per_epoch)
    makers, eps = nunes.optimizers, epsilon(config)
    return {
        "adadelta": lambda *args: makers.AdaDelta(*args, rho=config.rho, eps=eps),
        "adam": lambda *args: makers.Adam(*args, beta1=config.beta1, beta2=config.beta2, eps=eps),
        "adasmooth": lambda *args: makers.AdaSmooth(*args, **smooth),
        "adasmooth_delta": lambda *args: makers.AdaSmoothDelta(*args, **smooth),
        "rmsprop": lambda *args: makers.RMSProp(*args, decay=config.rho, eps=eps),
        "sgd": lambda *args: makers.SGD(*args, momentum=config.beta1),
    }[config.optimizer](parameters, rate)


def in_optax(config, steps_per_epoch):
    """The same as an optax transformation, and AdaSmooth's variants."""
    smooth, rate = adasmooth_constants(config, steps_per_epoch), schedule(config, steps_per_epoch)
    if config.variant == "first_ratio_0":
        return alexjax.adasmooth(rate, **smooth, initial_ratio=0.0)
    if config.variant == "momentum":
        return optax.chain(alexjax.adasmooth(rate, **smooth), optax.ema(0.9))  # debiased, as Adam's
    if config.variant != "paper":
        return altered_adasmooth(config.variant, rate, **smooth, seed=config.seed)
    eps, decay = epsilon(config), config.weight_decay or None
    adam = partial(optax.adamw, weight_decay=decay) if decay else optax.adam
    return {
        "adadelta": lambda: optax.adadelta(rate, config.rho, eps),
        "adam": lambda: adam(rate, config.beta1, config.beta2, eps),
        "adasmooth": lambda: alexjax.adasmooth(rate, **smooth, weight_decay=decay),
        "adasmooth_delta": lambda: alexjax.adasmooth_delta(rate, **smooth),
        "rmsprop": lambda: optax.rmsprop(rate, config.rho, eps, eps_in_sqrt=True),
        "sgd": lambda: optax.sgd(rate, momentum=config.beta1),
    }[config.optimizer]()
