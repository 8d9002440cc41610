"""The operations: `common` (arithmetic and shapes), `activations`, `losses`, `vision`
(images, NHWC, on the forms of convolution in `convolution` and `winograd`), and `normalisation`.

Each is a function of tensors; beside it stands its `Function`, forward and backward on plain arrays, with the
derivation. By convention dL/d(output) is called `gradient`, or dy in the derivations: if y = f(x), backward
returns dx = dy · ∂y/∂x.
"""

from nunes.autograd.functional.activations import (
    elu, gelu, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, softplus, tanh,
)  # fmt: skip
from nunes.autograd.functional.common import (
    absolute, add, clip, concatenate, divide, exp, getitem, linear, log, matmul, max, mean, min, multiply, negative,
    pad, power, reshape, sqrt, subtract, sum, transpose, var,
)  # fmt: skip
from nunes.autograd.functional.losses import bce_with_logits, cross_entropy, huber, l1, mse, nll
from nunes.autograd.functional.normalisation import batch_norm, local_response_norm
from nunes.autograd.functional.vision import avg_pool2d, conv2d, dropout, dropout2d, flatten, max_pool2d
