"""Normalisation: of each value by its neighbouring channels (AlexNet's), and of each channel over the batch."""

import numpy as np

from nunes import parallel
from nunes.autograd.functional.vision import check_images
from nunes.autograd.graph import Function
from nunes.tensor import apply, operation, plain, require_floating


class LocalResponseNorm(Function):
    """Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3). (N, H, W, C) -> same

    y_c = x_c / (k + alpha · Σ x_c'²)^beta over the `size` (odd) channels around c. As in the paper, and in
    TensorFlow, alpha multiplies the sum; PyTorch and Caffe divide it by `size` first.
    """

    name = "local_response_norm"

    def _window_sums(self, ufunc, *arrays):
        """Σ over the neighbouring channels of `ufunc(*arrays)`, (R, C). The rows lie behind each other, with zeros
        before and between, so that their shifted sums are sums of one long array."""
        (rows, channels), dtype, half = arrays[0].shape, arrays[0].dtype, self.half
        flat = parallel.scratch("squares", (half + rows * (channels + half),), dtype)
        flat[:half] = 0
        inside = flat[half:].reshape(rows, channels + half)
        inside[:, channels:] = 0
        ufunc(*arrays, out=inside[:, :channels])
        count = len(flat) - 2 * half
        sums = parallel.scratch("sums", flat.shape, dtype)
        sums[:count] = flat[:count]
        for shift in range(1, 2 * half + 1):
            sums[:count] += flat[shift : shift + count]
        return sums[: inside.size].reshape(inside.shape)[:, :channels]

    def _inverse_power(self, d, out):
        """d^−β; for AlexNet's β = 3/4 as 1 / (√d · √√d), several times faster than a general power."""
        if self.beta != 0.75:
            return np.power(d, -self.beta, out=out)
        np.sqrt(d, out=out)
        np.multiply(out, np.sqrt(out), out=out)
        return np.divide(1, out, out=out)

    def forward(self, x, /, size=5, alpha=1e-4, beta=0.75, k=2.0):
        check_images(self.name, x)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"{self.name}: size must be odd and positive, got {size}")
        self.x, self.half, self.alpha, self.beta = x, size // 2, alpha, beta
        self.d, self.scale, y = (parallel.empty(x.shape, x.dtype) for _ in range(3))

        def work(x, d, scale, y):
            np.multiply(self._window_sums(np.square, x), alpha, out=d)  # d_c = k + α·Σ_{|c' − c| ≤ n/2} x_c'²
            d += k
            np.multiply(x, self._inverse_power(d, scale), out=y)

        parallel.elementwise(work, x, self.d, self.scale, y, row=x.shape[3:])
        return y

    def backward(self, gradient):
        # y_i = x_i·d_i^−β and ∂d_i/∂x_j = 2α·x_j if j is in i's window (then i is in j's: it is symmetric), so
        # dx_j = dy_j·d_j^−β − 2αβ·x_j·Σ_{i in j's window} dy_i·x_i·d_i^(−β−1)
        dx = parallel.empty(self.x.shape, self.x.dtype)

        def work(x, d, scale, dy, dx):
            np.multiply(dy, scale, out=dx)
            part = np.multiply(dx, x)
            np.multiply(self._window_sums(np.divide, part, d), x, out=part)
            part *= 2 * self.alpha * self.beta
            dx -= part

        parallel.elementwise(work, self.x, self.d, self.scale, gradient, dx, row=dx.shape[3:])
        return dx


class BatchNorm(Function):
    """y = γ·x̂ + β with x̂ = (x − μ)/σ; μ and σ² = variance + ε are each channel's, over all other axes."""

    def forward(self, x, weight, bias, /, eps):
        self.axes = tuple(range(x.ndim - 1))
        self.mean, self.var = x.mean(axis=self.axes), x.var(axis=self.axes)
        self.weight, self.sigma = weight, np.sqrt(self.var + eps)
        self.normal = (x - self.mean) / self.sigma
        return weight * self.normal + bias

    def backward(self, gradient):
        # dβ = Σ dy and dγ = Σ dy·x̂. With dx̂ = γ·dy, over M = N·H·W values: x̂ depends on x directly, through μ
        # (∂x̂/∂μ = −1/σ) and through σ (∂x̂/∂σ = −x̂/σ, ∂σ/∂x = x̂/M), so
        #   dx = (dx̂ − mean(dx̂) − x̂·mean(dx̂·x̂)) / σ
        dbias, dweight = gradient.sum(axis=self.axes), (gradient * self.normal).sum(axis=self.axes)
        count = gradient.size // len(dbias)
        dx = gradient - dbias / count - self.normal * (dweight / count)
        return dx * (self.weight / self.sigma), dweight, dbias


local_response_norm = operation(LocalResponseNorm)


def batch_norm(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    """Normalise each channel, the last axis, over all others (Ioffe & Szegedy 2015). (..., C) -> same

    Args:
        weight, bias: (C,), the scale γ and the shift β.
        running_mean, running_var: (C,). In training the batch's own statistics are used, and these are moved
            towards them by `momentum`, in place (with the unbiased variance, as in PyTorch); otherwise these are used.

    Raises:
        ValueError: a shape does not fit, or there is but one value a channel to train with. TypeError: integers.
    """
    arrays = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    for name, array in arrays.items():
        if x.ndim < 2 or array.shape != x.shape[-1:]:
            raise ValueError(f"batch_norm: {name} has shape {array.shape}, x {x.shape}: needs (C,) and (..., C)")
    require_floating("batch_norm", x=x, **arrays)
    running_mean, running_var = plain(running_mean), plain(running_var)
    if not training:
        scale = weight / np.sqrt(running_var + np.result_type(x.dtype, np.float32).type(eps))
        return x * scale + (bias - running_mean * scale)
    count = x.size // x.shape[-1]
    if count < 2:
        raise ValueError(f"batch_norm: x of shape {x.shape} has one value a channel, which has no variance")
    function = BatchNorm()
    y = apply(function, x, weight, bias, eps=eps)
    running_mean += momentum * (function.mean - running_mean)
    running_var += momentum * (function.var * (count / (count - 1)) - running_var)
    return y
