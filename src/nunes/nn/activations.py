"""Activations as modules, for `Sequential`; options of the function are given to the constructor."""

import nunes.autograd.functional as F
from nunes.nn.module import Module


class Activation(Module):
    """Base of all: applies `function` with the options given."""

    function = None

    def __init__(self, *options, **named_options):
        self.options, self.named_options = options, named_options

    def forward(self, x):
        return type(self).function(x, *self.options, **self.named_options)


def _activation(name, function):
    return type(name, (Activation,), {"function": staticmethod(function), "__doc__": f"`F.{function.__name__}`."})


ReLU = _activation("ReLU", F.relu)
LeakyReLU = _activation("LeakyReLU", F.leaky_relu)
ELU = _activation("ELU", F.elu)
GELU = _activation("GELU", F.gelu)
SiLU = _activation("SiLU", F.silu)
Sigmoid = _activation("Sigmoid", F.sigmoid)
Tanh = _activation("Tanh", F.tanh)
Softplus = _activation("Softplus", F.softplus)
Softmax = _activation("Softmax", F.softmax)
LogSoftmax = _activation("LogSoftmax", F.log_softmax)
Flatten = _activation("Flatten", F.flatten)
