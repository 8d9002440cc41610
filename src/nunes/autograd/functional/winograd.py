"""Convolution with fewer multiplications: Winograd's minimal filtering, F(m × m, r × r).

One dimension first. The m outputs of a kernel of r elements over a tile of n = m + r − 1 pixels,

    y = Aᵀ [(G w) ⊙ (Bᵀ d)]        (n,) -> (m,), with A (n, m), G (n, r), B (n, n)

take n multiplications instead of m·r (Winograd 1980; Lavin & Gray, arXiv 1509.09308, eq. 6). Where do the matrices
come from? The product of two polynomials, of degrees m − 1 and r − 1, has n coefficients, and is known from its
values at n points: evaluate both (matrices A and G), multiply point by point, interpolate (B). That is the Toom–Cook
algorithm; filtering is the transpose of multiplying by w, and so has the transposed steps in reverse order.

In two dimensions both axes are transformed, d ↦ Bᵀ d B: one matrix product with the Kronecker product Bᵀ ⊗ Bᵀ. What
was a multiplication becomes, for a batch of tiles and channels, a matrix product: one for each of the n² points.
"""

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nunes import parallel
from nunes.autograd.functional.convolution import Convolution, pad_images

POINTS = (0, 1, -1, 2, -0.5, -2)  # small, and their differences too: they are what rounding errors grow by


@cache
def matrices(m, r, dtype):
    """Aᵀ ⊗ Aᵀ (m², n²), G ⊗ G (n², r²) and Bᵀ ⊗ Bᵀ (n², n²) of F(m × m, r × r)."""
    n = m + r - 1
    points = np.array(POINTS[: n - 1], np.float64)
    a, g, b = np.zeros((n, m)), np.zeros((n, r)), np.zeros((n, n))
    for i, point in enumerate(points):
        others = np.delete(points, i)
        a[i], g[i] = point ** np.arange(m), point ** np.arange(r)
        # Lagrange's polynomial of this point is Π (x − p) / Π (point − p) over the others; the divisor goes to g.
        b[: n - 1, i] = np.poly(others)[::-1]
        g[i] /= np.prod(point - others)
    a[-1, -1] = g[-1, -1] = 1  # the point at infinity: the leading coefficient
    b[:, -1] = np.poly(points)[::-1]
    return tuple(np.kron(each, each).astype(dtype) for each in (a.T, g, b.T))


