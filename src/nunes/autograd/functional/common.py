"""Arithmetic: element-wise operations with NumPy's broadcasting, functions of each element, matrix products.

At the end, the operators of `Tensor`.
"""

import operator
import sys
from functools import partial

import numpy as np

from nunes import parallel
from nunes.autograd.graph import Function
from nunes.tensor import Tensor, operation


def unbroadcast(gradient, shape):
    """Sum `gradient` down to `shape`: the adjoint of broadcasting, which copies an element along an axis.

    If y[i, j] = x[j] for every i, then dx[j] = Σ_i dy[i, j].
    """
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    stretched = [extra + axis for axis, length in enumerate(shape) if length == 1]
    return gradient.sum(axis=(*range(extra), *stretched)).reshape(shape)


class Add(Function):
    """x + y, element-wise with broadcasting."""

    def forward(self, x, y):
        self.shapes = x.shape, y.shape
        return x + y

    def backward(self, gradient):
        return tuple(unbroadcast(gradient, shape) for shape in self.shapes)


class Subtract(Function):
    """x − y, element-wise with broadcasting."""

    def forward(self, x, y):
        self.shapes = x.shape, y.shape
        return x - y

    def backward(self, gradient):
        return unbroadcast(gradient, self.shapes[0]), unbroadcast(-gradient, self.shapes[1])


class Multiply(Function):
    """x · y, element-wise with broadcasting."""

    def forward(self, x, y):
        self.x, self.y = x, y
        return x * y

    def backward(self, gradient):  # dx = dy · y, and the same with the names exchanged
        return (
            unbroadcast(gradient * self.y, self.x.shape) if self.needs[0] else None,
            unbroadcast(gradient * self.x, self.y.shape) if self.needs[1] else None,
        )


class Divide(Function):
    """x / y, element-wise with broadcasting."""

    def forward(self, x, y):
        self.x, self.y = x, y
        return x / y

    def backward(self, gradient):  # ∂(x/y)/∂x = 1/y and ∂(x/y)/∂y = −x/y²
        dx = gradient / self.y
        return (
            unbroadcast(dx, self.x.shape) if self.needs[0] else None,
            unbroadcast(-dx * self.x / self.y, self.y.shape) if self.needs[1] else None,
        )


class Power(Function):
    """x^k, element-wise with broadcasting."""

    def forward(self, x, exponent):
        self.x, self.exponent = x, exponent
        self.y = x**exponent
        return self.y

    def backward(self, gradient):
        # ∂x^k/∂x = k·x^(k−1) and ∂x^k/∂k = x^k·log x. At x = 0, the first is 0 for k = 0, the second for all k ≥ 0.
        x, k = self.x, self.exponent
        log = np.log(np.where((x == 0) & (k >= 0), 1.0, x)) if self.needs[1] else None
        return (
            unbroadcast(gradient * k * x ** np.where(k == 0, 0, k - 1), x.shape) if self.needs[0] else None,
            unbroadcast(gradient * self.y * log, k.shape) if self.needs[1] else None,
        )


class Pointwise(Function):
    """y = f(x), element by element: dx = dy · f'(x), the derivative being known from x or from y."""

    def forward(self, x, *options, **named_options):
        y = self.f(x, *options, **named_options)
        of, saved = (self.of_x, x) if self.of_x else (self.of_y, y)
        self.derivative = partial(of, saved, *options, **named_options)
        return y

    def backward(self, gradient):
        return np.multiply(gradient, self.derivative(), dtype=gradient.dtype)


def pointwise(name, doc, f, of_x=None, of_y=None):
    """The function of tensors that computes `f(x, *options)`, its derivative given as a function of x or of y."""
    parts = {"f": staticmethod(f), "of_x": of_x and staticmethod(of_x), "of_y": of_y and staticmethod(of_y)}
    parts |= {"__doc__": doc, "__module__": sys._getframe(1).f_globals["__name__"]}  # the caller's, for pickles
    function_class = type(name.title(), (Pointwise,), parts)
    return operation(function_class, like=(lambda x: x) if isinstance(f, np.ufunc) else f)


