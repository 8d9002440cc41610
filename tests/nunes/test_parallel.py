"""Threads and chunks change the time, not the result."""

import time

import numpy as np
import pytest

import nunes.autograd.functional as F
from nunes import Tensor, parallel
from nunes.autograd.functional.winograd import WinogradConv2d


def gradients():
    """Both forms of conv2d and all else that is cut into pieces: values and gradients."""
    generator = np.random.default_rng(0)
    x, direct, winograd, w = (
        Tensor(generator.standard_normal(shape), requires_grad=True)
        for shape in [(9, 19, 19, 4), (3, 5, 2, 30), (3, 3, 15, 24), (24, 600)]
    )
    y = F.max_pool2d(F.local_response_norm(F.relu(F.conv2d(x, direct, padding=1, groups=2))), 3, 2)
    y = F.conv2d(y, winograd, padding=1, groups=2)
    assert type(y.node) is WinogradConv2d
    y = F.linear(F.avg_pool2d(y, 2).reshape(-1, 24), w)
    y.backward(generator.standard_normal(y.shape))
    return y.data, x.grad, direct.grad, winograd.grad, w.grad


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(parallel, "BLOCK", 1 << 10)
    expected = gradients()
    for threads in (1, 2, 3, 8):
        monkeypatch.setattr(parallel, "_num_threads", threads)
        for one, other in zip(expected, gradients(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_results_depend_on_the_chunks_by_rounding_only(monkeypatch):
    expected = gradients()
    for chunk in (1, 1 << 12, 1 << 30):
        monkeypatch.setattr(parallel, "CHUNK_BYTES", chunk)
        monkeypatch.setattr(parallel, "BLOCK", chunk)
        for one, other in zip(expected, gradients(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def test_float32_results_depend_on_the_chunks_by_less_than_a_millionth(monkeypatch):
    generator = np.random.default_rng(0)
    x, w = (
        generator.standard_normal((12, 13, 13, 32), np.float32),
        generator.standard_normal((3, 3, 32, 64), np.float32),
    )
    results = []
    for chunk in (1, 1 << 22):
        monkeypatch.setattr(parallel, "CHUNK_BYTES", chunk)
        tensors = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
        y = F.conv2d(*tensors, padding=1)
        y.backward(np.ones(y.shape))
        results.append([y.data, *(tensor.grad for tensor in tensors)])
    for one, other in zip(*results, strict=True):
        assert np.abs(one - other).max() < 1e-6 * np.abs(one).max()


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


def test_a_floating_point_state_holds_in_all_threads(monkeypatch):
    monkeypatch.setattr(parallel, "_num_threads", 2)

    def overflow(piece):
        time.sleep(0.01)  # so that both threads get some
        return np.float32(1e30) * np.float32(1e30)

    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        parallel.run(overflow, range(8))
    with np.errstate(over="ignore"):
        assert parallel.run(overflow, range(8)) == [np.inf] * 8


def test_memory_is_used_again_only_when_nobody_looks_at_it():
    shape = (1000, 1000)
    first = parallel.empty(shape, np.float32)
    address, row = first.ctypes.data, first[3:5].T
    first[...] = 7
    del first
    others = [parallel.empty(shape, np.float32) for _ in range(3)]
    assert address not in [other.ctypes.data for other in others]
    for other in others:
        other[...] = 0
    assert (row == 7).all()
    del row, other
    assert parallel.empty(shape, np.float32).ctypes.data == address
    assert parallel.empty(shape, np.float64).shape == shape


def test_memory_that_is_not_asked_for_is_given_back(monkeypatch):
    monkeypatch.setattr(parallel, "KEPT", 3)
    parallel._idle.clear()
    del [parallel.empty((1 << 20,), np.float32)][0]
    assert sum(map(len, parallel._idle.values())) == 1
    kept = [parallel.empty((1 << 20, 2 + i), np.uint8) for i in range(6)]
    assert sum(map(len, parallel._idle.values())) == 0
    assert len(kept) == 6
