"""Operations on images: batches in NHWC order, (N, H, W, C), weights in HWIO order, (KH, KW, C/groups, O).

Convolution is a matrix product. `windows` views every patch that the kernel visits, without copying; gathering
the patches as rows ("columns" in the literature: im2col) turns the convolution into columns @ weight:

    y[n, i, j, o] = Σ_{u,v,c} x[n, i·s + u·d, j·s + v·d, c] · w[u, v, c, o] + b[o]      stride s, dilation d
    y             = columns @ w           (N·OH·OW, KH·KW·C) @ (KH·KW·C, O)

The batch is cut into chunks whose columns fit the cache, and the chunks are spread over the threads.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nunes import parallel
from nunes.autograd.graph import Function
from nunes.tensor import apply


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    """How many positions a kernel has along an axis of `size` pixels."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def pad_images(x, padding, value=0):
    """Surround each image with `padding` pixels of `value`. (N, H, W, C) -> (N, H + 2p, W + 2p, C)"""
    if padding == 0:
        return x
    return np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), constant_values=value)


def windows(x, kernel, stride, dilation=1):
    """A view of all patches. (N, H, W, C) -> (N, OH, OW, KH, KW, C)"""
    reach = [dilation * (k - 1) + 1 for k in kernel]
    patches = sliding_window_view(x, reach, axis=(1, 2))  # (N, ·, ·, C, reach, reach)
    return patches[:, ::stride, ::stride, :, ::dilation, ::dilation].transpose(0, 1, 2, 4, 5, 3)


def tap(x, u, v, stride, height, width):
    """The view of the pixels that kernel element (u, v) meets. (N, H, W, C) -> (N, height, width, C)"""
    return x[:, u : u + stride * (height - 1) + 1 : stride, v : v + stride * (width - 1) + 1 : stride]


class Conv2d(Function):
    def __init__(self, stride, padding, dilation, groups):
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, x, weight, bias=None):
        self.x, self.weight = x, weight
        y = np.empty((len(x), *self._output_shape(x.shape), weight.shape[3]), np.result_type(x, weight))

        def work(chunk):
            for (_, outputs), columns, w in self._column_groups(chunk):
                rows = columns @ w
                if bias is not None:
                    rows += bias[outputs]
                y[chunk, ..., outputs] = rows.reshape(*y[chunk].shape[:3], -1)

        parallel.run(work, self._chunks())
        return y

    def backward(self, gradient):
        # With rows for (n, i, j): y = columns @ w + b, so
        #   dw = columnsᵀ @ dy        (KH·KW·C, rows) @ (rows, O)
        #   db = Σ_rows dy
        #   dcolumns = dy @ wᵀ        and every pixel sums the gradients of all columns that it was copied to.
        dx = np.zeros(self.x.shape, gradient.dtype) if self.needs[0] else None

        def work(chunk):
            dw = np.empty(self.weight.shape, gradient.dtype) if self.needs[1] else None
            padded = pad_images(np.zeros_like(self.x[chunk]), self.padding) if self.needs[0] else None
            for (inputs, outputs), columns, w in self._column_groups(chunk, gather=self.needs[1]):
                dy = gradient[chunk, ..., outputs].reshape(-1, w.shape[1])
                if self.needs[1]:
                    dw[..., outputs] = (columns.T @ dy).reshape(*self.weight.shape[:3], -1)
                if self.needs[0]:
                    self._scatter(dy @ w.T, padded[..., inputs], gradient.shape[1:3])
            if self.needs[0]:
                height, width = self.x.shape[1:3]
                dx[chunk] = tap(padded, self.padding, self.padding, 1, height, width)
            return dw

        partial = parallel.run(work, self._chunks())
        dw = sum(partial[1:], start=partial[0]) if self.needs[1] else None
        db = gradient.sum(axis=(0, 1, 2)) if len(self.needs) == 3 else None
        return (dx, dw, db)[: len(self.needs)]

    def _output_shape(self, shape):
        sizes = zip(shape[1:3], self.weight.shape[:2], strict=True)
        return tuple(output_size(size, kernel, self.stride, self.padding, self.dilation) for size, kernel in sizes)

    def _chunks(self):
        height, width = self._output_shape(self.x.shape)
        columns = height * width * self.weight[..., 0].size * self.x.itemsize
        return parallel.image_chunks(len(self.x), columns)

    def _column_groups(self, chunk, gather=True):
        """For each group: its input and output channels, its columns of this chunk, its weight as a matrix."""
        kernel, per_group = self.weight.shape[:2], self.weight.shape[2]
        patches = windows(pad_images(self.x[chunk], self.padding), kernel, self.stride, self.dilation)
        for group in range(self.groups):
            inputs = slice(group * per_group, (group + 1) * per_group)
            per_output = self.weight.shape[3] // self.groups
            outputs = slice(group * per_output, (group + 1) * per_output)
            w = self.weight[..., outputs].reshape(-1, per_output)  # (KH·KW·C/groups, O/groups)
            columns = patches[..., inputs].reshape(-1, len(w)) if gather else None
            yield (inputs, outputs), columns, w

    def _scatter(self, dcolumns, padded, output_shape):
        """Add the columns' gradients to the pixels they came from: one shifted addition a kernel element."""
        (kh, kw), d = self.weight.shape[:2], self.dilation
        dcolumns = dcolumns.reshape(len(padded), *output_shape, kh, kw, -1)
        for u in range(kh):
            for v in range(kw):
                target = tap(padded, u * d, v * d, self.stride, *output_shape)
                target += dcolumns[:, :, :, u, v]


