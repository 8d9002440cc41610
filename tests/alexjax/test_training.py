"""The training step: compiled once, in bfloat16 too, on eight devices, and in two processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from alexjax import adasmooth, alexnet
from alexjax.training import data_mesh, replicate, shard, train_step

HERE = Path(__file__).parent
SHAPE = {"num_classes": 10, "image_size": 67, "width": 0.125}


def batch(count=4, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.standard_normal((count, 67, 67, 3)).astype(np.float32)
    return images, generator.integers(0, 10, count)


def test_training_compiles_once():
    params = alexnet.init(jax.random.key(0), **SHAPE)
    solver = adasmooth(optax.cosine_decay_schedule(1e-3, 4), window=3)
    state, step = solver.init(params), train_step(solver, dropout=0.5)
    for index in range(4):
        params, state, _ = step(params, state, *batch(seed=index), jax.random.key(index))
    assert step._cache_size() == 1


def test_the_old_parameters_memory_is_used_again():
    params = alexnet.init(jax.random.key(0), **SHAPE)
    solver = adasmooth()
    state = solver.init(params)
    train_step(solver)(params, state, *batch(), None)
    assert all(array.is_deleted() for array in jax.tree.leaves((params, state[0].nu)))


def test_replicated_parameters_are_a_copy():
    params = alexnet.init(jax.random.key(0), **SHAPE)
    mesh, solver = data_mesh(), adasmooth()
    train_step(solver)(*replicate(mesh, (params, solver.init(params))), *shard(mesh, batch(mesh.size)), None)
    assert not any(array.is_deleted() for array in jax.tree.leaves(params))


def test_bfloat16_computes_nearly_the_same_and_keeps_float32_parameters():
    solver, losses = adasmooth(1e-4), {}
    for dtype in (None, jnp.bfloat16):
        params = alexnet.init(jax.random.key(0), **SHAPE)
        state, step = solver.init(params), train_step(solver, compute_dtype=dtype)
        losses[dtype] = []
        for _ in range(10):
            params, state, loss = step(params, state, *batch(16), None)
            losses[dtype].append(float(loss))
        assert {array.dtype for array in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
        assert loss.dtype == jnp.float32
    assert losses[None] != losses[jnp.bfloat16]
    np.testing.assert_allclose(losses[jnp.bfloat16], losses[None], rtol=0.03)
    assert losses[jnp.bfloat16][-1] < 0.9 * losses[jnp.bfloat16][0]


def run(arguments, **environment):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env={k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_eight_devices():
    process = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "eight_devices.py"], JAX_NUM_CPU_DEVICES="8")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert " passed" in output
    assert "skipped" not in output


def test_two_processes_find_each_other_and_train_as_one():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    processes = [
        run(
            [HERE / "one_of_several.py"],
            JAX_COORDINATOR_ADDRESS=address,
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(index),
            JAX_NUM_CPU_DEVICES="2",
        )
        for index in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    alone, _ = run([HERE / "one_of_several.py"], JAX_NUM_CPU_DEVICES="4").communicate(timeout=300)
    first, second, expected = (output.strip().splitlines()[-1].split() for output in (*outputs, alone))
    assert first[:2] == ["2", "4"]  # processes, devices
    assert expected[:2] == ["1", "4"]
    assert first[2:] == second[2:]
    np.testing.assert_allclose(np.array(first[2:], float), np.array(expected[2:], float), rtol=1e-5)
