"""Losses: a single number to make small, the mean over all that is predicted. One that is NaN is an error here, where
it can be said what was NaN; so are integers as predictions (TypeError)."""

import numpy as np

from nunes.autograd.functional.activations import softplus, stable_log_softmax
from nunes.autograd.functional.common import absolute, pointwise
from nunes.autograd.functional.shapes import mean
from nunes.autograd.graph import Function
from nunes.tensor import Tensor, apply, plain, require_floating


class CrossEntropy(Function):
    """The mean over the batch of −Σ_k q_k·log softmax(logits)_k, where q is 1 − s + s/K at the label, s/K elsewhere."""

    def forward(self, logits, /, labels, smoothing):
        self.at_labels, self.smoothing = (np.arange(len(logits)), labels), smoothing
        self.log_probabilities = stable_log_softmax(logits, axis=1)
        chosen = self.log_probabilities[self.at_labels].mean(dtype=logits.dtype)
        if smoothing == 0:
            return -chosen
        return -(1 - smoothing) * chosen - smoothing * self.log_probabilities.mean(dtype=logits.dtype)

    def backward(self, gradient):
        # −Σ_k q_k·log softmax(x)_k = log Σ_k e^x_k − Σ_k q_k·x_k as Σ q = 1, so dx_j = (softmax(x)_j − q_j) / N
        dx = np.exp(self.log_probabilities)
        dx -= self.smoothing / dx.shape[1]
        dx[self.at_labels] -= 1 - self.smoothing
        dx *= gradient / len(dx)
        return dx


def _checked(op, loss, **arguments):
    if np.isnan(loss.data):
        for name, argument in arguments.items():
            if np.isnan(argument.data).any():
                raise FloatingPointError(f"{op}: the loss is NaN, for {name} of shape {argument.shape} contains NaN")
        shapes = ", ".join(f"{name} {argument.shape}" for name, argument in arguments.items())
        raise FloatingPointError(f"{op}: the loss is NaN; the shapes are {shapes}")
    return loss


def _check_labels(op, name, x, labels):
    labels = np.asarray(plain(labels))
    require_floating(op, **{name: x})
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{op}: labels must be integers, got {labels.dtype}")
    if x.ndim != 2 or labels.shape != x.shape[:1] or len(labels) == 0:
        raise ValueError(f"{op}: {name} must be (N, K) and labels (N,), got {x.shape} and {labels.shape}")
    if labels.min() < 0 or labels.max() >= x.shape[1]:
        raise ValueError(f"{op}: labels must lie in [0, {x.shape[1]}), got {labels.min()} to {labels.max()}")
    return labels


def _check_pair(op, prediction, target):
    require_floating(op, prediction=prediction)
    if not isinstance(target, Tensor) or target.dtype.kind != "f":
        target = Tensor(np.asarray(plain(target), prediction.dtype))
    if prediction.shape != target.shape:
        raise ValueError(f"{op}: prediction has shape {prediction.shape}, target {target.shape}; they must be equal")
    return target


def cross_entropy(logits, labels, label_smoothing=0.0):
    """The mean cross-entropy of a classifier, in nats.

    Args:
        logits: (N, K), unnormalised log-probabilities.
        labels: (N,) integers in [0, K); an array or a tensor.
        label_smoothing: the part of the target's probability that is spread over all classes (Szegedy et al. 2016).

    Raises:
        ValueError: the shapes do not match, or a label or the smoothing is out of range.
        TypeError: the labels are not integers, or the logits are.
        FloatingPointError: the loss is NaN.
    """
    labels = _check_labels("cross_entropy", "logits", logits, labels)
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"cross_entropy: label_smoothing must lie in [0, 1), got {label_smoothing}")
    return _checked("cross_entropy", apply(CrossEntropy(), logits, options=(labels, label_smoothing)), logits=logits)


def nll(log_probabilities, labels):
    """−log p[label], the mean over the batch. (N, K) and (N,) -> (); raises as `cross_entropy` does."""
    labels = _check_labels("nll", "log_probabilities", log_probabilities, labels)
    loss = -mean(log_probabilities[np.arange(len(labels)), labels])
    return _checked("nll", loss, log_probabilities=log_probabilities)


def mse(prediction, target):
    """The mean of (prediction − target)². Raises ValueError if their shapes differ, FloatingPointError for NaN."""
    target = _check_pair("mse", prediction, target)
    return _checked("mse", mean((prediction - target) ** 2), prediction=prediction, target=target)


def l1(prediction, target):
    """The mean of |prediction − target|. Raises ValueError if their shapes differ, FloatingPointError for NaN."""
    target = _check_pair("l1", prediction, target)
    return _checked("l1", mean(absolute(prediction - target)), prediction=prediction, target=target)


_huber = pointwise(
    "huber",
    "",
    lambda x, /, delta: np.where(np.abs(x) <= delta, x * x / 2, delta * (np.abs(x) - delta / 2)),
    of_x=lambda x, delta: np.clip(x, -delta, delta),
)


def huber(prediction, target, delta=1.0):
    """The mean of ½·e² where |e| ≤ delta, delta·(|e| − delta/2) elsewhere, e = prediction − target (Huber 1964).

    Raises ValueError if their shapes differ or delta is not positive, FloatingPointError for NaN.
    """
    target = _check_pair("huber", prediction, target)
    if not delta > 0:
        raise ValueError(f"huber: delta must be positive, got {delta}")
    return _checked("huber", mean(_huber(prediction - target, delta)), prediction=prediction, target=target)


def bce_with_logits(logits, target):
    """The mean of −t·log σ(x) − (1 − t)·log(1 − σ(x)) = log(1 + e^x) − t·x for targets t in [0, 1].

    Raises ValueError if their shapes differ or a target is out of range, FloatingPointError for NaN.
    """
    target = _check_pair("bce_with_logits", logits, target)
    if (target.data < 0).any() or (target.data > 1).any():
        raise ValueError("bce_with_logits: targets must lie in [0, 1]")
    loss = mean(softplus(logits) - target * logits)
    return _checked("bce_with_logits", loss, logits=logits, target=target)
