"""Operations on images: batches in NHWC order, (N, H, W, C), weights in HWIO order, (KH, KW, C/groups, O).

Convolution is a matrix product. `windows` views every patch that the kernel visits, without copying; gathering
the patches as rows ("columns" in the literature: im2col) turns the convolution into columns @ weight:

    y[n, i, j, o] = Σ_{u,v,c} x[n, i·s + u·d, j·s + v·d, c] · w[u, v, c, o] + b[o]      stride s, dilation d
    y             = columns @ w           (N·OH·OW, KH·KW·C) @ (KH·KW·C, O)

The batch is cut into chunks whose columns fit the cache, and the chunks are spread over the threads.
"""

import numpy as np

from nunes import parallel
from nunes.autograd.functional.convolution import Conv2d, output_size, pad_images, tap
from nunes.autograd.functional.winograd import WinogradConv2d, multiplications
from nunes.autograd.graph import Function
from nunes.tensor import apply


class MaxPool2d(Function):
    def __init__(self, kernel, stride, padding):
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def _taps(self, x, height, width):
        for index in range(self.kernel**2):
            yield index, tap(x, *divmod(index, self.kernel), self.stride, height, width)

    def forward(self, x):
        self.shape = x.shape
        sizes = [output_size(size, self.kernel, self.stride, self.padding) for size in x.shape[1:3]]
        y = parallel.empty((len(x), *sizes, x.shape[3]), x.dtype)
        self.winner = parallel.empty(y.shape, np.uint8 if self.kernel <= 16 else np.uint16)

        def work(chunk):
            best, winner = y[chunk], self.winner[chunk]
            greater = parallel.scratch("greater", best.shape, bool)
            number = parallel.scratch("number", best.shape, winner.dtype)
            for index, values in self._taps(pad_images(x[chunk], self.padding, -np.inf), *sizes):
                if index == 0:
                    best[...], winner[...] = values, 0
                    continue
                # winner = index where values > best; strictly: of equal values the first one wins
                np.greater(values, best, out=greater)
                np.multiply(greater, winner.dtype.type(index), out=number)
                np.maximum(winner, number, out=winner)
                np.maximum(best, values, out=best)

        parallel.run(work, self._chunks())
        return y

    def backward(self, gradient):  # the whole gradient goes to the winner; overlapping windows add up
        dx = parallel.empty(self.shape, gradient.dtype)
        p, (_, height, width, channels) = self.padding, self.shape

        def work(chunk):
            dy, winner = gradient[chunk], self.winner[chunk]
            padded = parallel.scratch("padded", (len(dy), height + 2 * p, width + 2 * p, channels), dx.dtype)
            padded[...] = 0
            won = parallel.scratch("won", dy.shape, bool)
            part = parallel.scratch("part", dy.shape, dx.dtype)
            for index, target in self._taps(padded, *dy.shape[1:3]):
                target += np.multiply(dy, np.equal(winner, index, out=won), out=part)
            dx[chunk] = tap(padded, p, p, 1, height, width)

        parallel.run(work, self._chunks())
        return dx

    def _chunks(self):
        return parallel.image_chunks(self.shape[0], 4 * int(np.prod(self.shape[1:])))


class LocalResponseNorm(Function):
    """y = x / d^β with d_c = k + α·Σ_{|c' − c| ≤ n/2} x_c'², the sum running over neighbouring channels."""

    def __init__(self, size, alpha, beta, k):
        self.half, self.alpha, self.beta, self.k = size // 2, alpha, beta, k

    def _padded(self, rows):
        """Working memory for `rows`: (R, C) of (R, C + half), and all of it flat, with zeros before and between."""
        width = rows.shape[1] + self.half
        flat = parallel.scratch("squares", (self.half + len(rows) * width,), rows.dtype)
        flat[: self.half] = 0
        inside = flat[self.half :].reshape(len(rows), width)
        inside[:, rows.shape[1] :] = 0
        return inside[:, : rows.shape[1]], flat

    def _window_sums(self, inside, flat):
        """Σ over the neighbouring channels. The rows lie behind each other with zeros between, so that their shifted
        sums are sums of one long array."""
        count = len(flat) - 2 * self.half
        sums = parallel.scratch("sums", flat.shape, flat.dtype)
        sums[:count] = flat[:count]
        for shift in range(1, 2 * self.half + 1):
            sums[:count] += flat[shift : shift + count]
        return sums[: inside.shape[0] * (inside.shape[1] + self.half)].reshape(len(inside), -1)[:, : inside.shape[1]]

    def _inverse_power(self, d, out):
        """d^−β; for AlexNet's β = 3/4 as 1 / (√d · √√d), several times faster than a general power."""
        if self.beta != 0.75:
            return np.power(d, -self.beta, out=out)
        np.sqrt(d, out=out)
        np.multiply(out, np.sqrt(out), out=out)
        return np.divide(1, out, out=out)

    def forward(self, x):
        self.x = x
        self.d, self.scale, y = (parallel.empty(x.shape, x.dtype) for _ in range(3))

        def work(x, d, scale, y):
            inside, flat = self._padded(x)
            np.square(x, out=inside)
            np.multiply(self._window_sums(inside, flat), self.alpha, out=d)
            d += self.k
            np.multiply(x, self._inverse_power(d, scale), out=y)

        self._run(work, x, self.d, self.scale, y)
        return y

    def backward(self, gradient):
        # y_i = x_i·d_i^−β and ∂d_i/∂x_j = 2α·x_j if j is in i's window (then i is in j's: it is symmetric), so
        # dx_j = dy_j·d_j^−β − 2αβ·x_j·Σ_{i in j's window} dy_i·x_i·d_i^(−β−1)
        dx = parallel.empty(self.x.shape, self.x.dtype)

        def work(x, d, scale, dy, dx):
            inside, flat = self._padded(x)
            np.multiply(dy, scale, out=dx)
            part = np.multiply(dx, x)
            np.divide(part, d, out=inside)
            np.multiply(self._window_sums(inside, flat), x, out=part)
            part *= 2 * self.alpha * self.beta
            dx -= part

        self._run(work, self.x, self.d, self.scale, gradient, dx)
        return dx

    def _run(self, work, *arrays):
        rows = [array.reshape(-1, array.shape[-1]) for array in arrays]
        pieces = parallel.slices(len(rows[0]), parallel.BLOCK // rows[0].shape[1])
        parallel.run(lambda piece: work(*(each[piece] for each in rows)), pieces)


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
    function = Conv2d(stride, padding, dilation, groups)
    if stride == dilation == 1 and weight.shape[0] == weight.shape[1] and weight.shape[0] in (3, 5):
        sizes = range(2, 9 - weight.shape[0] - (weight.shape[0] == 3)*1)
        costs = {m: multiplications(m, x.shape, weight.shape, padding, groups) for m in sizes}
        best = min(costs, key=costs.get)
        direct = weight.size * (x.shape[1] + 2 * padding - reach[0] + 1) * (x.shape[2] + 2 * padding - reach[1] + 1)
        if costs[best] < direct:
            function = WinogradConv2d(best, padding, groups)
    return apply(function, x, weight, *([] if bias is None else [bias]))


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
