"""What makes the kernels fast: threads over pieces of an array, single-threaded BLAS inside, memory used again.

NumPy releases the interpreter lock in copies, ufuncs and matrix products alike, so a whole kernel (gather the
columns, multiply, scatter) runs on each core on a piece that stays in its cache. BLAS's own threads would only
share the product, and stall when another process takes a core.

How work is cut depends on the arrays alone, so that results do not depend on the number of threads.
"""

import itertools
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import cache

import numpy as np

CHUNK_BYTES = 4 << 20  # what a piece of an image kernel works on
BLOCK = 1 << 18  # elements in one piece of an element-wise kernel


def set_num_threads(count):
    """Use `count` threads from now on (default: the cores this process may use, or $NUNES_NUM_THREADS)."""
    global _num_threads
    if count < 1:
        raise ValueError(f"set_num_threads: count must be at least 1, got {count}")
    _num_threads = count


def num_threads():
    """How many threads are used."""
    return _num_threads


_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
set_num_threads(int(os.environ.get("NUNES_NUM_THREADS") or _cores))
_one_at_a_time = threading.Lock()


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
    results, todo = [None] * len(pieces), enumerate(pieces)

    def work():
        for index, piece in todo:  # whoever is free takes the next one
            results[index] = function(piece)

    with _one_at_a_time, _blas().limit(limits=1):  # the limit is the whole process's
        helpers = [
            _pool(_num_threads).submit(copy_context().run, work)  # the context holds np.errstate
            for _ in range(min(_num_threads, len(pieces)) - 1)
        ]
        try:
            work()
        finally:
            started = [helper for helper in helpers if not helper.cancel()]  # the others are not needed any more
            wait(started)
        for helper in started:
            helper.result()  # raises what it raised
    return results


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def slices(total, size):
    """Cut range(total) into consecutive slices of at most `size`, as even as they come."""
    count = max(1, -(-total // max(1, size)))
    return [slice(total * i // count, total * (i + 1) // count) for i in range(count)]


def image_chunks(images, bytes_per_image):
    """Slices of the batch that fit CHUNK_BYTES, and about four at least, to feed the threads."""
    return slices(images, min(-(-images // 4), CHUNK_BYTES // max(1, bytes_per_image)))


def elementwise(function, *arrays, row=()):
    """Call `function(*blocks)` on matching blocks of arrays of one shape, flattened, or to rows of shape `row`; those
    it writes into must be contiguous (a block of any other array is a copy)."""
    flat = [array.reshape(-1, *row) for array in arrays]
    run(lambda piece: function(*(array[piece] for array in flat)), slices(len(flat[0]), BLOCK // math.prod(row)))


def matmul(a, b):
    """`a @ b` for matrices, the longer side of the product cut for the threads. (M, K) @ (K, N) -> (M, N)"""
    rows, columns = len(a), b.shape[1]
    product = empty((rows, columns), np.result_type(a, b))
    parts = 4 if a.size * columns >= 1 << 23 else 1  # a smaller one is not worth waking a thread
    if rows > columns:
        run(lambda piece: np.matmul(a[piece], b, out=product[piece]), slices(rows, -(-rows // parts)))
    else:
        run(lambda piece: np.matmul(a, b[:, piece], out=product[:, piece]), slices(columns, -(-columns // parts)))
    return product


def total(arrays):
    """The sum of arrays of one shape, in the memory of the first."""

    def work(first, *others):
        for other in others:
            first += other

    elementwise(work, *arrays)
    return arrays[0]


# Memory. The operating system zeroes every page that it hands out, which costs as much as a pass over the array, and
# a training step wants the same arrays each time.

_scratch = threading.local()
_idle = {}  # size in bytes: [(when it was put back, buffer)]
_requests = itertools.count()
KEPT = 1000  # requests to `empty` after which an idle buffer is given up


def scratch(name, shape, dtype):
    """This thread's working memory of that name, not initialised: until the thread asks for the name again."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = vars(_scratch).get(name)
    if buffer is None or buffer.size < size:
        buffer = vars(_scratch)[name] = np.empty(size, np.uint8)
    return buffer[:size].view(dtype).reshape(shape)


def temporaries(like, count=2):
    """`count` arrays of this thread's working memory, shaped as `like`."""
    return [scratch(f"temporary {i}", like.shape, like.dtype) for i in range(count)]


def empty(shape, dtype):
    """`np.empty`, in the memory of an earlier array of this size that nobody holds any more."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < 1 << 20:
        return np.empty(shape, dtype)
    try:
        buffer = _idle[size].pop()[1]
    except (KeyError, IndexError):
        now = next(_requests)
        for buffers in list(_idle.values()):
            buffers[:] = [each for each in buffers if now - each[0] < KEPT]
        buffer = np.empty(size, np.uint8)
    return np.asarray(_Owner(buffer)).view(dtype).reshape(shape)


class _Owner:
    """The base of an array in `buffer`, and so of all its views: it goes when the last of them goes."""

    def __init__(self, buffer):
        self.buffer, self.__array_interface__ = buffer, buffer.__array_interface__

    def __del__(self, idle=_idle, requests=_requests):  # names of the module are gone when the interpreter ends
        idle.setdefault(self.buffer.size, []).append((next(requests), self.buffer))
