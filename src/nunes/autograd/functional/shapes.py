"""Shapes: reductions over axes, and the same elements in another arrangement.

At the end, the methods of `Tensor`; its operators, used here too, are in `common`.
"""

import numpy as np

from nunes.autograd.graph import Function
from nunes.tensor import Tensor, apply, operation

# Reductions ---------------------------------------------------------------------------------------------------


class Reduction(Function):
    """What reductions share. (N, M, K) -> (N, K) over axis 1; with `keepdims`, (N, 1, K)."""

    def __init__(self, axis=None, keepdims=False):
        self.axis, self.keepdims = axis, keepdims

    def expand(self, gradient):  # the reduced axes again, with length 1
        return gradient if self.axis is None or self.keepdims else np.expand_dims(gradient, self.axis)


class Sum(Reduction):
    """The sum over `axis` (an int, a tuple, or None for all)."""

    def forward(self, x):
        self.shape = x.shape
        return x.sum(axis=self.axis, keepdims=self.keepdims)

    def backward(self, gradient):  # every summand gets the sum's gradient: the adjoint of a sum is a broadcast
        return np.broadcast_to(self.expand(gradient), self.shape)


class Max(Reduction):
    """The maximum over `axis` (an int, a tuple, or None for all); equal ones share the gradient."""

    def forward(self, x):
        largest = x.max(axis=self.axis, keepdims=True)
        self.part = (x == largest).astype(x.dtype)
        self.part /= self.part.sum(axis=self.axis, keepdims=True)
        return largest if self.keepdims else np.squeeze(largest, self.axis)

    def backward(self, gradient):
        return self.expand(gradient) * self.part


sum, max = map(operation, (Sum, Max))


def mean(x, axis=None, keepdims=False):
    """The mean over `axis` (an int, a tuple, or None for all)."""
    total = sum(x, axis, keepdims)
    return total * (total.size / x.size if x.size else np.nan)


def var(x, axis=None, keepdims=False):
    """The variance over `axis`, the mean of the squared deviations."""
    return mean((x - mean(x, axis, keepdims=True)) ** 2, axis, keepdims)


def min(x, axis=None, keepdims=False):
    """The minimum over `axis` (an int, a tuple, or None for all); equal ones share the gradient."""
    return -max(-x, axis, keepdims)


# The same elements in another arrangement ---------------------------------------------------------------------


class Reshape(Function):
    def __init__(self, shape):
        self.new_shape = shape

    def forward(self, x):
        self.shape = x.shape
        return x.reshape(self.new_shape)

    def backward(self, gradient):
        return gradient.reshape(self.shape)


class Transpose(Function):
    def __init__(self, axes=None):
        self.axes = axes

    def forward(self, x):
        return x.transpose(self.axes)

    def backward(self, gradient):  # the inverse permutation
        if self.axes is None:
            return gradient.transpose()
        return gradient.transpose(np.argsort([axis % gradient.ndim for axis in self.axes]))


class GetItem(Function):
    """x[index], for slices, integers, masks and index arrays."""

    def __init__(self, index):
        self.index = index

    def forward(self, x):
        self.shape = x.shape
        return x[self.index]

    def backward(self, gradient):  # scatter back; `add.at`, because an index array may name an element twice
        dx = np.zeros(self.shape, gradient.dtype)
        np.add.at(dx, self.index, gradient)
        return dx


class Concatenate(Function):
    def __init__(self, axis):
        self.axis = axis

    def forward(self, *arrays):
        self.ends = np.cumsum([array.shape[self.axis] for array in arrays])[:-1]
        return np.concatenate(arrays, self.axis)

    def backward(self, gradient):
        return tuple(np.split(gradient, self.ends, self.axis))


class Pad(Function):
    """x surrounded by `value`: `widths` is ((before, after), ...), a pair for each axis, as in `np.pad`."""

    def __init__(self, widths, value=0.0):
        self.widths, self.value = widths, value

    def forward(self, x):
        if np.shape(self.widths) != (x.ndim, 2) or np.min(self.widths) < 0:
            raise ValueError(
                f"pad: widths must be a (before, after) pair for each axis of shape {x.shape}, not negative; "
                f"got {self.widths}"
            )
        self.inside = tuple(slice(before, before + n) for (before, _), n in zip(self.widths, x.shape, strict=True))
        return np.pad(x, self.widths, constant_values=self.value)

    def backward(self, gradient):
        return gradient[self.inside]


getitem, pad = map(operation, (GetItem, Pad))


def reshape(x, *shape):
    """The same elements in another shape; one length may be −1."""
    return apply(Reshape(shape[0] if isinstance(shape[0], tuple) else shape), x)


def transpose(x, *axes):
    """The axes permuted (reversed if none are named)."""
    return apply(Transpose(axes or None), x)


def flatten(x):
    """(N, H, W, C) -> (N, H·W·C)"""
    return x.reshape(len(x), -1)


def concatenate(tensors, axis=0):
    """The tensors joined along an existing axis."""
    return apply(Concatenate(axis), *tensors)


# The methods of Tensor are these functions.
Tensor.__getitem__ = getitem
Tensor.sum, Tensor.mean, Tensor.var, Tensor.max, Tensor.min = sum, mean, var, max, min
Tensor.reshape = reshape
Tensor.transpose = transpose
Tensor.T = property(transpose)
