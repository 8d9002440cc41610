"""Convolution of images in NHWC order, (N, H, W, C), with weights in HWIO order, (KH, KW, C/groups, O).

    y[n, i, j, o] = Σ_{u,v,c} x[n, i·s + u·d, j·s + v·d, c] · w[u, v, c, o] + b[o]      stride s, dilation d

A convolution is a matrix product. `windows` views every patch that the kernel visits, without copying; gathering
the patches as rows ("columns" in the literature: im2col) gives

    y = columns @ w             (N·OH·OW, KH·KW·C) @ (KH·KW·C, O)

The batch is cut into chunks whose columns fit the cache, and the chunks are spread over the threads. Where it takes
fewer multiplications, the same is done with transformed tiles in place of patches: see `winograd`.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nunes import parallel
from nunes.autograd.graph import Function


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    """How many positions a kernel has along an axis of `size` pixels."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def pad_images(x, p, value=0, size=None):
    """Surround each image with p pixels of `value`, or on to `size`. (N, H, W, C) -> (N, H + 2p, W + 2p, C)"""
    images, height, width, channels = x.shape
    size = size or (height + 2 * p, width + 2 * p)
    if size == (height, width):
        return x
    padded = parallel.scratch("padded", (images, *size, channels), x.dtype)
    padded[:, :p] = padded[:, p + height :] = padded[:, :, :p] = padded[:, :, p + width :] = value
    padded[:, p : p + height, p : p + width] = x
    return padded


def windows(x, kernel, stride, dilation=1):
    """A view of all patches. (N, H, W, C) -> (N, OH, OW, KH, KW, C)"""
    reach = [dilation * (k - 1) + 1 for k in kernel]
    patches = sliding_window_view(x, reach, axis=(1, 2))  # (N, ·, ·, C, reach, reach)
    return patches[:, ::stride, ::stride, :, ::dilation, ::dilation].transpose(0, 1, 2, 4, 5, 3)


def tap(x, u, v, stride, height, width):
    """The view of the pixels that kernel element (u, v) meets. (N, H, W, C) -> (N, height, width, C)"""
    return x[:, u : u + stride * (height - 1) + 1 : stride, v : v + stride * (width - 1) + 1 : stride]


class Convolution(Function):
    """What both forms of the convolution share: chunks of the batch over the threads, and what is summed over it.

    A form defines `_plan`, `_forward_chunk`, `_backward_chunk` and `_weight_gradient`.
    """

    def __init__(self, stride=1, padding=0, dilation=1, groups=1):
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, x, weight, bias=None):
        self.x, self.weight, self.dtype = x, weight, np.result_type(x, weight)
        sizes = zip(x.shape[1:3], weight.shape[:2], strict=True)
        self.size = [output_size(n, k, self.stride, self.padding, self.dilation) for n, k in sizes]
        self.chunks = parallel.image_chunks(len(x), self._plan())
        y = parallel.empty((len(x), *self.size, weight.shape[3]), self.dtype)

        def work(chunk):
            self._forward_chunk(x[chunk], y[chunk])
            if bias is not None:
                y[chunk] += bias

        parallel.run(work, self.chunks)
        return y

    def backward(self, gradient):
        gradient = np.ascontiguousarray(gradient)
        needs = (*self.needs, False)[:3]
        dx = parallel.empty(self.x.shape, self.dtype) if needs[0] else None

        def work(chunk):
            dw = self._backward_chunk(self.x[chunk], gradient[chunk], dx[chunk] if needs[0] else None, needs[1])
            rows = gradient[chunk].reshape(-1, gradient.shape[3])
            return dw, np.ones(len(rows), rows.dtype) @ rows if needs[2] else None  # b is in every row: db = Σ dy

        dws, dbs = zip(*parallel.run(work, self.chunks), strict=True)
        dw = self._weight_gradient(parallel.total(dws)).reshape(self.weight.shape) if needs[1] else None
        return (dx, dw, sum(dbs) if needs[2] else None)[: len(self.needs)]

    def _group_slices(self):
        """For each group the slice of its input channels and that of its output channels."""
        inputs, outputs = self.weight.shape[2], self.weight.shape[3] // self.groups
        for group in range(self.groups):
            yield slice(group * inputs, (group + 1) * inputs), slice(group * outputs, (group + 1) * outputs)


class Conv2d(Convolution):
    """The matrix product of the gathered patches."""

    def _plan(self):
        """What a chunk holds of one image, in bytes."""
        return self.size[0] * self.size[1] * self.weight[..., 0].size * self.dtype.itemsize

    def _columns(self, x, inputs):  # -> (N·OH·OW, KH·KW·C/groups)
        kernel, count = self.weight.shape[:2], self.weight[..., 0].size
        patches = windows(pad_images(x, self.padding), kernel, self.stride, self.dilation)[..., inputs]
        # Copying is fast along the longer of what lies side by side: a kernel's row (V, C), or with one channel or so a
        # row of outputs (J), in which case the columns are the rows in memory.
        few = self.stride == 1 and kernel[1] * patches.shape[5] < patches.shape[2]
        patches = patches.transpose(3, 4, 5, 0, 1, 2) if few else patches
        columns = parallel.scratch("columns", patches.shape, self.dtype)
        columns[...] = patches
        return columns.reshape(count, -1).T if few else columns.reshape(-1, count)

    def _forward_chunk(self, x, y):
        for inputs, outputs in self._group_slices():
            w = self.weight[..., outputs].reshape(-1, outputs.stop - outputs.start)
            np.matmul(self._columns(x, inputs), w, out=y.reshape(-1, y.shape[3])[:, outputs])

    def _backward_chunk(self, x, dy, dx, weight_needed):
        # With rows for (n, i, j): y = columns @ w, so dw = columnsᵀ @ dy. (KH·KW·C, rows) @ (rows, O)
        dw = np.empty((self.weight[..., 0].size, dy.shape[3]), self.dtype) if weight_needed else None
        for inputs, outputs in self._group_slices():
            rows = dy.reshape(-1, dy.shape[3])[:, outputs]
            if weight_needed:
                np.matmul(self._columns(x, inputs).T, rows, out=dw[:, outputs])
            if dx is not None:
                self._scatter(rows, self.weight[..., outputs], dx[..., inputs])
        return dw

    def _scatter(self, rows, weight, dx):
        """dcolumns = dy @ wᵀ, and every pixel sums the gradients of all columns that it was copied to: a shifted
        addition for each kernel element. A row of the kernel at a time, (KW, rows, C), so that pixels lie together."""
        p, d, (kh, kw), (images, height, width, channels) = self.padding, self.dilation, weight.shape[:2], dx.shape
        padded = parallel.scratch("padded", (images, height + 2 * p, width + 2 * p, channels), self.dtype)
        padded[...] = 0
        dcolumns = parallel.scratch("columns", (kw, len(rows), channels), self.dtype)
        for u in range(kh):
            np.matmul(rows, weight[u].transpose(0, 2, 1), out=dcolumns)
            for v in range(kw):
                target = tap(padded, u * d, v * d, self.stride, *self.size)
                target += dcolumns[v].reshape(target.shape)
        dx[...] = tap(padded, p, p, 1, height, width)

    def _weight_gradient(self, dw):
        return dw
