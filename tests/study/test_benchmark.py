"""The benchmark measures what it says: each implementation in its process, all sizes, equal work."""

import numpy as np
import pytest

from alexjax import alexnet
from study import benchmark


def test_it_measures_every_implementation_at_every_size():
    table = benchmark.measure([67], [1, 2], width=0.05, repeats=2, names=["NumPy", "GEMM floor"])
    assert len(table) == 2 * 2 * 2
    assert (table.seconds > 0).all()
    assert set(table.implementation) == {"NumPy", "GEMM floor"}


@pytest.mark.parametrize("size", [67, 131, 227])
def test_the_count_of_multiplications(size):
    """Against the shapes of the parameters: a weight is used once for every position of its layer's output, forward,
    for its own gradient, and (but in conv1) for that of the layer below."""
    import jax

    shapes = jax.eval_shape(lambda key: alexnet.init(key, benchmark.NUM_CLASSES, size), jax.random.key(0))
    first = (size - 11) // 4 + 1
    second = (first - 3) // 2 + 1
    third = (second - 3) // 2 + 1
    positions = {"conv1": first, "conv2": second, "conv3": third, "conv4": third, "conv5": third}
    counted = 0
    for name, layer in shapes.items():
        products = 2 if name == "conv1" else 3
        counted += products * int(np.prod(layer["weight"].shape)) * positions.get(name, 1) ** 2
    assert benchmark.multiply_adds(size) == counted
