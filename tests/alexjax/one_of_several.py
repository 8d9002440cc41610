"""Train a few steps on all devices of all processes; print their numbers and the losses. Run by test_training.py."""

import jax
import numpy as np

from alexjax import adasmooth, alexnet
from alexjax.training import data_mesh, initialize_from_environment, replicate, shard, train_step

initialize_from_environment()
mesh, solver = data_mesh(), adasmooth(1e-4)
params = alexnet.init(jax.random.key(0), 10, image_size=67, width=0.125)
params, state = replicate(mesh, (params, solver.init(params)))
step, losses = train_step(solver, dropout=0.5), []
for index in range(4):
    generator = np.random.default_rng(index)
    images = generator.standard_normal((8, 67, 67, 3)).astype(np.float32)
    batch = shard(mesh, (images, generator.integers(0, 10, 8)))
    params, state, loss = step(params, state, *batch, jax.random.key(index))
    losses.append(float(loss))
print(jax.process_count(), jax.device_count(), *losses)
