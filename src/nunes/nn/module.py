"""`Module`: something with parameters that computes; `Sequential`: modules one after the other."""

import inspect
import os
import sys
import zipfile
from pathlib import Path

import numpy as np

from nunes.tensor import Tensor


class Parameter(Tensor):
    """A tensor that is learned: it requires a gradient, and modules list it. The array is copied."""

    __slots__ = ()

    def __init__(self, array):
        super().__init__(np.array(array, order="C"), requires_grad=True)


class Buffer(Tensor):
    """A tensor that belongs to a module's state but is not learned, as running statistics. The array is copied."""

    __slots__ = ()

    def __init__(self, array):
        super().__init__(np.array(array, order="C"))


class Module:
    """A layer, a loss or a network. Parameters and modules assigned as attributes are found by their names."""

    training = True

    def forward(self, *inputs):
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *inputs):
        return self.forward(*inputs)

    def children(self):
        """(name, module) for each module that is an attribute of this one."""
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Module)]

    def modules(self):
        """This module and all below it."""
        yield self
        for _, child in self.children():
            yield from child.modules()

    def named_tensors(self, kind, prefix="", seen=None):
        """(name, tensor) for all tensors of one kind, Parameter or Buffer, in the order of definition; what is shared
        comes once, under its first name."""
        seen = set() if seen is None else seen
        for name, value in vars(self).items():
            if isinstance(value, kind) and value not in seen:
                seen.add(value)
                yield prefix + name, value
        for name, child in self.children():
            yield from child.named_tensors(kind, f"{prefix}{name}.", seen)

    def named_parameters(self):
        """(name, parameter) for all parameters, in the order of definition: ("conv1.weight", ...), ..."""
        return self.named_tensors(Parameter)

    def parameters(self):
        """All parameters, in the order of definition."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self):
        """(name, buffer) for all buffers."""
        return self.named_tensors(Buffer)

    def train(self, training=True):
        """Switch training behaviour (dropout) on; returns the module."""
        for module in self.modules():
            module.training = training
        return self

    def eval(self):
        """Switch training behaviour off; returns the module."""
        return self.train(False)

    def reseed_dropout(self, *seed):
        """Restart the dropout masks from `seed`, so that a resumed training draws what an uninterrupted one does."""
        generator = np.random.default_rng(seed)
        for module in self.modules():
            if hasattr(module, "generator"):
                module.generator = generator

    def zero_grad(self):
        """Forget the gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def astype(self, dtype):
        """Convert parameters and buffers in place, e.g. to float64 for checking gradients; returns the module."""
        for _, tensor in self.named_tensors((Parameter, Buffer)):
            tensor.data, tensor.grad = tensor.data.astype(dtype, order="C"), None
        return self

    def state_dict(self):
        """{name: a copy of the array} of all parameters and buffers."""
        return {name: tensor.data.copy() for name, tensor in self.named_tensors((Parameter, Buffer))}

    def load_state_dict(self, state):
        """Copy arrays into parameters and buffers. Raises ValueError naming what is missing, unexpected or mis-shaped,
        and then changes nothing."""
        tensors = dict(self.named_tensors((Parameter, Buffer)))
        problems = [f"missing {name}" for name in tensors if name not in state]
        problems += [f"unexpected {name}" for name in state if name not in tensors]
        problems += [
            f"{name} has shape {np.shape(state[name])} instead of {tensor.shape}"
            for name, tensor in tensors.items()
            if name in state and np.shape(state[name]) != tensor.shape
        ]
        if problems:
            raise ValueError(f"load_state_dict: {'; '.join(problems)}")
        arrays = {tensor: np.array(state[name], tensor.dtype, order="C") for name, tensor in tensors.items()}
        for tensor, array in arrays.items():
            tensor.data = array

    def save(self, path):
        """Write the state into a file, an `.npz` of plain arrays; a file that is there is replaced when it is whole."""
        partial = Path(f"{path}.partial")
        with open(partial, "wb") as file:
            np.savez(file, **self.state_dict())
        os.replace(partial, path)

    def load(self, path):
        """Load what `save` wrote; nothing in the file is executed. Returns the module.

        Raises:
            ValueError: the file is not such an archive, or its entries are not this module's, which are named.
            FileNotFoundError: there is none.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                state = dict(arrays)
        except (zipfile.BadZipFile, EOFError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"load: {path} is not an .npz of plain arrays ({error})") from None
        self.load_state_dict(state)
        return self


class Sequential(Module):
    """Modules applied one after the other, numbered or named: Sequential(a, b) or Sequential(first=a, second=b)."""

    def __init__(self, *modules, **named_modules):
        names = {str(index): module for index, module in enumerate(modules)} | named_modules
        for name, module in names.items():
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: {name} is not a Module but {module!r}")
        vars(self).update(names)

    def forward(self, x):
        for _, module in self.children():
            x = module(x)
        return x


class FunctionModule(Module):
    """A function without parameters as a module; options of the function are given to the constructor."""

    function = None

    def __init__(self, *options, **named_options):
        inspect.signature(self.function).bind_partial(None, *options, **named_options)  # TypeError if misspelt
        self.options, self.named_options = options, named_options

    def forward(self, *inputs):
        return self.function(*inputs, *self.options, **self.named_options)


def module_of(name, function):
    """The class of modules that apply `function`; pickles find it in the file that calls."""
    parts = {"__doc__": f"`F.{function.__name__}`.", "__module__": sys._getframe(1).f_globals["__name__"]}
    return type(name, (FunctionModule,), {"function": staticmethod(function), **parts})
