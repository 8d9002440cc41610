"""The benchmark measures what it says: each implementation in its process, all sizes, equal work. What is measured
stands in notebook 11, whose cells are run here."""

import os
from functools import partial

import nbformat
import numpy as np
import pandas as pd
import pytest

from alexjax import alexnet
from study.config import PROJECT
from study.results import load_facts


def notebook(until, **parameters):
    """The variables of notebook 11 after its code cells up to the one with that id."""
    shown = []
    variables = {"__name__": "notebook_11", "_shown": shown, "display": shown.append}
    for cell in nbformat.read(PROJECT / "notebooks" / "11_speed.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, variables)
            if "parameters" in cell.metadata.get("tags", []):
                variables |= parameters
        if cell.id == until:
            return variables
    raise KeyError(until)


measure, COLUMNS = map(notebook("how-measure").get, ("measure", "COLUMNS"))


def test_it_measures_every_implementation_at_every_size():
    def large(image_size, batch_size, width):
        held = np.ones((50, 1 << 17))  # 50 MB

        def step():
            held.sum()

        step.device = f"{image_size} of {batch_size}, {width}"
        return step

    builders = {"large": ("numpy", large), "small": ("numpy", lambda *sizes: lambda: None), "none": ("nowhere", None)}
    table = measure("sum", builders, [67], [1, 2], width=0.5, repeats=2, precision="float64")
    assert list(table.implementation) == ["large", "small"] * 4  # interleaved, without what is not installed
    assert list(table.repeat) == [0, 0, 1, 1] * 2
    assert list(table.batch_size) == [1] * 4 + [2] * 4
    assert list(table.device) == ["67 of 1, 0.5", "cpu"] * 2 + ["67 of 2, 0.5", "cpu"] * 2
    assert (table[["task", "image_size", "width", "precision"]] == ["sum", 67, 0.5, "float64"]).all(axis=None)
    assert (table.seconds > 0).all()
    memory = table.groupby("implementation").memory_mb.max()
    assert 50 <= memory["large"] < 80
    assert memory["small"] < 10


def test_a_process_that_dies_is_an_error():
    for why, last in (("BrokenProcessPool", lambda: os._exit(3)), ("ZeroDivisionError", lambda: 1 / 0)):
        with pytest.raises(RuntimeError, match=f"the process of an implementation died: .*{why}"):
            measure("sum", {"mortal": ("numpy", lambda *sizes, last=last: last)}, [67])


def test_too_little_memory_is_no_time():
    def build(image_size, batch_size, width):
        def step():
            if batch_size > 1:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

        return step

    table = measure("sum", {"greedy": ("numpy", build)}, [67], [1, 2], repeats=1)
    assert list(table.seconds.isna()) == [False, True]


def test_the_notebook_measures_forward_and_backward(tmp_path):
    tiny = {"image_sizes": 67, "batch_sizes": "2", "width": 0.05, "repeats": 1}
    timings = str(tmp_path / "speed.csv")
    notebook("facts-table", **tiny, timings=timings, facts_dir=str(tmp_path))
    speed = pd.read_csv(timings)
    assert (speed.task == "AlexNet (2012)").all()
    assert set(speed.implementation) - {"PyTorch"} == {"NumPy", "JAX", "GEMM floor", "input pipeline"}
    assert (speed.seconds > 0).all()
    facts = load_facts(tmp_path / "11_speed.csv")
    assert {"speed.step.numpy.67.2", "speed.ratio.numpy-gemm-floor.67.2", "speed.pipeline"} <= set(facts)
    assert all(np.isfinite(fact.value) for fact in facts.values())


def test_the_notebook_measures_the_optimizers():
    updates = notebook("implementations")["UPDATES"]
    assert {task: list(builders) for task, builders in updates.items()} == {
        "Adam": ["NumPy", "JAX", "memory floor", "PyTorch"],
        "AdaSmooth": ["NumPy", "JAX", "memory floor"],
    }
    table = measure("AdaSmooth step", updates["AdaSmooth"], [67], width=0.05, repeats=1)
    assert len(table) == 3
    assert (table.seconds > 0).all()


def test_the_notebook_measures_training_on_all_devices():
    training, precision = notebook("implementations")["TRAINING"], "bfloat16"
    builders = {name: (module, partial(build, precision=precision)) for name, (module, build) in training.items()}
    table = measure("training", builders, [67], [2], width=0.05, repeats=1, precision=precision)
    assert list(table.implementation) == ["JAX", "GEMM floor"]
    assert (table.precision == "bfloat16").all()
    assert table.device.str.endswith("cpu").all()
    assert (table.seconds > 0).all()


def test_the_table_of_training_on_a_gpu(tmp_path):
    rows = [
        ("training", name, 227, 128, 1.0, precision, 0, "1 × GPU", seconds, 0, "a machine")
        for precision, training, product in [("float32", np.nan, 0.08), ("tf32", 0.04, 0.02), ("bfloat16", 0.02, 0.01)]
        for name, seconds in [("JAX", training), ("GEMM floor", product)]
    ]
    for name in ("NumPy", "GEMM floor"):
        rows.append(("AlexNet (2012)", name, 227, 32, 1.0, "float32", 0, "cpu", 1.0, 0, "a machine"))
    pd.DataFrame(rows, columns=[*COLUMNS, "machine"]).to_csv(tmp_path / "speed.csv", index=False)
    variables = notebook("gpu", read=str(tmp_path / "speed.csv"))
    table, (shown,) = variables["table"], variables["_shown"]
    assert list(table.index.get_level_values("precision")) == ["float32", "tf32", "bfloat16"]
    np.testing.assert_allclose(table["images/s"], [np.nan, 3200, 6400])
    np.testing.assert_allclose(table["of a matrix product"], [np.nan, 0.5, 0.5])
    text = shown.to_html()
    assert "out of memory" in text
    assert "1 × GPU" in text
    assert "nan" not in text
    assert {fact for fact in variables["facts"] if "training" in fact} == {
        "speed.training.tf32.128",
        "speed.training.bfloat16.128",
    }


def test_the_notebook_reads_the_published_timings():
    """Which lack the columns of now."""
    path = PROJECT / "data" / "results" / "stanford_cars" / "speed.csv"
    if not path.exists():
        pytest.skip("nothing is published yet")
    variables = notebook("facts-others", read=str(path))
    assert set(variables["speed"].precision) == {"float32"}
    assert set(variables["speed"].device) == {"cpu"}
    fact = variables["facts"]["speed.ratio.numpy-pytorch.227.32"]
    assert fact.low < fact.value < fact.high
    assert fact.n == 7


def test_targets_are_ratios_of_medians_and_reached_or_not(tmp_path):
    rows = [
        (task, name, 227, batch, 1.0, repeat, seconds, memory, "a machine")
        for task, name, batch, times, memory in [
            ("AlexNet (2012)", "NumPy", 32, (1.0, 1.2, 9.0), 100),
            ("AlexNet (2012)", "NumPy", 8, (50.0,), 900),
            ("AlexNet (2012)", "PyTorch", 32, (2.0, 2.0, 2.0), 90),
            ("AlexNet (2012)", "GEMM floor", 32, (0.6, 0.6, 0.6), 0),
            ("AlexNet (2012)", "JAX", 32, (2.2, 2.2, 2.2), 0),
            ("AlexNet (2012)", "input pipeline", 32, (0.1, 0.1, 0.1), 0),
            ("AdaSmooth step", "JAX", 0, (0.3,), 0),
            ("AdaSmooth step", "memory floor", 0, (0.2,), 0),
            ("Adam step", "NumPy", 0, (0.2,), 0),
            ("Adam step", "PyTorch", 0, (0.2,), 0),
            ("threads", "NumPy", 32, (1.0,), 0),
            ("threads", "NumPy, 1 thread", 32, (1.5,), 0),
        ]
        for repeat, seconds in enumerate(times)
    ]
    columns = [
        "task",
        "implementation",
        "image_size",
        "batch_size",
        "width",
        "repeat",
        "seconds",
        "memory_mb",
        "machine",
    ]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "speed.csv", index=False)
    result = notebook("babeb6b4", read=str(tmp_path / "speed.csv"))["table"].set_index("ratio")
    expected = {
        "AlexNet (2012), NumPy / PyTorch": (0.6, "not in every repeat"),
        "AlexNet (2012), NumPy / GEMM floor": (2.0, "no"),
        "Adam, NumPy / PyTorch (fused)": (1.0, "yes"),
        "AlexNet (2012), JAX / PyTorch": (1.1, "no"),
        "AdaSmooth, JAX / memory floor": (1.5, "yes"),
        "fastest training / input pipeline": (12.0, "yes"),
        "peak memory, NumPy / PyTorch": (100 / 90, "no"),
        "NumPy, 1 thread / all cores": (1.5, "no"),
    }
    assert {name: (row.measured.value, row.reached) for name, row in result.iterrows()} == {
        name: (pytest.approx(value), reached) for name, (value, reached) in expected.items()
    }
    assert result.measured["AlexNet (2012), NumPy / PyTorch"][1:3] == pytest.approx((0.5, 4.5))


@pytest.mark.parametrize("size", [67, 131, 227])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_count_of_multiplications(size, groups):
    """Against the shapes of the parameters: a weight is used once for every position of its layer's output, forward,
    for its own gradient, and (but in conv1) for that of the layer below."""
    import jax

    variables = notebook("multiplications")
    classes, multiply_adds = variables["NUM_CLASSES"], variables["multiply_adds"]
    shapes = jax.eval_shape(lambda key: alexnet.init(key, classes, size, groups=groups), jax.random.key(0))
    first = (size - 11) // 4 + 1
    second = (first - 3) // 2 + 1
    third = (second - 3) // 2 + 1
    positions = {"conv1": first, "conv2": second, "conv3": third, "conv4": third, "conv5": third}
    counted = 0
    for name, layer in shapes.items():
        products = 2 if name == "conv1" else 3
        counted += products * int(np.prod(layer["weight"].shape)) * positions.get(name, 1) ** 2
    assert multiply_adds(size, groups=groups) == counted
