"""The operations: `common` (arithmetic and shapes), `activations`, and `vision` (images, NHWC).

Each is a function of tensors; beside it stands its `Function`, forward and backward on plain arrays, with the
derivation. By convention dL/d(output) is called `gradient`, or dy in the derivations: if y = f(x), backward
returns dx = dy · ∂y/∂x.
"""

from nunes.autograd.functional.activations import cross_entropy, log_softmax, relu, sigmoid, softmax, tanh
from nunes.autograd.functional.common import (
    absolute, add, clip, concatenate, divide, exp, getitem, linear, log, matmul, mean, multiply, negative, power,
    reshape, sqrt, subtract, sum, transpose,
)  # fmt: skip
from nunes.autograd.functional.vision import conv2d, dropout, flatten, local_response_norm, max_pool2d
