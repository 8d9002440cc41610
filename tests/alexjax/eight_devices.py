"""The same training on one device and on eight, simulated. Run by test_training.py, in a process that has eight."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax._src import sharding_test

from alexjax import adasmooth, adasmooth_delta, alexnet
from alexjax.training import data_mesh, replicate, shard, train_step

SHAPE = {"num_classes": 10, "image_size": 67, "width": 0.125}
ALIASES = {"adasmooth": adasmooth, "adasmooth_delta": adasmooth_delta}


def train(devices, steps=12, dropout=0.5, **options):
    """The losses, the parameters, and how often the step was compiled."""
    mesh = data_mesh(devices)
    solver = adasmooth(optax.cosine_decay_schedule(3e-5, 100), window=5)
    step = train_step(solver, dropout=dropout, **options)
    params = alexnet.init(jax.random.key(0), **SHAPE)
    params, state = replicate(mesh, (params, solver.init(params)))
    losses = []
    for index in range(steps):
        generator = np.random.default_rng(index % 3)
        images = generator.standard_normal((16, 67, 67, 3)).astype(np.float32)
        batch = shard(mesh, (images, generator.integers(0, 10, 16)))
        params, state, loss = step(params, state, *batch, jax.random.key(index))
        losses.append(float(loss))
    return losses, (params, state), step._cache_size()


def test_eight_devices_follow_one():
    one, (params, _), _ = train(jax.devices()[:1])
    eight, (shared, state), compilations = train(jax.devices())
    np.testing.assert_allclose(eight, one, rtol=1e-5)
    assert one[9] < one[0]  # the same batch, three times later
    assert compilations == 1
    for ours, theirs in zip(jax.tree.leaves(shared), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    for array in jax.tree.leaves((shared, state)):
        assert len(array.sharding.device_set) == 8
        assert array.is_fully_replicated
        first, *others = (np.asarray(piece.data) for piece in array.addressable_shards)
        assert len(others) == 7
        for other in others:
            np.testing.assert_array_equal(other, first)


def test_a_batch_is_shared_out():
    mesh = data_mesh()
    images = shard(mesh, np.arange(16.0).reshape(16, 1))
    assert [piece.data.shape for piece in images.addressable_shards] == [(2, 1)] * 8
    np.testing.assert_array_equal(images, np.arange(16.0).reshape(16, 1))
    with pytest.raises(ValueError, match="a batch of 12 cannot be shared evenly by 8 devices"):
        shard(mesh, np.zeros((12, 1)))


@pytest.mark.parametrize("name", ALIASES)
def test_the_state_is_sharded_like_the_parameters(name):
    mesh = data_mesh()
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "batch"))
    params = {"weight": jax.device_put(jnp.ones((4, 16)), sharding)}
    solver = ALIASES[name](1e-2, window=3)
    state = jax.jit(solver.init)(params)
    updates, after = jax.jit(solver.update)(params, state, params)
    for leaf in (updates["weight"], after[0].nu["weight"], after[0].displacement["weight"]):
        assert leaf.sharding.is_equivalent_to(sharding, 2)


@pytest.mark.parametrize("name", ALIASES)
@pytest.mark.parametrize(
    "check", [name for name in vars(sharding_test.ShardingTest) if name.endswith("_adam") and name.startswith("test_")]
)
def test_optaxs_own_checks_of_sharding(check, name, monkeypatch):
    monkeypatch.setattr(jax, "__version__", "0.9")  # they compare it as a string, and skip themselves on 0.10
    case = sharding_test.ShardingTest(check)
    getattr(sharding_test.ShardingTest, check).__wrapped__(case, ALIASES[name](1.0))
