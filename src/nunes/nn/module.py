"""`Module`: something with parameters that computes; `Sequential`: modules one after the other."""

import numpy as np

from nunes.tensor import Tensor


class Parameter(Tensor):
    """A tensor that is learned: it requires a gradient, and modules list it. The array is copied."""

    __slots__ = ()

    def __init__(self, array):
        super().__init__(np.array(array, order="C"), requires_grad=True)


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

    def named_parameters(self, prefix=""):
        """(name, parameter) for all parameters, in the order of definition: ("conv1.weight", ...), ..."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value
        for name, child in self.children():
            yield from child.named_parameters(f"{prefix}{name}.")

    def parameters(self):
        """All parameters, in the order of definition."""
        return [parameter for _, parameter in self.named_parameters()]

    def train(self, training=True):
        """Switch training behaviour (dropout) on; returns the module."""
        for module in self.modules():
            module.training = training
        return self

    def eval(self):
        """Switch training behaviour off; returns the module."""
        return self.train(False)

    def zero_grad(self):
        """Forget the gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def astype(self, dtype):
        """Convert the parameters in place, e.g. to float64 for checking gradients; returns the module."""
        for parameter in self.parameters():
            parameter.data, parameter.grad = parameter.data.astype(dtype, order="C"), None
        return self

    def state_dict(self):
        """{name: a copy of the array} of all parameters."""
        return {name: parameter.data.copy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state):
        """Copy arrays into the parameters. Raises ValueError naming what is missing, unexpected or mis-shaped,
        and then changes nothing."""
        parameters = dict(self.named_parameters())
        problems = [f"missing {name}" for name in parameters if name not in state]
        problems += [f"unexpected {name}" for name in state if name not in parameters]
        problems += [
            f"{name} has shape {np.shape(state[name])} instead of {parameter.shape}"
            for name, parameter in parameters.items()
            if name in state and np.shape(state[name]) != parameter.shape
        ]
        if problems:
            raise ValueError(f"load_state_dict: {'; '.join(problems)}")
        for name, parameter in parameters.items():
            parameter.data = np.array(state[name], parameter.dtype, order="C")


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
