"""Non-linearities, each with its derivative, and the softmax."""

import math

import numpy as np

from nunes import parallel
from nunes.autograd.functional.common import pointwise
from nunes.autograd.graph import Function
from nunes.tensor import operation, require_floating

ROOT = math.sqrt(2 / math.pi)  # of gelu


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


def _sigmoid(x):  # 1 / (1 + e^−x) without overflow, and without −x, which unsigned integers do not have
    return np.exp(-np.logaddexp(0, 0.0 - x))


def _gelu_inner(x):
    return ROOT * (x + 0.044715 * x**3.0)


def _gelu_derivative(x):  # of x·(1 + tanh u)/2 with u = √(2/π)·(x + 0.044715·x³), and tanh' = 1 − tanh²
    t = np.tanh(_gelu_inner(x))
    return (1 + t) / 2 + x / 2 * (1 - t * t) * ROOT * (1 + 3 * 0.044715 * x**2)


def _silu_derivative(x):  # (x·σ)' = σ + x·σ·(1 − σ)
    s = _sigmoid(x)
    return s + x * s * (1 - s)


sigmoid = pointwise("sigmoid", "1 / (1 + e^−x).", _sigmoid, of_y=lambda y: y * (1 - y))
tanh = pointwise("tanh", "The hyperbolic tangent.", np.tanh, of_y=lambda y: 1 - y * y)
softplus = pointwise("softplus", "log(1 + e^x).", lambda x: np.logaddexp(x, 0), of_x=_sigmoid)
leaky_relu = pointwise(
    "leaky_relu",
    "x where it is positive, slope·x elsewhere.",
    lambda x, /, slope=0.01: np.maximum(x, 0) + slope * np.minimum(x, 0),
    of_x=lambda x, slope=0.01: (x > 0) + slope * (x <= 0),
)
elu = pointwise(
    "elu",
    "x where it is positive, alpha·(e^x − 1) elsewhere (Clevert et al. 2016).",
    lambda x, /, alpha=1.0: np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0)),
    of_x=lambda x, alpha=1.0: (x > 0) + alpha * (x <= 0) * np.exp(np.minimum(x, 0)),
)
gelu = pointwise(
    "gelu",
    "x·Φ(x), Φ the normal distribution's, by its tanh approximation (Hendrycks & Gimpel 2016).",
    lambda x: x / 2 * (1 + np.tanh(_gelu_inner(x))),
    of_x=_gelu_derivative,
)
silu = pointwise("silu", "x·sigmoid(x), also called swish.", lambda x: x * _sigmoid(x), of_x=_silu_derivative)


def stable_log_softmax(x, axis):
    """x − log Σ e^x, the maximum subtracted first so that no exponential overflows."""
    require_floating("softmax", x=x)
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


class Softmax(Function):
    """e^x / Σ e^x along `axis`."""

    def forward(self, x, /, axis=-1):
        self.axis, self.y = axis, np.exp(stable_log_softmax(x, axis))
        return self.y

    def backward(self, gradient):
        # ∂y_i/∂x_j = y_i·(δ_ij − y_j), so dx_j = y_j·(dy_j − Σ_i dy_i·y_i)
        inner = (gradient * self.y).sum(axis=self.axis, keepdims=True)
        return self.y * (gradient - inner)


class LogSoftmax(Function):
    """x − log Σ e^x along `axis`: the logarithm of the softmax, computed without overflow."""

    def forward(self, x, /, axis=-1):
        self.axis, self.y = axis, stable_log_softmax(x, axis)
        return self.y

    def backward(self, gradient):
        # y_i = x_i − log Σ_k e^x_k, so ∂y_i/∂x_j = δ_ij − softmax(x)_j and dx = dy − softmax(x)·Σ_i dy_i
        return gradient - np.exp(self.y) * gradient.sum(axis=self.axis, keepdims=True)


relu, softmax, log_softmax = map(operation, (ReLU, Softmax, LogSoftmax))
