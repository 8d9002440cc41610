"""Layers and losses as objects: `Module` keeps parameters, the mathematics is in `nunes.autograd.functional`."""

from nunes.nn.activations import (
    ELU, GELU, Flatten, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh,
)  # fmt: skip
from nunes.nn.layers import (
    AvgPool2d, BatchNorm, Conv2d, Dropout, Dropout2d, Linear, LocalResponseNorm, MaxPool2d,
)  # fmt: skip
from nunes.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, L1Loss, MSELoss, NLLLoss
from nunes.nn.module import Buffer, Module, Parameter, Sequential
