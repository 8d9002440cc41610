"""Non-linearities, the softmax, and the cross-entropy that ends a classifier."""

import numpy as np

from nunes import parallel
from nunes.autograd.graph import Function
from nunes.tensor import Tensor, apply, operation


class ReLU(Function):
    """max(x, 0), with gradient 0 at 0."""

    def forward(self, x):
        self.y = parallel.empty(x.shape, x.dtype)
        parallel.elementwise(lambda x, y: np.maximum(x, 0, out=y), x, self.y)
        return self.y

    def backward(self, gradient):  # y > 0 exactly where x > 0: the output, kept by the next layer anyway, is enough
        dx = parallel.empty(gradient.shape, gradient.dtype)
        parallel.elementwise(lambda dy, y, dx: np.multiply(dy, y > 0, out=dx), gradient, self.y, dx)
        return dx


class Sigmoid(Function):
    """1 / (1 + e^−x)."""

    def forward(self, x):
        self.y = np.exp(-np.logaddexp(0, -x))  # 1 / (1 + e^−x) without overflow
        return self.y

    def backward(self, gradient):  # y' = y·(1 − y)
        return gradient * self.y * (1 - self.y)


class Tanh(Function):
    """The hyperbolic tangent."""

    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, gradient):  # y' = 1 − y²
        return gradient * (1 - self.y * self.y)


def _log_softmax(x, axis):
    """x − log Σ e^x, the maximum subtracted first so that no exponential overflows."""
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


class Softmax(Function):
    """e^x / Σ e^x along `axis`."""

    def __init__(self, axis=-1):
        self.axis = axis

    def forward(self, x):
        self.y = np.exp(_log_softmax(x, self.axis))
        return self.y

    def backward(self, gradient):
        # ∂y_i/∂x_j = y_i·(δ_ij − y_j), so dx_j = y_j·(dy_j − Σ_i dy_i·y_i)
        inner = (gradient * self.y).sum(axis=self.axis, keepdims=True)
        return self.y * (gradient - inner)


class LogSoftmax(Function):
    """x − log Σ e^x along `axis`: the logarithm of the softmax, computed without overflow."""

    def __init__(self, axis=-1):
        self.axis = axis

    def forward(self, x):
        self.y = _log_softmax(x, self.axis)
        return self.y

    def backward(self, gradient):
        # y_i = x_i − log Σ_k e^x_k, so ∂y_i/∂x_j = δ_ij − softmax(x)_j and dx = dy − softmax(x)·Σ_i dy_i
        return gradient - np.exp(self.y) * gradient.sum(axis=self.axis, keepdims=True)


class CrossEntropy(Function):
    """The mean over the batch of −log softmax(logits)[label]. (N, K) -> ()"""

    def __init__(self, labels):
        self.labels = labels

    def forward(self, logits):
        self.log_probabilities = _log_softmax(logits, axis=1)
        self.rows = np.arange(len(logits))
        return -self.log_probabilities[self.rows, self.labels].mean(dtype=logits.dtype)

    def backward(self, gradient):
        # −log softmax(x)[l] = log Σ_k e^x_k − x_l, so dx_j = (softmax(x)_j − δ_jl) / N
        dx = np.exp(self.log_probabilities)
        dx[self.rows, self.labels] -= 1
        dx *= gradient / len(dx)
        return dx


relu, sigmoid, tanh, softmax, log_softmax = map(operation, (ReLU, Sigmoid, Tanh, Softmax, LogSoftmax))


def cross_entropy(logits, labels):
    """The mean cross-entropy of a classifier, in nats.

    Args:
        logits: (N, K), unnormalised log-probabilities.
        labels: (N,) integers in [0, K); an array or a tensor.

    Raises:
        ValueError: the shapes do not match or a label is out of range.
        TypeError: the labels are not integers.
    """
    labels = np.asarray(labels.data if isinstance(labels, Tensor) else labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: labels must be integers, got {labels.dtype}")
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or len(labels) == 0:
        raise ValueError(f"cross_entropy: logits must be (N, K) and labels (N,), got {logits.shape} and {labels.shape}")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"cross_entropy: labels must lie in [0, {logits.shape[1]}), got {labels.min()} to {labels.max()}"
        )
    return apply(CrossEntropy(labels), logits)
