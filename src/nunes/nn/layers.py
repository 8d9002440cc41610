"""Layers and losses: the parameters and options of an operation, kept in one object."""

import numpy as np

import nunes.autograd.functional as F
from nunes.nn.module import Buffer, Module, Parameter, module_of


def he_normal(generator, shape, fan_in):
    """N(0, 2 / fan_in), which keeps the variance of activations through ReLU layers (He et al. 2015, eq. 10)."""
    return generator.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / fan_in))


class Conv2d(Module):
    """`F.conv2d` with a weight of shape (kernel, kernel, in_channels / groups, out_channels) and a bias.

    Args:
        generator: an np.random.Generator for the initial weights (He normal); the bias starts at 0.
    """

    def __init__(
        self, in_channels, out_channels, kernel, stride=1, padding=0, dilation=1, groups=1, bias=True, generator=None
    ):
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"Conv2d: groups={groups} must divide the channels {in_channels} and {out_channels}")
        generator = generator or np.random.default_rng()
        shape = (kernel, kernel, in_channels // groups, out_channels)
        self.weight = Parameter(he_normal(generator, shape, fan_in=np.prod(shape[:3])))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None
        self.options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, **self.options)


class Linear(Module):
    """`F.linear` with a weight of shape (in_features, out_features), He normal, and a bias, 0."""

    def __init__(self, in_features, out_features, bias=True, generator=None):
        generator = generator or np.random.default_rng()
        self.weight = Parameter(he_normal(generator, (in_features, out_features), in_features))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class BatchNorm(Module):
    """`F.batch_norm` over the last axis, of (N, C) as of (N, H, W, C); the running statistics are buffers."""

    def __init__(self, channels, momentum=0.1, eps=1e-5):
        self.weight = Parameter(np.ones(channels, np.float32))
        self.bias = Parameter(np.zeros(channels, np.float32))
        self.running_mean = Buffer(np.zeros(channels, np.float32))
        self.running_var = Buffer(np.ones(channels, np.float32))
        self.momentum, self.eps = momentum, eps

    def forward(self, x):
        running = self.running_mean.data, self.running_var.data
        return F.batch_norm(x, self.weight, self.bias, *running, self.training, self.momentum, self.eps)


class Dropout(Module):
    """`F.dropout` while training, the identity in evaluation. `generator` draws the masks; it may be replaced."""

    function = staticmethod(F.dropout)

    def __init__(self, p=0.5, generator=None):
        if not 0 <= p < 1:
            raise ValueError(f"{type(self).__name__}: p must be in [0, 1), got {p}")
        self.p = p
        self.generator = generator or np.random.default_rng()

    def forward(self, x):
        return self.function(x, self.p, self.training, self.generator)


class Dropout2d(Dropout):
    """`F.dropout2d`: whole channels are dropped."""

    function = staticmethod(F.dropout2d)


# Functions without parameters, for `Sequential`; options of the function are given to the constructor.
ReLU = module_of("ReLU", F.relu)
LeakyReLU = module_of("LeakyReLU", F.leaky_relu)
ELU = module_of("ELU", F.elu)
GELU = module_of("GELU", F.gelu)
SiLU = module_of("SiLU", F.silu)
Sigmoid = module_of("Sigmoid", F.sigmoid)
Tanh = module_of("Tanh", F.tanh)
Softplus = module_of("Softplus", F.softplus)
Softmax = module_of("Softmax", F.softmax)
LogSoftmax = module_of("LogSoftmax", F.log_softmax)
Flatten = module_of("Flatten", F.flatten)
MaxPool2d = module_of("MaxPool2d", F.max_pool2d)
AvgPool2d = module_of("AvgPool2d", F.avg_pool2d)
LocalResponseNorm = module_of("LocalResponseNorm", F.local_response_norm)

# Losses: what training makes small. Each returns a single number, the mean over the batch.
CrossEntropyLoss = module_of("CrossEntropyLoss", F.cross_entropy)
NLLLoss = module_of("NLLLoss", F.nll)
MSELoss = module_of("MSELoss", F.mse)
L1Loss = module_of("L1Loss", F.l1)
HuberLoss = module_of("HuberLoss", F.huber)
BCEWithLogitsLoss = module_of("BCEWithLogitsLoss", F.bce_with_logits)
