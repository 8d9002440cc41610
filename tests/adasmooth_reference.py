"""AdaSmooth and AdaSmoothDelta in float64, straight from the paper (arXiv 2204.00825): the judge of both packages.

It keeps all updates and sums them anew at every step, instead of carrying sums along: slow, and hard to get wrong.
"""

import numpy as np


def effective_ratio(updates, window, initial_ratio):
    """e_t from the updates before step t, a list of arrays (eq. 15), or `initial_ratio` where nothing has moved.

    In the paper M is the index of the batch in its epoch, 1, 2, ..., window, and the sums are over the M latest
    updates: the first batch of an epoch sees the last update of the epoch before.
    """
    batch = len(updates) + 1 if window is None else len(updates) % window + 1
    latest = updates[-batch:]
    if not latest:
        return initial_ratio
    displacement = np.abs(np.sum(latest, axis=0))
    distance = np.sum(np.abs(latest), axis=0)
    return np.where(distance > 0, displacement / np.where(distance > 0, distance, 1), initial_ratio)


def adasmooth(
    x, gradients, learning_rate=1e-3, rho1=0.5, rho2=0.99, eps=1e-6, window=None, initial_ratio=1.0, beta1=0.0
):
    """The parameters after each of the steps with the given gradients (algorithm 1). `learning_rate(t)` or a number.

    With `beta1` the numerator is the average of all gradients so far, each weighing `beta1` times the next, anew at
    every step (Adam's, Kingma & Ba 2015, section 3: their weights sum to 1).
    """
    updates, path, v = [], [], np.zeros_like(x)
    for t, g in enumerate(gradients):
        rate = learning_rate(t) if callable(learning_rate) else learning_rate
        c = (rho2 - rho1) * effective_ratio(updates, window, initial_ratio) + (1 - rho2)
        v = c**2 * g**2 + (1 - c**2) * v
        numerator = np.average(gradients[: t + 1], axis=0, weights=beta1 ** np.arange(t, -1.0, -1)) if beta1 else g
        updates.append(-rate * numerator / np.sqrt(v + eps))
        x = x + updates[-1]
        path.append(x)
    return np.array(path)


def adasmooth_delta(x, gradients, learning_rate=0.5, rho1=0.5, rho2=0.99, eps=1e-6, window=None, initial_ratio=1.0):
    """The same for AdaSmoothDelta (section 3.3), with the previous average of Δx² and ε in the numerator."""
    updates, path, v, u = [], [], np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients):
        rate = learning_rate(t) if callable(learning_rate) else learning_rate
        c = (rho2 - rho1) * effective_ratio(updates, window, initial_ratio) + (1 - rho2)
        v = c**2 * g**2 + (1 - c**2) * v
        updates.append(-rate * np.sqrt(u + eps) / np.sqrt(v + eps) * g)
        u = (1 - c**2) * updates[-1] ** 2 + c**2 * u
        x = x + updates[-1]
        path.append(x)
    return np.array(path)


def trying_gradients(steps=200, size=12, seed=0):
    """Gradients (steps, size) with all that matters: straight runs, zigzags, sign flips, zeros, large and tiny."""
    generator = np.random.default_rng(seed)
    gradients = generator.standard_normal((steps, size))
    t = np.arange(steps)
    gradients[:, 0] = 0  # never moves
    gradients[:, 1] = 1  # straight on
    gradients[:, 2] = (-1.0) ** t  # zigzag
    gradients[:, 3] = np.where(t < 70, 1, -1)  # turns round once
    gradients[:, 4] = np.where(t < 50, 0, 1)  # starts late
    gradients[::3, 5] = 0  # with gaps
    gradients[:, 6] *= 1e6
    gradients[:, 7] *= 1e-9
    return gradients