class MaxPool2d(Function):
    def __init__(self, kernel, stride, padding):
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def _taps(self, x, height, width):
        for index in range(self.kernel**2):
            yield index, tap(x, *divmod(index, self.kernel), self.stride, height, width)

    def forward(self, x):
        self.shape = x.shape
        sizes = [output_size(size, self.kernel, self.stride, self.padding) for size in x.shape[1:3]]
        y = np.empty((len(x), *sizes, x.shape[3]), x.dtype)
        self.winner = np.zeros(y.shape, np.uint8 if self.kernel <= 16 else np.uint16)

        def work(chunk):
            best, winner = y[chunk], self.winner[chunk]
            for index, values in self._taps(pad_images(x[chunk], self.padding, -np.inf), *sizes):
                if index == 0:
                    best[...] = values
                    continue
                winner[values > best] = index  # strictly: of equal values the first one wins
                np.maximum(best, values, out=best)

        parallel.run(work, self._chunks())
        return y

    def backward(self, gradient):  # the whole gradient goes to the winner; overlapping windows add up
        dx = np.empty(self.shape, gradient.dtype)
        p = self.padding

        def work(chunk):
            padded = pad_images(np.zeros_like(dx[chunk]), p)
            for index, target in self._taps(padded, *gradient.shape[1:3]):
                target += gradient[chunk] * (self.winner[chunk] == index)
            dx[chunk] = tap(padded, p, p, 1, *self.shape[1:3])

        parallel.run(work, self._chunks())
        return dx

    def _chunks(self):
        return parallel.image_chunks(self.shape[0], 4 * int(np.prod(self.shape[1:])))


