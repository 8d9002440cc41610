"""Layers and losses as objects: `Module` keeps parameters, the mathematics is in `nunes.autograd.functional`."""

from nunes.nn.activations import ReLU, Sigmoid, Softmax, Tanh
from nunes.nn.layers import Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d
from nunes.nn.losses import CrossEntropyLoss, MSELoss
from nunes.nn.module import Module, Parameter, Sequential
