"""Training speed on a GPU (or whatever JAX finds): images a second, beside the matrix products that it can do.

    python -m study accelerator data/results/stanford_cars/accelerator.csv

It needs nothing but jax, optax, numpy and pandas, as on a bare machine.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from alexjax import adasmooth, alexnet
from alexjax.training import data_mesh, replicate, shard, train_step
from study.benchmark import NUM_CLASSES, multiply_adds

PRECISIONS = {  # of matrix products and convolutions; of everything else
    "float32": ("float32", None),
    "tf32": ("tensorfloat32", None),
    "bfloat16": ("bfloat16", jnp.bfloat16),
}


def seconds_each(function, repeats, count):
    """The median over `repeats` of the time that one of `count` calls takes, queued one after the other."""
    jax.block_until_ready(function())  # compiles
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(count):
            result = function()
        jax.block_until_ready(result)
        times.append((time.perf_counter() - start) / count)
    return float(np.median(times))


def matmul_peak(dtype, side, repeats, count):
    """Floating-point operations a second of square matrix products on one device."""
    a = jnp.full((side, side), 1 / side, dtype or jnp.float32)
    product = jax.jit(lambda a: a @ a)
    return 2 * side**3 / seconds_each(lambda: product(a), repeats, count)


def training(mesh, batch_size, dtype, image_size, width, repeats, count):
    """Seconds of a training step with AdaSmooth, its images on the devices already."""
    generator = np.random.default_rng(0)
    images = generator.standard_normal((batch_size, image_size, image_size, 3), np.float32)
    batch = shard(mesh, (images, generator.integers(0, NUM_CLASSES, batch_size)))
    solver = adasmooth()
    params = alexnet.init(jax.random.key(0), NUM_CLASSES, image_size, width)
    held = list(replicate(mesh, (params, solver.init(params))))
    step = train_step(solver, dropout=0.5, compute_dtype=dtype)

    def once():
        *held[:], loss = step(*held, *batch, jax.random.key(0))
        return loss

    return seconds_each(once, repeats, count)


def measure(batch_sizes=(128, 256, 512, 1024), image_size=227, width=1.0, repeats=5, count=10, side=8192):
    """Time training steps in each precision at each batch size, on all devices.

    Returns:
        A DataFrame: device, devices, precision, batch_size, images_per_second (nan where memory was too small),
        teraflops of the network's multiplications and additions, matmul_teraflops, what the devices reach in a product
        of two `side` × `side` matrices, and fraction, one by the other.
    """
    mesh, rows = data_mesh(), []
    flops = 2 * multiply_adds(image_size, width)
    for name, (precision, dtype) in PRECISIONS.items():
        with jax.default_matmul_precision(precision):
            peak = matmul_peak(dtype, side, repeats, count) * mesh.size
            for batch_size in batch_sizes:
                try:
                    rate = batch_size / training(mesh, batch_size, dtype, image_size, width, repeats, count)
                except jax.errors.JaxRuntimeError as error:
                    if "RESOURCE_EXHAUSTED" not in str(error):
                        raise
                    rate = float("nan")
                rows.append((name, batch_size, rate, rate * flops / 1e12, peak / 1e12, rate * flops / peak))
                print(f"{name}, batch {batch_size}: {rate:,.0f} images/s", flush=True)
    columns = ["precision", "batch_size", "images_per_second", "teraflops", "matmul_teraflops", "fraction"]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(0, "device", jax.devices()[0].device_kind)
    table.insert(1, "devices", mesh.size)
    return table
