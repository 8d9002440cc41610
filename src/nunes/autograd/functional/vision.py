"""Operations on images, batches in NHWC order, (N, H, W, C): convolution, pooling, dropout."""

import numpy as np

from nunes import parallel
from nunes.autograd.functional.convolution import Conv2d, output_size, pad_images, tap
from nunes.autograd.functional.winograd import WinogradConv2d, best_tile
from nunes.autograd.graph import Function
from nunes.tensor import apply, operation, require_floating


def check_images(op, x, reach=(1, 1), padding=0, **steps):
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"{op}: x must be (N, H, W, C), none of them 0; got shape {x.shape}")
    require_floating(op, x=x)
    for name, value in steps.items():
        if value < 1:
            raise ValueError(f"{op}: {name} must be at least 1, got {value}")
    if padding < 0:
        raise ValueError(f"{op}: padding must not be negative, got {padding}")
    (_, height, width, _), (kh, kw) = x.shape, reach
    if height + 2 * padding < kh or width + 2 * padding < kw:
        raise ValueError(f"{op}: the {kh}×{kw} kernel is larger than the images {x.shape}, padding {padding}")


class Pool2d(Function):
    """What both poolings share: the windows' elements, one at a time, and where their gradients go."""

    def _output(self, x, kernel, stride, padding):  # not initialised
        stride = kernel if stride is None else stride
        check_images(self.name, x, (kernel, kernel), padding, kernel=kernel, stride=stride)
        if 2 * padding > kernel:
            raise ValueError(f"{self.name}: padding {padding} is more than half of the kernel {kernel}")
        self.kernel, self.stride, self.padding, self.shape = kernel, stride, padding, x.shape
        self.chunks = parallel.image_chunks(len(x), 4 * int(np.prod(x.shape[1:])))
        sizes = [output_size(size, kernel, stride, padding) for size in x.shape[1:3]]
        return parallel.empty((len(x), *sizes, x.shape[3]), x.dtype)

    def _taps(self, x, height, width):
        for index in range(self.kernel**2):
            yield index, tap(x, *divmod(index, self.kernel), self.stride, height, width)

    def backward(self, gradient):  # a pixel sums what it gets in all the windows that it is in
        dx = parallel.empty(self.shape, gradient.dtype)
        p, (_, height, width, channels) = self.padding, self.shape

        def work(chunk):
            dy = gradient[chunk]
            padded = parallel.scratch("padded", (len(dy), height + 2 * p, width + 2 * p, channels), dx.dtype)
            padded[...] = 0
            for index, target in self._taps(padded, *dy.shape[1:3]):
                target += self._share(dy, chunk, index)
            dx[chunk] = tap(padded, p, p, 1, height, width)

        parallel.run(work, self.chunks)
        return dx


class MaxPool2d(Pool2d):
    """The maximum of each kernel × kernel window. (N, H, W, C) -> (N, OH, OW, C)

    `stride` defaults to `kernel`; padding is with −∞. The gradient goes to the first maximum of a window.
    Raises ValueError if x is not a batch of images at least as large as the kernel, TypeError if it is not floating.
    """

    name = "max_pool2d"

    def forward(self, x, /, kernel, stride=None, padding=0):
        y = self._output(x, kernel, stride, padding)
        # Of each window, the number of its first element that is the maximum: the winner gets the whole gradient.
        self.winner = parallel.empty(y.shape, np.uint8 if self.kernel <= 16 else np.uint16)

        def work(chunk):
            best, winner = y[chunk], self.winner[chunk]
            greater = parallel.scratch("greater", best.shape, bool)
            number = parallel.scratch("number", best.shape, winner.dtype)
            for index, values in self._taps(pad_images(x[chunk], self.padding, -np.inf), *y.shape[1:3]):
                if index == 0:
                    best[...], winner[...] = values, 0
                    continue
                # winner = index where values > best; strictly: of equal values the first one wins
                np.greater(values, best, out=greater)
                np.multiply(greater, winner.dtype.type(index), out=number)
                np.maximum(winner, number, out=winner)
                np.maximum(best, values, out=best)

        parallel.run(work, self.chunks)
        return y

    def _share(self, dy, chunk, index):
        won = np.equal(self.winner[chunk], index, out=parallel.scratch("won", dy.shape, bool))
        return np.multiply(dy, won, out=parallel.scratch("part", dy.shape, dy.dtype))


