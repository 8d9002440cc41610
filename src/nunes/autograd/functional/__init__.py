"""The operations: `common` (arithmetic), `shapes` (reductions too), `activations`, `losses`, `vision`
(images, NHWC, on the forms of convolution in `convolution` and `winograd`), and `normalisation`.

Each is a function of tensors; beside it stands its `Function`, forward and backward on plain arrays, with the
derivation. By convention dL/d(output) is called `gradient`, or dy in the derivations: if y = f(x), backward
returns dx = dy · ∂y/∂x.
"""

from nunes.autograd.functional.activations import (
    elu, gelu, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, softplus, tanh,
)  # fmt: skip
from nunes.autograd.functional.common import (
    absolute, add, clip, divide, exp, linear, log, matmul, multiply, negative, power, sqrt, subtract,
)  # fmt: skip
from nunes.autograd.functional.losses import bce_with_logits, cross_entropy, huber, l1, mse, nll
from nunes.autograd.functional.normalisation import batch_norm, local_response_norm
from nunes.autograd.functional.shapes import (
    concatenate, flatten, getitem, max, mean, min, pad, reshape, sum, transpose, var,
)  # fmt: skip
from nunes.autograd.functional.vision import avg_pool2d, conv2d, dropout, dropout2d, max_pool2d
