"""Learning-rate schedules: functions of the step (0, 1, ...), to be given to an optimizer as `learning_rate`."""

import math


def cosine(learning_rate, steps, warmup=0, final=0.0):
    """From `learning_rate` to `final` on half a cosine (Loshchilov & Hutter 2017), after rising from 0 for `warmup`
    steps; both within `steps`."""

    def rate(step):
        if step < warmup:
            return learning_rate * step / warmup
        done = min(1.0, (step - warmup) / (steps - warmup))
        return final + (learning_rate - final) * (1 + math.cos(math.pi * done)) / 2

    return rate


def step_decay(learning_rate, every, factor=0.1):
    """`learning_rate`, multiplied by `factor` every `every` steps."""
    return lambda step: learning_rate * factor ** (step // every)
