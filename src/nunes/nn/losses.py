"""Losses: what training makes small. Each returns a single number, the mean over the batch."""

import nunes.autograd.functional as F
from nunes.nn.module import Module


class CrossEntropyLoss(Module):
    """`F.cross_entropy`: (N, K) logits and (N,) integer labels -> ()."""

    def forward(self, logits, labels):
        return F.cross_entropy(logits, labels)


class MSELoss(Module):
    """The mean squared difference of two tensors of one shape."""

    def forward(self, prediction, target):
        if prediction.shape != target.shape:
            raise ValueError(f"MSELoss: shapes {prediction.shape} and {target.shape} differ")
        return ((prediction - target) ** 2).mean()
