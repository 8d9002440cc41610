"""Layers and losses as objects: `Module` keeps parameters, the mathematics is in `nunes.autograd.functional`."""

from nunes.nn.layers import (
    AvgPool2d, BatchNorm, BCEWithLogitsLoss, Conv2d, CrossEntropyLoss, Dropout, Dropout2d, ELU, Flatten, GELU,
    HuberLoss, L1Loss, LeakyReLU, Linear, LocalResponseNorm, LogSoftmax, MaxPool2d, MSELoss, NLLLoss, ReLU, Sigmoid,
    SiLU, Softmax, Softplus, Tanh,
)  # fmt: skip
from nunes.nn.module import Buffer, Module, Parameter, Sequential
