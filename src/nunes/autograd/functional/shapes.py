"""Shapes: reductions over axes, and the same elements in another arrangement.

At the end, the methods of `Tensor`; its operators, used here too, are in `common`.
"""

import numpy as np

from nunes.autograd.graph import Function
from nunes.tensor import Tensor, apply, operation, plain


class Sum(Function):
    """The sum over `axis` (an int, a tuple, or None for all). (N, M, K) -> (N, K) over 1; (N, 1, K) with `keepdims`"""

    def forward(self, x, /, axis=None, keepdims=False):
        self.axis, self.keepdims, self.shape = axis, keepdims, x.shape
        return x.sum(axis=axis, keepdims=keepdims)

    def backward(self, gradient):  # every summand gets the sum's gradient: the adjoint of a sum is a broadcast
        if self.shape and self.axis is not None and not self.keepdims:
            gradient = np.expand_dims(gradient, self.axis)
        return np.broadcast_to(gradient, self.shape)


class Max(Function):
    """The maximum over `axis` (an int, a tuple, or None for all); equal ones share the gradient."""

    extreme = staticmethod(np.max)

    def forward(self, x, /, axis=None, keepdims=False):
        extreme = self.extreme(x, axis, keepdims=True)
        self.equal, self.axis = x == extreme, axis
        return extreme if keepdims else self.extreme(extreme, axis)

    def backward(self, gradient):
        count = self.equal.sum(axis=self.axis, keepdims=True)
        return gradient.reshape(count.shape) * np.divide(self.equal, count, dtype=gradient.dtype)


class Min(Max):
    """The minimum over `axis` (an int, a tuple, or None for all); equal ones share the gradient."""

    extreme = staticmethod(np.min)


sum, max, min = map(operation, (Sum, Max, Min))


def mean(x, axis=None, keepdims=False):
    """The mean over `axis` (an int, a tuple, or None for all)."""
    total = sum(x, axis, keepdims)
    return total * (total.size / x.size if x.size else np.nan)


def var(x, axis=None, keepdims=False):
    """The variance over `axis`, the mean of the squared deviations."""
    return mean((x - mean(x, axis, keepdims=True)) ** 2, axis, keepdims)


class Reshape(Function):
    """The same elements in another shape; one length may be −1."""

    def forward(self, x, /, *shape):
        self.shape = x.shape
        return x.reshape(*shape)

    def backward(self, gradient):
        return gradient.reshape(self.shape)


class Transpose(Function):
    """The axes permuted (reversed if none are named)."""

    def forward(self, x, /, *axes):
        self.axes = axes or None
        return x.transpose(self.axes)

    def backward(self, gradient):
        inverse = self.axes and np.argsort([axis % gradient.ndim for axis in self.axes])
        return gradient.transpose(inverse)


class GetItem(Function):
    """x[index], for slices, integers, masks and index arrays."""

    def forward(self, x, /, index):
        self.index, self.shape = plain(index), x.shape
        return x[self.index]

    def backward(self, gradient):  # scatter back; `add.at`, because an index array may name an element twice
        dx = np.zeros(self.shape, gradient.dtype)
        np.add.at(dx, self.index, gradient)
        return dx


class Concatenate(Function):
    def forward(self, *arrays, axis):
        self.axis, self.ends = axis, np.cumsum([array.shape[axis] for array in arrays])[:-1]
        return np.concatenate(arrays, axis)

    def backward(self, gradient):
        return tuple(np.split(gradient, self.ends, self.axis))


class Pad(Function):
    """x surrounded by `value`: `widths` is ((before, after), ...), a pair for each axis, as in `np.pad`."""

    def forward(self, x, /, widths, value=0.0):
        if np.shape(widths) != (x.ndim, 2) or np.min(widths) < 0:
            pairs = "a (before, after) pair for each axis"
            raise ValueError(f"pad: widths must be {pairs} of shape {x.shape}, not negative; got {widths}")
        self.inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))
        return np.pad(x, widths, constant_values=value)

    def backward(self, gradient):
        return gradient[self.inside]


reshape, transpose, getitem, pad = map(operation, (Reshape, Transpose, GetItem, Pad))


def flatten(x):
    """(N, H, W, C) -> (N, H·W·C)"""
    return x.reshape(len(x), int(np.prod(x.shape[1:])))


def concatenate(tensors, axis=0):
    """The tensors joined along an existing axis."""
    return apply(Concatenate(), *tensors, axis=axis)


# The methods of Tensor are these functions.
Tensor.__getitem__ = getitem
Tensor.__iter__ = lambda x: map(x.__getitem__, range(len(x)))
Tensor.sum, Tensor.mean, Tensor.var, Tensor.max, Tensor.min = sum, mean, var, max, min
Tensor.reshape, Tensor.transpose, Tensor.T = reshape, transpose, property(transpose)
