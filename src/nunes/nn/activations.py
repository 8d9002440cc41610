"""Activations as modules, for `Sequential`."""

import nunes.autograd.functional as F
from nunes.nn.module import Module


class ReLU(Module):
    """`F.relu`."""

    def forward(self, x):
        return F.relu(x)


class Sigmoid(Module):
    """`F.sigmoid`."""

    def forward(self, x):
        return F.sigmoid(x)


class Tanh(Module):
    """`F.tanh`."""

    def forward(self, x):
        return F.tanh(x)


class Softmax(Module):
    """`F.softmax` along `axis`."""

    def __init__(self, axis=-1):
        self.axis = axis

    def forward(self, x):
        return F.softmax(x, self.axis)