def best_tile(shape, weight_shape, padding, groups):
    """The m that costs least for images (N, H, W, C), or None if im2col costs less.

    Counted in multiplications of the large products; those of the transforms, small products, count twice, an element
    that is gathered or scattered 20 times, one of a transformed weight 10 times. The constants were measured; they
    decide about time alone.
    """
    (images, height, width, channels), (r, kernel_width, inputs, outputs) = shape, weight_shape
    if r != kernel_width or r == 1:
        return None
    height, width = height + 2 * padding - r + 1, width + 2 * padding - r + 1
    costs = {None: images * height * width * r**2 * (inputs * outputs + 40 * channels)}
    for m in range(2, min(4, len(POINTS) + 2 - r) + 1):
        points, tiles = (m + r - 1) ** 2, -(-height // m) * -(-width // m)
        transforms = 2 * (points * channels + m**2 * outputs) + 20 * (channels + outputs)
        costs[m] = points * (images * tiles * (inputs * outputs + transforms) + 10 * r**2 * inputs * outputs)
    return min(costs, key=costs.get)


class WinogradConv2d(Convolution):
    """conv2d with stride 1 and a square kernel, in tiles of m × m outputs."""

    def __init__(self, m, padding=0, groups=1):
        super().__init__(padding=padding, groups=groups)
        self.m = m

    def _plan(self):
        r = self.weight.shape[0]
        self.n = self.m + r - 1
        self.at, self.g, self.bt = matrices(self.m, r, self.dtype)
        self.tiles = [-(-size // self.m) for size in self.size]
        # (r, r, C/groups, O) -> (n², C/groups, O)
        self.w = parallel.matmul(self.g, self.weight.reshape(r * r, -1)).reshape(self.n**2, *self.weight.shape[2:])
        points = self.n**2 * self.tiles[0] * self.tiles[1] * self.dtype.itemsize
        # A quarter of what it holds: dw_k is summed over the chunks, which had better be few.
        return points * (self.x.shape[3] + self.weight.shape[3]) // 4

    def _points(self, x):  # (N, H, W, C) -> (n², N·tiles, C)
        m, n, (th, tw), (images, _, _, channels) = self.m, self.n, self.tiles, x.shape
        padded = pad_images(x, self.padding, size=(th * m + n - m, tw * m + n - m))
        s = padded.strides
        tiles = parallel.scratch("tiles", (n, n, images, th, tw, channels), self.dtype)
        tiles[...] = as_strided(padded, tiles.shape, (s[1], s[2], s[0], m * s[1], m * s[2], s[3]))
        return self._product("points", self.bt, tiles).reshape(n * n, -1, channels)

    def _product(self, name, matrix, a):  # (i, j) @ (√j, √j, ...) -> (i, ...), in this thread's memory of that name
        a = a.reshape(matrix.shape[1], -1)
        return np.matmul(matrix, a, out=parallel.scratch(name, (len(matrix), a.shape[1]), self.dtype))

    def _forward_chunk(self, x, y):
        m, (th, tw), channels = self.m, self.tiles, y.shape[3]
        points = self._points(x)
        products = parallel.scratch("products", (*points.shape[:2], channels), self.dtype)
        for inputs, outputs in self._group_slices():
            np.matmul(points[..., inputs], self.w[..., outputs], out=products[..., outputs])
        tiles = self._product("tiles", self.at, products).reshape(m, m, len(x), th, tw, channels)
        whole = parallel.scratch("padded", (len(x), th, m, tw, m, channels), self.dtype)
        whole[...] = tiles.transpose(2, 3, 0, 4, 1, 5)
        y[...] = whole.reshape(len(x), th * m, tw * m, channels)[:, : y.shape[1], : y.shape[2]]

    def _backward_chunk(self, x, dy, dx, weight_needed):
        # Every step of forward is linear, so each has its transpose here. With T = N·tiles, for each point k:
        #   y = (Aᵀ ⊗ Aᵀ) products        dproducts = (A ⊗ A) dy              (n², T, O)
        #   products_k = points_k @ w_k   dw_k = points_kᵀ @ dproducts_k      (n², C/groups, O)
        #                                 dpoints_k = dproducts_k @ w_kᵀ      (n², T, C)
        #   points = (Bᵀ ⊗ Bᵀ) tiles      dtiles = (B ⊗ B) dpoints, and a pixel sums over the tiles that it is in.
        m, n, p, (th, tw), (images, _, _, channels) = self.m, self.n, self.padding, self.tiles, dy.shape
        whole = pad_images(dy, 0, size=(th * m, tw * m))
        tiles = parallel.scratch("tiles", (m, m, images, th, tw, channels), self.dtype)
        tiles[...] = whole.reshape(images, th, m, tw, m, channels).transpose(2, 4, 0, 1, 3, 5)
        dproducts = self._product("products", self.at.T, tiles).reshape(n * n, -1, channels)
        dw = None
        if weight_needed:
            dw = parallel.empty(self.w.shape, self.dtype)
            points = self._points(x).transpose(0, 2, 1)
            for inputs, outputs in self._group_slices():
                np.matmul(points[:, inputs], dproducts[..., outputs], out=dw[..., outputs])
        if dx is not None:
            dpoints = parallel.scratch("points", (*dproducts.shape[:2], x.shape[3]), self.dtype)
            for inputs, outputs in self._group_slices():
                w = self.w[..., outputs].transpose(0, 2, 1)
                np.matmul(dproducts[..., outputs], w, out=dpoints[..., inputs])
            dtiles = self._product("tiles", self.bt.T, dpoints).reshape(n, n, images, th, tw, -1)
            dx[...] = self._add_tiles(dtiles.transpose(2, 3, 0, 4, 1, 5))[:, p : p + dx.shape[1], p : p + dx.shape[2]]
        return dw

    def _add_tiles(self, tiles):  # (N, th, n, tw, n, C) -> (N, ≥ th·m + n − m, ≥ tw·m + n − m, C)
        m, (images, th, n, tw, _, channels) = self.m, tiles.shape
        steps = -(-n // m)  # in steps of m pixels: rows i·m ... (i + 1)·m of a tile lie i steps below its first row
        sums = parallel.scratch("padded", (images, th + steps - 1, m, tw + steps - 1, m, channels), self.dtype)
        sums[...] = 0
        for i in range(steps):
            for j in range(steps):
                part = tiles[:, :, i * m : (i + 1) * m, :, j * m : (j + 1) * m]
                sums[:, i : i + th, : part.shape[2], j : j + tw, : part.shape[4]] += part
        return sums.reshape(images, (th + steps - 1) * m, (tw + steps - 1) * m, channels)

    def _weight_gradient(self, dw):
        return parallel.matmul(self.g.T, dw.reshape(len(self.g), -1))
