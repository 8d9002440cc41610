"""`Tensor`: an ndarray that remembers how it was computed.

The arithmetic operators (`+`, `@` ...) and the methods (`.sum()`, `.reshape()` ...) are the functions of
`nunes.autograd.functional`, whose `common` and `shapes` bind them to this class.
"""

import inspect

import numpy as np

from nunes.autograd.graph import backward, is_recording


class Tensor:
    """An array, its gradient, and the node of the graph that computed it.

    Comparisons, `in` and `bool` are NumPy's, of the array, and so are NumPy's functions, but not its ufuncs, which
    raise TypeError. As a key, in a dict or a set, a tensor is itself alone.

    Args:
        array: anything `np.asarray` takes. Arrays keep their dtype and are not copied; Python numbers and
            lists of them become float32 (or stay integers).
        requires_grad: whether `backward` is to leave a gradient in `.grad`. Only for floating dtypes.
    """

    __slots__ = ("__weakref__", "_data", "grad", "node", "requires_grad", "version")
    __array_ufunc__ = None  # so that ndarray + Tensor comes to Tensor.__radd__

    def __init__(self, array, requires_grad=False):
        if isinstance(array, Tensor):
            raise TypeError("Tensor: the argument is a Tensor already; use .detach() for one outside the graph")
        self._data = np.asarray(array)
        if self.dtype == np.float64 and not isinstance(array, np.ndarray | np.generic):
            self._data = self._data.astype(np.float32)
        kinds, what = ("f", "floating dtypes have gradients") if requires_grad else ("biufc", "numbers make a tensor")
        if self.dtype.kind not in kinds:
            raise TypeError(f"Tensor: only {what}, got {self.dtype}")
        self.grad = None
        self.requires_grad = requires_grad
        self.node = None
        self.version = 0  # counts the changes: an operation knows which version it has seen

    @property
    def data(self):
        """The array. `backward` notices that another one was assigned, but not what was written into this one."""
        return self._data

    @data.setter
    def data(self, array):
        if self.node:
            raise RuntimeError("data: this tensor was computed and belongs to a graph; use .detach() for one outside")
        array = Tensor(plain(array), self.requires_grad).data  # raises as it does
        self._data, self.version = np.asarray(array, order="C"), self.version + 1

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

    def __array_function__(self, function, types, inputs, options):
        """NumPy's functions take the array. Raises TypeError where the answer is numbers that have lost a gradient."""
        tensors = []
        answer = function(*plain(inputs, tensors), **{name: plain(value, tensors) for name, value in options.items()})
        parts = answer if isinstance(answer, list | tuple) else [answer]
        wanted = is_recording() and any(x.requires_grad for x in tensors)
        if wanted and any(np.asarray(part).dtype.kind == "f" for part in parts):
            raise TypeError(f"np.{function.__name__} would lose the gradient; use nunes.autograd.functional, or .data")
        return answer

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
            RuntimeError: `self` does not require a gradient, is not a single number and no `gradient` was given, its
                graph was freed by an earlier call, or a leaf was changed (by an optimizer, a loaded state, `.data =`).
            ValueError: `gradient` is not of the shape of `self`.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: this tensor depends on nothing that requires a gradient")
        if gradient is None:
            if self.size != 1:
                raise RuntimeError(f"backward: shape {self.shape} is not a single number; pass gradient=dL/d(self)")
            gradient = np.ones_like(self.data)
        gradient = np.asarray(plain(gradient), self.dtype)
        if gradient.shape != self.shape:
            raise ValueError(f"backward: gradient has shape {gradient.shape}, the tensor {self.shape}")
        backward(self.node or self, gradient)


def plain(x, seen=None):
    """The array of a tensor; of a list or tuple, the same with arrays; others as they are. Tensors go to `seen`."""
    if isinstance(x, Tensor):
        if seen is not None:
            seen.append(x)
        return x.data
    return type(x)(plain(each, seen) for each in x) if type(x) in (list, tuple) else x


def require_floating(op, **arrays):
    """Raise TypeError, in the name of the operation, for arrays of integers, on which it would go wrong."""
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise TypeError(f"{op}: {name} of shape {array.shape} must be floating, got {array.dtype}")


def apply(function, *inputs, options=(), **named_options):
    """Compute `function.forward` on the inputs' arrays and record it in the graph if any of them needs it.

    Inputs that are not tensors are constants; Python numbers take the dtype of the first floating tensor, so that
    `x * 2.0` stays float32. An input that is None is left out. The options are for `forward` alone.
    Of float16, which is for keeping numbers, not for computing (3000 ones may make 2048), `forward` sees float32.
    """
    dtype = next((x.dtype for x in inputs if isinstance(x, Tensor) and x.dtype.kind == "f"), None)

    def constant(x):
        number = dtype and isinstance(x, int | float)
        return Tensor(np.asarray(x, np.result_type(dtype, np.float32)) if number else x)

    tensors = tuple(x if isinstance(x, Tensor) else constant(x) for x in inputs if x is not None)
    function.needs = tuple(is_recording() and x.requires_grad for x in tensors)
    arrays = [x.data.astype(np.float32) if x.dtype == np.float16 else x.data for x in tensors]
    output = Tensor(function.forward(*arrays, *options, **named_options))
    if any(function.needs):
        output.requires_grad, output.node = True, function
        function.edges = tuple(x.node or x for x in tensors)
        function.versions = tuple(x.version for x in tensors)
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
    function.__doc__, function.__module__ = function_class.__doc__, function_class.__module__
    function.__signature__ = signature
    return function
