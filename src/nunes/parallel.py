"""Threads over chunks of an array, with single-threaded BLAS inside each.

NumPy releases the interpreter lock in copies, ufuncs and matrix products alike, so a whole kernel (gather the
columns, multiply, scatter) runs on each core on a piece that stays in its cache. BLAS's own threads would only
share the product, and stall when another process takes a core.

How work is cut depends on the arrays alone, so that results do not depend on the number of threads.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock

import numpy as np

CHUNK_BYTES = 4 << 20  # im2col's columns in one chunk
BLOCK = 1 << 15  # elements in one block of an element-wise update: a few arrays of it fit the L2 cache


def set_num_threads(count):
    """Use `count` threads from now on (default: the cores this process may use, or $NUNES_NUM_THREADS)."""
    global _num_threads
    if count < 1:
        raise ValueError(f"set_num_threads: count must be at least 1, got {count}")
    _num_threads = count


_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
set_num_threads(int(os.environ.get("NUNES_NUM_THREADS", _cores)))
_one_at_a_time = Lock()


@cache
def _pool(threads):
    return ThreadPoolExecutor(threads, thread_name_prefix="nunes")


@cache
def _blas():
    from threadpoolctl import ThreadpoolController  # here: it looks for the libraries that are loaded by now

    return ThreadpoolController().select(user_api="blas")


def run(function, pieces):
    """`[function(piece) for piece in pieces]`, the pieces spread over the threads, the results in order.

    `function` must not call `run` itself.
    """
    with _one_at_a_time, _blas().limit(limits=1):  # the limit is the whole process's
        if len(pieces) == 1 or _num_threads == 1:
            return [function(piece) for piece in pieces]
        return list(_pool(_num_threads).map(function, pieces))


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def slices(total, size):
    """Cut range(total) into consecutive slices of at most `size`, as even as they come."""
    count = max(1, -(-total // max(1, size)))
    return [slice(total * i // count, total * (i + 1) // count) for i in range(count)]


def image_chunks(images, bytes_per_image):
    """Slices of the batch whose columns fit CHUNK_BYTES, and about four at least, to feed the threads."""
    return slices(images, min(-(-images // 4), CHUNK_BYTES // max(1, bytes_per_image)))


def elementwise(function, *arrays):
    """Call `function(*blocks)` on matching blocks of arrays of one shape, flattened; those it writes into must be
    contiguous (a block of any other array is a copy)."""
    flat = [array.reshape(-1) for array in arrays]
    pieces = slices(flat[0].size, BLOCK)
    # One task a thread, not one a block: there are thousands of blocks.
    tasks = slices(len(pieces), -(-len(pieces) // _num_threads))

    def work(task):
        for piece in pieces[task]:
            function(*(array[piece] for array in flat))

    run(work, tasks)


def matmul(a, b):
    """`a @ b` for matrices, the columns of the product spread over the threads. (M, K) @ (K, N) -> (M, N)"""
    if a.shape[0] * a.shape[1] * b.shape[1] < 1 << 20:
        return a @ b
    product = np.empty((a.shape[0], b.shape[1]), np.result_type(a, b))

    def columns(piece):
        np.matmul(a, b[:, piece], out=product[:, piece])

    run(columns, slices(b.shape[1], -(-b.shape[1] // 4)))
    return product
