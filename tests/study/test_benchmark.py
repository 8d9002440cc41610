"""The benchmark measures what it says: each implementation in its process, all sizes, equal work."""

import numpy as np
import pandas as pd
import pytest

from alexjax import alexnet
from study import accelerator, benchmark
from study.report import accelerator_table


def test_it_measures_every_implementation_at_every_size():
    table = benchmark.measure([67], [1, 2], width=0.05, repeats=2, names=["NumPy", "GEMM floor"])
    assert len(table) == 2 * 2 * 2
    assert (table.seconds > 0).all()
    assert set(table.implementation) == {"NumPy", "GEMM floor"}
    assert (table[table.implementation == "NumPy"].memory_mb > 0).all()


@pytest.mark.parametrize("task", benchmark.PASSES)
def test_it_measures_the_optimizers(task):
    names = [name for name in benchmark.implementations(task) if name != "PyTorch"]
    assert names == ["NumPy", "JAX", "memory floor"]
    table = benchmark.measure([67], [0], width=0.05, repeats=2, task=task, names=names)
    assert len(table) == 2 * 3
    assert (table.seconds > 0).all()


def test_the_accelerators_table(tmp_path):
    assert "not measured" in accelerator_table(tmp_path)
    table = accelerator.measure([2], image_size=67, width=0.05, repeats=1, count=1, side=64)
    assert list(table.precision) == ["float32", "tf32", "bfloat16"]
    assert (table.images_per_second > 0).all()
    ratio = table.teraflops / table.matmul_teraflops
    np.testing.assert_allclose(table.fraction, ratio)
    table.loc[0, ["images_per_second", "fraction"]] = float("nan")
    table.to_csv(tmp_path / "accelerator.csv", index=False)
    text = accelerator_table(tmp_path)
    assert "1 × cpu" in text
    assert text.count("out of memory") == 1
    assert "nan" not in text


def test_targets_are_ratios_of_medians_and_reached_or_not():
    rows = [
        (task, name, 227, batch, seconds, memory)
        for task, name, batch, times, memory in [
            ("AlexNet (2012)", "NumPy", 32, (1.0, 1.2, 9.0), 100),
            ("AlexNet (2012)", "NumPy", 8, (50.0,), 900),
            ("AlexNet (2012)", "PyTorch", 32, (2.0, 2.0, 2.0), 90),
            ("AlexNet (2012)", "GEMM floor", 32, (0.6, 0.6), 0),
            ("AlexNet (2012)", "JAX", 32, (2.2,), 0),
            ("AlexNet (2012)", "input pipeline", 32, (0.1,), 0),
            ("AdaSmooth step", "JAX", 0, (0.3,), 0),
            ("AdaSmooth step", "memory floor", 0, (0.2,), 0),
            ("Adam step", "NumPy", 0, (0.2,), 0),
            ("Adam step", "PyTorch", 0, (0.2,), 0),
            ("threads", "NumPy", 32, (1.0,), 0),
            ("threads", "NumPy, 1 thread", 32, (1.5,), 0),
        ]
        for seconds in times
    ]
    table = pd.DataFrame(rows, columns=["task", "implementation", "image_size", "batch_size", "seconds", "memory_mb"])
    result = benchmark.targets(table).set_index("ratio")
    expected = {
        "AlexNet (2012), NumPy / PyTorch": (0.6, "yes"),
        "AlexNet (2012), NumPy / GEMM floor": (2.0, "no"),
        "Adam, NumPy / PyTorch (fused)": (1.0, "yes"),
        "AlexNet (2012), JAX / PyTorch": (1.1, "no"),
        "AdaSmooth, JAX / memory floor": (1.5, "yes"),
        "input pipeline / fastest training": (12.0, "yes"),
        "peak memory, NumPy / PyTorch": (100 / 90, "no"),
        "NumPy, 1 thread / all cores": (1.5, "no"),
    }
    assert {name: (row.measured, row.reached) for name, row in result.iterrows()} == {
        name: (pytest.approx(value), reached) for name, (value, reached) in expected.items()
    }


@pytest.mark.parametrize("size", [67, 131, 227])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_count_of_multiplications(size, groups):
    """Against the shapes of the parameters: a weight is used once for every position of its layer's output, forward,
    for its own gradient, and (but in conv1) for that of the layer below."""
    import jax

    shapes = jax.eval_shape(
        lambda key: alexnet.init(key, benchmark.NUM_CLASSES, size, groups=groups), jax.random.key(0)
    )
    first = (size - 11) // 4 + 1
    second = (first - 3) // 2 + 1
    third = (second - 3) // 2 + 1
    positions = {"conv1": first, "conv2": second, "conv3": third, "conv4": third, "conv5": third}
    counted = 0
    for name, layer in shapes.items():
        products = 2 if name == "conv1" else 3
        counted += products * int(np.prod(layer["weight"].shape)) * positions.get(name, 1) ** 2
    assert benchmark.multiply_adds(size, groups=groups) == counted