class AvgPool2d(Pool2d):
    """The mean of each kernel × kernel window, padding included as zeros; otherwise as `max_pool2d`."""

    name = "avg_pool2d"

    def forward(self, x, /, kernel, stride=None, padding=0):
        y = self._output(x, kernel, stride, padding)

        def work(chunk):
            y[chunk] = 0
            for _, values in self._taps(pad_images(x[chunk], self.padding), *y.shape[1:3]):
                y[chunk] += values
            y[chunk] /= self.kernel**2

        parallel.run(work, self.chunks)
        return y

    def _share(self, dy, chunk, index):  # y = Σ_window x / kernel²: each pixel of a window gets dy / kernel²
        return np.divide(dy, self.kernel**2, out=parallel.scratch("part", dy.shape, dy.dtype))


class Dropout(Function):
    def forward(self, x, /, p, generator, shape):
        # The kept ones are scaled up, so that the expectation is x and evaluation needs no scaling.
        self.scale = (generator.random(shape, np.float32) >= p) * x.dtype.type(1 / (1 - p))
        return x * self.scale

    def backward(self, gradient):
        return gradient * self.scale


max_pool2d, avg_pool2d = map(operation, (MaxPool2d, AvgPool2d))


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlate images with kernels ("convolution" in the literature of networks).

    Computed as im2col and a matrix product, or where that takes fewer multiplications by Winograd's minimal filtering,
    whose float32 results are off by about 1e-5 of the largest one instead of 1e-6 (measured in notebook 2).

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
        TypeError: x or the weight is not floating.
    """
    if weight.ndim != 4 or 0 in weight.shape:
        raise ValueError(f"conv2d: weight must be (KH, KW, C / groups, O), none of them 0; got shape {weight.shape}")
    reach = [dilation * (k - 1) + 1 for k in weight.shape[:2]]
    check_images("conv2d", x, reach, padding, stride=stride, dilation=dilation, groups=groups)
    if x.shape[3] != weight.shape[2] * groups or weight.shape[3] % groups:
        needs = f"x needs {weight.shape[2]}·groups channels, and groups must divide the outputs"
        have = f"x has {x.shape[3]} channels and weight {weight.shape}, which do not fit groups={groups}"
        raise ValueError(f"conv2d: {have}: {needs}")
    if bias is not None and bias.shape != weight.shape[3:]:
        raise ValueError(f"conv2d: bias must be ({weight.shape[3]},), got {bias.shape}")
    require_floating("conv2d", weight=weight)
    tile = best_tile(x.shape, weight.shape, padding, groups) if stride == dilation == 1 else None
    function = Conv2d(stride, padding, dilation, groups) if tile is None else WinogradConv2d(tile, padding, groups)
    return apply(function, x, weight, bias)


def dropout(x, p=0.5, training=True, generator=None):
    """Set each element to 0 with probability p and scale the others by 1/(1 − p); the identity if not training."""
    return _dropout("dropout", x, p, training, generator, x.shape)


def dropout2d(x, p=0.5, training=True, generator=None):
    """`dropout` of whole channels (Tompson et al. 2015). (N, H, W, C) -> same"""
    check_images("dropout2d", x)
    return _dropout("dropout2d", x, p, training, generator, (x.shape[0], 1, 1, x.shape[3]))


def _dropout(op, x, p, training, generator, shape):
    if not 0 <= p < 1:
        raise ValueError(f"{op}: p must be in [0, 1), got {p}")
    require_floating(op, x=x)
    if not training or p == 0:
        return x
    return apply(Dropout(), x, p=p, generator=generator or np.random.default_rng(), shape=shape)
