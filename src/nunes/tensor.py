"""`Tensor`: an ndarray that remembers how it was computed.

The arithmetic operators (`+`, `@` ...) and the methods (`.sum()`, `.reshape()` ...) are the functions of
`nunes.autograd.functional`, whose `common` and `shapes` bind them to this class.
"""

import inspect

import numpy as np

from nunes.autograd.graph import backward, is_recording


class Tensor:
    """An array, its gradient, and the node of the graph that computed it.

    Args:
        array: anything `np.asarray` takes. Arrays keep their dtype and are not copied; Python numbers and
            lists of them become float32 (or stay integers).
        requires_grad: whether `backward` is to leave a gradient in `.grad`. Only for floating dtypes.
    """

    __slots__ = ("__weakref__", "data", "grad", "node", "requires_grad")
    __array_ufunc__ = None  # so that ndarray + Tensor comes to Tensor.__radd__

    def __init__(self, array, requires_grad=False):
        if isinstance(array, Tensor):
            raise TypeError("Tensor: the argument is a Tensor already; use .detach() for one outside the graph")
        self.data = np.asarray(array)
        if self.data.dtype == np.float64 and not isinstance(array, np.ndarray | np.generic):
            self.data = self.data.astype(np.float32)
        if requires_grad and self.data.dtype.kind != "f":
            raise TypeError(f"Tensor: only floating dtypes have gradients, got {self.data.dtype}")
        self.grad = None
        self.requires_grad = requires_grad
        self.node = None

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)

    def __len__(self):
        return len(self.data)

    def __repr__(self):
        made_by = f", node={type(self.node).__name__}" if self.node else ""
        wants = ", requires_grad=True" if self.requires_grad and not self.node else ""
        return f"Tensor({np.array2string(self.data, separator=', ', prefix='Tensor(')}{wants}{made_by})"

    def __array__(self, dtype=None, copy=None):
        return np.array(self.data, dtype, copy=copy)

    def item(self):
        """The only element, as a Python number."""
        return self.data.item()

    def numpy(self):
        """The array itself (shared, not copied)."""
        return self.data

    def detach(self):
        """The same array, outside the graph."""
        return Tensor(self.data)

    def backward(self, gradient=None):
        """Differentiate this tensor: adds d(self)/d(leaf) to the `.grad` of every leaf, and frees the graph.

        Args:
            gradient: dL/d(self), of the shape of `self`; may be left out for a single number, where it is 1.

        Raises:
            RuntimeError: `self` does not require a gradient, is not a single number and no `gradient` was
                given, or its graph was freed by an earlier call.
            ValueError: `gradient` is not of the shape of `self`.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: this tensor depends on nothing that requires a gradient")
        if gradient is None:
            if self.size != 1:
                raise RuntimeError(f"backward: shape {self.shape} is not a single number; pass gradient=dL/d(self)")
            gradient = np.ones_like(self.data)
        gradient = np.asarray(gradient.data if isinstance(gradient, Tensor) else gradient, self.dtype)
        if gradient.shape != self.shape:
            raise ValueError(f"backward: gradient has shape {gradient.shape}, the tensor {self.shape}")
        backward(self.node or self, gradient)


def apply(function, *inputs, options=(), **named_options):
    """Compute `function.forward` on the inputs' arrays and record it in the graph if any of them needs it.

    Inputs that are not tensors are constants; Python numbers take the dtype of the first floating tensor, so that
    `x * 2.0` stays float32. An input that is None is left out. The options are for `forward` alone.
    """
    dtype = next((x.dtype for x in inputs if isinstance(x, Tensor) and x.dtype.kind == "f"), None)

    def constant(x):
        return Tensor(np.asarray(x, dtype) if dtype and isinstance(x, int | float) else x)

    tensors = tuple(x if isinstance(x, Tensor) else constant(x) for x in inputs if x is not None)
    function.needs = tuple(is_recording() and x.requires_grad for x in tensors)
    output = Tensor(function.forward(*(x.data for x in tensors), *options, **named_options))
    if any(function.needs):
        output.requires_grad, output.node = True, function
        function.edges = tuple(x.node or x for x in tensors)
    return output


def operation(function_class, like=None):
    """The function of tensors that a Function computes, with the arguments of its `forward`, or those of `like`."""
    parameters = [*inspect.signature(like or function_class().forward).parameters.values()]
    count = sum(each.kind is each.POSITIONAL_ONLY for each in parameters) or len(parameters)  # before "/"
    inputs = [each.replace(kind=each.POSITIONAL_OR_KEYWORD) for each in parameters[:count]]
    signature = inspect.Signature([*inputs, *parameters[count:]])

    def function(*arguments, **options):
        if len(arguments) < count:  # an input is named, or left out
            bound = signature.bind(*arguments, **options)
            arguments, options = bound.args, bound.kwargs
        return apply(function_class(), *arguments[:count], options=arguments[count:], **options)

    function.__name__ = function.__qualname__ = getattr(function_class, "name", function_class.__name__.lower())
    function.__doc__, function.__signature__ = function_class.__doc__, signature
    return function
