"""Losses: what training makes small. Each returns a single number, the mean over the batch."""

import nunes.autograd.functional as F
from nunes.nn.module import Module


class Loss(Module):
    """Base of all: applies `function` to (prediction, target) with the options given."""

    function = None

    def __init__(self, **options):
        self.options = options

    def forward(self, prediction, target):
        return type(self).function(prediction, target, **self.options)


def _loss(name, function):
    return type(name, (Loss,), {"function": staticmethod(function), "__doc__": f"`F.{function.__name__}`."})


CrossEntropyLoss = _loss("CrossEntropyLoss", F.cross_entropy)
NLLLoss = _loss("NLLLoss", F.nll)
MSELoss = _loss("MSELoss", F.mse)
L1Loss = _loss("L1Loss", F.l1)
HuberLoss = _loss("HuberLoss", F.huber)
BCEWithLogitsLoss = _loss("BCEWithLogitsLoss", F.bce_with_logits)
