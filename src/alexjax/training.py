"""The training step, and where its arguments live: on one device, on several, on several machines.

    initialize_from_environment()                      several machines find each other; else it does nothing
    mesh   = data_mesh()                               all devices in a row, the axis "batch"
    step   = train_step(optimizer, dropout=0.5)        the same function wherever it runs
    params, state = replicate(mesh, (params, state))   a copy on every device
    images, labels = shard(mesh, (images, labels))     a piece of the batch on every device
    params, state, loss = step(params, state, images, labels, key)

Nothing in the step speaks of devices: XLA's partitioner sees that the mean over the batch runs over a sharded axis,
and sums the gradients of all devices there.
"""

import os
from functools import partial

import jax
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from alexjax import alexnet


def train_step(optimizer, label_smoothing=0.0, apply=alexnet.apply, **options):
    """One step of training, jitted, its parameters and optimizer state updated in place (donated).

    Args:
        optimizer: an optax.GradientTransformation.
        label_smoothing: of `alexnet.cross_entropy`.
        apply: the network, (params, images, key=..., **options) -> logits.
        options: of `apply`; of `alexnet.apply` groups, local_response_norm, dropout, compute_dtype.

    Returns:
        step(params, state, images, labels, key) -> (params, state, loss); `key` for dropout, or None.
    """

    def loss_of(params, images, labels, key):
        return alexnet.cross_entropy(apply(params, images, key=key, **options), labels, label_smoothing)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, images, labels, key):
        loss, gradients = jax.value_and_grad(loss_of)(params, images, labels, key)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    return step


def initialize_from_environment():
    """Join the other processes of a run on several machines, if JAX_COORDINATOR_ADDRESS=host:port is set.

    Call it before anything else of JAX. How many processes there are and which one this is stands in
    JAX_NUM_PROCESSES and JAX_PROCESS_ID; under Slurm, Open MPI or Kubernetes JAX knows without them.
    """
    if "JAX_COORDINATOR_ADDRESS" in os.environ and not jax.distributed.is_initialized():
        count, index = (os.environ.get(name) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
        jax.distributed.initialize(num_processes=count and int(count), process_id=index and int(index))


def data_mesh(devices=None):
    """All devices (of all processes), or those given, as a mesh with one axis, "batch"."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("batch",), (AxisType.Auto,), devices=devices)


def replicate(mesh, tree):
    """Every array of a pytree whole on every device. Each process gives the same values."""
    return _put(tree, NamedSharding(mesh, PartitionSpec()), may_alias=False)  # a step will overwrite it


def shard(mesh, batch):
    """The arrays of a pytree cut along their first axis, one piece a device.

    Each process gives the whole batch, and puts its own devices' pieces there.

    Raises:
        ValueError: the devices cannot share the first axis evenly.
    """
    for array in jax.tree.leaves(batch):
        if len(array) % mesh.size:
            raise ValueError(f"a batch of {len(array)} cannot be shared evenly by {mesh.size} devices")
    return _put(batch, NamedSharding(mesh, PartitionSpec("batch")))


def _put(tree, sharding, may_alias=None):
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding, may_alias=may_alias)
    return jax.tree.map(lambda a: jax.make_array_from_callback(a.shape, sharding, a.__getitem__), tree)