negative = pointwise("negative", "−x.", np.negative, of_x=lambda x: -1)
exp = pointwise("exp", "e^x.", np.exp, of_y=lambda y: y)
log = pointwise("log", "The natural logarithm.", np.log, of_x=lambda x: 1 / x)
sqrt = pointwise("sqrt", "The square root.", np.sqrt, of_y=lambda y: 0.5 / y)
absolute = pointwise("absolute", "|x|, with gradient 0 at 0.", np.absolute, of_x=np.sign)
clip = pointwise(
    "clip",
    "x limited to [low, high]; outside, the gradient is 0.",
    lambda x, /, low=None, high=None: np.clip(x, low, high),
    of_x=lambda x, low=None, high=None: np.clip(x, low, high) == x,
)


class Matmul(Function):
    """The matrix product. (..., M, K) @ (..., K, N) -> (..., M, N). Raises ValueError if the shapes do not fit."""

    def forward(self, x, y):
        if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-2]:
            raise ValueError(f"matmul: cannot multiply shapes {x.shape} and {y.shape}; needs (..., M, K) @ (..., K, N)")
        self.x, self.y = x, y
        return x @ y

    def backward(self, gradient):  # y_mn = Σ_k x_mk w_kn, so dx_mk = Σ_n dy_mn w_kn: dx = dy wᵀ and dw = xᵀ dy
        return (
            unbroadcast(gradient @ np.swapaxes(self.y, -1, -2), self.x.shape) if self.needs[0] else None,
            unbroadcast(np.swapaxes(self.x, -1, -2) @ gradient, self.y.shape) if self.needs[1] else None,
        )


class Linear(Function):
    """x @ weight + bias. (N, in), (in, out), (out,) -> (N, out). Raises ValueError if the shapes do not fit."""

    def forward(self, x, weight, bias=None):
        if x.ndim != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[0]:
            raise ValueError(f"linear: x must be (N, in) and weight (in, out), got {x.shape} and {weight.shape}")
        if bias is not None and bias.shape != weight.shape[1:]:
            raise ValueError(f"linear: bias must be ({weight.shape[1]},), got {bias.shape}")
        self.x, self.weight = x, weight
        y = parallel.matmul(x, weight)
        if bias is not None:
            y += bias
        return y

    def backward(self, gradient):  # dx = dy wᵀ, dw = xᵀ dy, db = Σ_n dy_n (the bias is broadcast over N)
        dx = parallel.matmul(gradient, self.weight.T) if self.needs[0] else None
        dw = parallel.matmul(self.x.T, gradient) if self.needs[1] else None
        return (dx, dw, gradient.sum(axis=0))[: len(self.needs)]


add, subtract, multiply, divide, power = map(operation, (Add, Subtract, Multiply, Divide, Power))
matmul, linear = map(operation, (Matmul, Linear))

# The operators of Tensor are these functions: x + y and add(x, y) are one thing.
Tensor.__add__ = Tensor.__radd__ = add
Tensor.__sub__ = subtract
Tensor.__rsub__ = lambda x, y: subtract(y, x)
Tensor.__mul__ = Tensor.__rmul__ = multiply
Tensor.__truediv__ = divide
Tensor.__rtruediv__ = lambda x, y: divide(y, x)
Tensor.__pow__ = power
Tensor.__rpow__ = lambda x, y: power(y, x)
Tensor.__neg__ = negative
Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda x, y: matmul(y, x)

# Comparisons are NumPy's, of the arrays, and so is what follows from them.
for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    compare = getattr(operator, name)
    setattr(Tensor, f"__{name}__", lambda x, y, compare=compare: compare(x.data, y))
Tensor.__contains__ = lambda x, value: bool((x == value).any())
Tensor.__bool__ = lambda x: bool(x.data)