class LocalResponseNorm(Function):
    """y = x / d^β with d_c = k + α·Σ_{|c' − c| ≤ n/2} x_c'², the sum running over neighbouring channels."""

    def __init__(self, size, alpha, beta, k):
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def _window_sum(self, x):
        """Σ over the `size` neighbouring channels, zeros beyond the ends. (..., C) -> (..., C)"""
        total, channels = x.copy(), x.shape[-1]
        for shift in range(1, min(self.size // 2 + 1, channels)):
            total[..., shift:] += x[..., :-shift]
            total[..., :-shift] += x[..., shift:]
        return total

    def _inverse_power(self, d):
        """d^−β; for AlexNet's β = 3/4 as 1 / (√d · √√d), several times faster than a general power."""
        if self.beta != 0.75:
            return d**-self.beta
        root = np.sqrt(d)
        root *= np.sqrt(root)
        return np.divide(1, root, out=root)

    def forward(self, x):
        self.x = x
        self.d, self.scale = np.empty_like(x), np.empty_like(x)
        y = np.empty_like(x)

        def work(chunk):
            d = self._window_sum(np.square(x[chunk]))
            d *= self.alpha
            d += self.k
            self.d[chunk], self.scale[chunk] = d, self._inverse_power(d)
            np.multiply(x[chunk], self.scale[chunk], out=y[chunk])

        parallel.run(work, self._chunks())
        return y

    def backward(self, gradient):
        # y_i = x_i·d_i^−β and ∂d_i/∂x_j = 2α·x_j if j is in i's window (then i is in j's: it is symmetric), so
        # dx_j = dy_j·d_j^−β − 2αβ·x_j·Σ_{i in j's window} dy_i·x_i·d_i^(−β−1)
        dx = np.empty_like(self.x)

        def work(chunk):
            dy, scale = gradient[chunk], self.scale[chunk]
            inner = dy * self.x[chunk]
            inner *= scale
            inner /= self.d[chunk]
            inner = self._window_sum(inner)
            inner *= self.x[chunk]
            inner *= -2 * self.alpha * self.beta
            inner += dy * scale
            dx[chunk] = inner

        parallel.run(work, self._chunks())
        return dx

    def _chunks(self):
        return parallel.image_chunks(len(self.x), 4 * self.x[:1].nbytes)


class Dropout(Function):
    def __init__(self, p, generator):
        self.p, self.generator = p, generator

    def forward(self, x):
        # The kept ones are scaled up, so that the expectation is x and evaluation needs no scaling.
        keep = self.generator.random(x.shape, np.float32) >= self.p
        self.scale = keep * x.dtype.type(1 / (1 - self.p))
        return x * self.scale

    def backward(self, gradient):
        return gradient * self.scale


def _check_images(op, x, reach=(1, 1), padding=0, **steps):
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"{op}: x must be (N, H, W, C), none of them 0; got shape {x.shape}")
    for name, value in steps.items():
        if value < 1:
            raise ValueError(f"{op}: {name} must be at least 1, got {value}")
    if any(size + 2 * padding < k for size, k in zip(x.shape[1:3], reach, strict=True)):
        raise ValueError(
            f"{op}: the {reach[0]}×{reach[1]} kernel is larger than the images {x.shape}, padding {padding}"
        )


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlate images with kernels ("convolution" in the literature of networks).

    Args:
        x: (N, H, W, C).
        weight: (KH, KW, C / groups, O).
        bias: (O,) or None.
        stride, dilation: steps between the kernel's positions, and between its elements, in pixels.
        padding: zeros added on each side.
        groups: the channels are split in that many groups, which do not see each other (AlexNet's two GPUs).

    Returns:
        (N, OH, OW, O), OH = (H + 2·padding − dilation·(KH − 1) − 1) // stride + 1.

    Raises:
        ValueError: the shapes do not fit each other or `groups`.
    """
    if groups < 1:
        raise ValueError(f"conv2d: groups must be at least 1, got {groups}")
    if weight.ndim != 4:
        raise ValueError(f"conv2d: weight must be (KH, KW, C / groups, O), got shape {weight.shape}")
    if x.ndim == 4 and (x.shape[3] != weight.shape[2] * groups or weight.shape[3] % groups):
        raise ValueError(
            f"conv2d: x has {x.shape[3]} channels and weight {weight.shape}, which do not fit groups={groups}: "
            f"x needs {weight.shape[2]}·groups channels, and groups must divide the outputs"
        )
    if bias is not None and bias.shape != weight.shape[3:]:
        raise ValueError(f"conv2d: bias must be ({weight.shape[3]},), got {bias.shape}")
    reach = [dilation * (k - 1) + 1 for k in weight.shape[:2]]
    _check_images("conv2d", x, reach, padding, stride=stride, dilation=dilation)
    return apply(Conv2d(stride, padding, dilation, groups), x, weight, *([] if bias is None else [bias]))


def max_pool2d(x, kernel, stride=None, padding=0):
    """The maximum of each kernel × kernel window. (N, H, W, C) -> (N, OH, OW, C)

    `stride` defaults to `kernel`; padding is with −∞. The gradient goes to the first maximum of a window.
    Raises ValueError if x is not a batch of images at least as large as the kernel.
    """
    stride = kernel if stride is None else stride
    _check_images("max_pool2d", x, (kernel, kernel), padding, kernel=kernel, stride=stride)
    if 2 * padding > kernel:
        raise ValueError(f"max_pool2d: padding {padding} is more than half of the kernel {kernel}")
    return apply(MaxPool2d(kernel, stride, padding), x)


def local_response_norm(x, size=5, alpha=1e-4, beta=0.75, k=2.0):
    """Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3). (N, H, W, C) -> same

    y_c = x_c / (k + alpha · Σ x_c'²)^beta over the `size` (odd) channels around c. As in the paper, and in
    TensorFlow, alpha multiplies the sum; PyTorch and Caffe divide it by `size` first.
    """
    _check_images("local_response_norm", x)
    if size % 2 == 0:
        raise ValueError(f"local_response_norm: size must be odd, got {size}")
    return apply(LocalResponseNorm(size, alpha, beta, k), x)


def dropout(x, p=0.5, training=True, generator=None):
    """Set each element to 0 with probability p and scale the others by 1/(1 − p); the identity if not training."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be in [0, 1), got {p}")
    if not training or p == 0:
        return x
    return apply(Dropout(p, generator or np.random.default_rng()), x)


def flatten(x):
    """(N, H, W, C) -> (N, H·W·C)"""
    return x.reshape(len(x), -1)
