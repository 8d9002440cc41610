"""Threads and chunks change the time, not the result."""

import numpy as np
import pytest

import nunes.autograd.functional as F
from nunes import Tensor, parallel


def gradients():
    generator = np.random.default_rng(0)
    x = Tensor(generator.standard_normal((9, 13, 13, 4)), requires_grad=True)
    w = Tensor(generator.standard_normal((3, 3, 2, 6)), requires_grad=True)
    y = F.max_pool2d(F.local_response_norm(F.relu(F.conv2d(x, w, padding=1, groups=2))), 3, 2)
    y.backward(generator.standard_normal(y.shape))
    return y.data, x.grad, w.grad


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    expected = gradients()
    for threads in (1, 2, 3, 8):
        monkeypatch.setattr(parallel, "_num_threads", threads)
        for one, other in zip(expected, gradients(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_results_depend_on_the_chunks_by_rounding_only(monkeypatch):
    expected = gradients()
    for chunk in (1, 1 << 12, 1 << 30):
        monkeypatch.setattr(parallel, "CHUNK_BYTES", chunk)
        for one, other in zip(expected, gradients(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("total", "size"), [(1, 1), (7, 2), (7, 100), (100, 7), (0, 3)])
def test_slices_cover_everything_once(total, size):
    pieces = parallel.slices(total, size)
    assert [i for piece in pieces for i in range(total)[piece]] == list(range(total))
    assert all(piece.stop - piece.start <= size for piece in pieces)


def test_matmul(generator):
    a, b = generator.standard_normal((300, 120)), generator.standard_normal((120, 101))
    np.testing.assert_allclose(parallel.matmul(a, b), a @ b, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(parallel.matmul(b.T, a.T), b.T @ a.T, rtol=1e-12, atol=1e-12)


def test_errors_in_a_thread_reach_the_caller():
    with pytest.raises(ZeroDivisionError):
        parallel.run(lambda piece: 1 / 0, [1, 2, 3])


def test_the_number_of_threads_is_checked():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        parallel.set_num_threads(0)
