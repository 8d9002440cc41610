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
    """Against the shapes of the parameters: a weight is used once for every position of its layer's output."""
    import jax

    shapes = jax.eval_shape(lambda key: alexnet.init(key, 1000, size), jax.random.key(0))
    first = (size - 11) // 4 + 1
    second = (first - 3) // 2 + 1
    third = (second - 3) // 2 + 1
    positions = {"conv1": first, "conv2": second, "conv3": third, "conv4": third, "conv5": third}
    counted = sum(int(np.prod(layer["weight"].shape)) * positions.get(name, 1) ** 2 for name, layer in shapes.items())
    ours = benchmark.multiply_adds(size) + 4096 * (1000 - benchmark.NUM_CLASSES)
    assert ours == counted
