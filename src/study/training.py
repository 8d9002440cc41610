"""`train`: one run, from a configuration to its result. The same loop drives both implementations.

Both start from the same weights and see the same batches in the same order; a backend says how to take a step,
how to predict, and what its state is.
"""

import contextlib
import json
import os
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pandas as pd
from jax.sharding import NamedSharding, PartitionSpec
from scipy.special import log_softmax, logsumexp

import nunes.autograd.functional as F
from alexjax import alexnet
from alexjax.training import data_mesh, initialize_from_environment, replicate, shard, train_step
from nunes import Tensor, no_grad
from nunes.models import AlexNet
from study import data, optimizers
from study.config import ConfigError, epsilon
from study.progress import progress_bar
from study.results import Result, describe_machine, peak_memory


class NumpyBackend:
    """AlexNet and its optimizer in nunes."""

    saves = True

    def __init__(self, config, num_classes, steps_per_epoch):
        self.config = config
        self.model = AlexNet(num_classes, config.image_size, config.width, dropout=config.dropout, seed=config.seed)
        self.optimizer = optimizers.in_nunes(config, self.model.parameters(), steps_per_epoch)

    def step(self, images, labels):
        """One step of training; returns the loss of the batch."""
        self.model.train().reseed_dropout(self.config.seed, self.optimizer.count)
        try:
            loss = F.cross_entropy(self.model(Tensor(images)), labels, self.config.label_smoothing)
        except FloatingPointError:  # diverged: `train` sees it in the loss, as with the other backend
            return np.nan
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def sums(self):
        """AdaSmooth's s, n and v of each layer's weights; none of other optimizers."""
        state = self.optimizer.state
        if "s.0" not in state:
            return {}
        names = enumerate(self.model.state_dict())
        return {name.split(".")[0]: [state[f"{key}.{i}"] for key in "snv"] for i, name in names if "weight" in name}

    def filters(self):
        """The weights of conv1. -> (11, 11, 3, C)"""
        return self.model.state_dict()["conv1.weight"]

    def predict(self, images):
        """(N, S, S, 3) -> (N, num_classes) logits"""
        with no_grad():
            return self.model.eval()(Tensor(images)).numpy()

    def state(self):
        """All that a later step depends on, as {name: array}."""
        return self.model.state_dict() | {f"optimizer/{k}": v for k, v in self.optimizer.state_dict().items()}

    def restore(self, state):
        of_optimizer = {k.removeprefix("optimizer/"): v for k, v in state.items() if k.startswith("optimizer/")}
        self.model.load_state_dict({k: v for k, v in state.items() if not k.startswith("optimizer/")})
        self.optimizer.load_state_dict(of_optimizer)


class JaxBackend:
    """AlexNet in alexjax, its optimizer in optax, on all devices that there are."""

    def __init__(self, config, num_classes, steps_per_epoch):
        self.config, self.mesh = config, data_mesh()
        self.saves = jax.process_index() == 0  # of several machines, one
        if config.batch_size % self.mesh.size:
            raise ConfigError(f"batch_size {config.batch_size} cannot be shared evenly by {self.mesh.size} devices")
        self.optimizer = optimizers.in_optax(config, steps_per_epoch)
        start = AlexNet(num_classes, config.image_size, config.width, seed=config.seed)  # as NumpyBackend's
        params = alexnet.from_state_dict(start.state_dict())
        self.params, self.optimizer_state = replicate(self.mesh, (params, self.optimizer.init(params)))
        self.count = 0
        self._step = train_step(self.optimizer, config.label_smoothing, dropout=config.dropout)
        self._apply = jax.jit(alexnet.apply, out_shardings=NamedSharding(self.mesh, PartitionSpec()))

    def step(self, images, labels):
        """One step of training; returns the loss of the batch, still being computed."""
        key = jax.random.fold_in(jax.random.key(self.config.seed), self.count)
        images, labels = shard(self.mesh, (images, labels))
        self.params, self.optimizer_state, loss = self._step(self.params, self.optimizer_state, images, labels, key)
        self.count += 1
        return loss

    def sums(self):
        """As NumpyBackend's."""
        trees = [optax.tree.get(self.optimizer_state, name) for name in ("displacement", "distance", "nu")]
        if trees[0] is None:
            return {}
        return {layer: [np.asarray(tree[layer]["weight"]) for tree in trees] for layer in trees[0]}

    def filters(self):
        return np.asarray(self.params["conv1"]["weight"])

    def predict(self, images):
        """(N, S, S, 3) -> (N, num_classes) logits"""
        return np.asarray(self._apply(self.params, shard(self.mesh, images)))

    def state(self):
        leaves = jax.tree.leaves((self.params, self.optimizer_state))
        return {"count": np.asarray(self.count)} | {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}

    def restore(self, state):
        structure = jax.tree.structure((self.params, self.optimizer_state))
        leaves = [state[f"leaf{i}"] for i in range(structure.num_leaves)]
        self.params, self.optimizer_state = replicate(self.mesh, jax.tree.unflatten(structure, leaves))
        self.count = int(state["count"])


BACKENDS = {"numpy": NumpyBackend, "jax": JaxBackend}


def evaluate(backend, split, size, batch_size, normalise, views=1):
    """The mean cross-entropy in nats, the accuracy, and the logarithms of the predicted probabilities
    (N, num_classes), which are averaged over the `views` of an image."""
    log_probabilities = []
    for images in data.views(split.images, size, views):
        logits = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            # The last batch is filled up to the size of the others, so that JAX compiles once.
            filled = np.concatenate([batch, np.repeat(batch[:1], batch_size - len(batch), axis=0)])
            logits.append(backend.predict(normalise(filled))[: len(batch)])
        log_probabilities.append(log_softmax(np.concatenate(logits).astype(np.float64), axis=1))
    predicted = logsumexp(log_probabilities, axis=0) - np.log(views)
    loss = -predicted[np.arange(len(split)), split.labels].mean()
    return float(loss), float((predicted.argmax(axis=1) == split.labels).mean()), predicted


def inside_adasmooth(backend, eps):
    """{"ratio_conv1": ..., "floor_conv1": ...}: of each layer's weights the mean effective ratio of those that have
    moved in the window, and the share of those whose average of squared gradients, v, is below ε."""
    columns = {}
    for layer, (s, n, v) in backend.sums().items():
        moved = n > 1e-20
        columns[f"ratio_{layer}"] = np.abs(s[moved] / n[moved]).mean() if moved.any() else np.nan
        columns[f"floor_{layer}"] = (v < eps).mean()
    return columns


def train(config, checkpoint=None):
    """Train one network as `config` says.

    Args:
        config: a RunConfig.
        checkpoint: a file; after every epoch all state is saved there, and if it exists and is of the same
            configuration, training continues from it.

    Returns:
        A Result: `.history`, a DataFrame with a row an epoch; `.summary`, a dict; the test split is evaluated
        once, after the last epoch, or with `config.test` false never. A run whose loss is no longer finite stops there
        and is marked `diverged`.

    Raises:
        ConfigError: the dataset cannot be loaded.
    """
    if config.backend == "jax":
        initialize_from_environment()
    dataset = data.load_dataset(config.dataset, config.data_dir, config.label, config.image_size)
    if len(dataset.train) < config.batch_size:
        raise ConfigError(f"batch_size {config.batch_size} is larger than the {len(dataset.train)} training images")
    mean, std = data.normalisation(dataset.train.images)

    def normalise(images):
        return (images - mean) / std

    def judge(split, views=1):
        return evaluate(backend, split, config.image_size, config.batch_size, normalise, views)

    steps_per_epoch = len(dataset.train) // config.batch_size
    machine = describe_machine() | {"device": jax.devices()[0].device_kind if config.backend == "jax" else "cpu"}
    backend = BACKENDS[config.backend](config, len(dataset.class_names), steps_per_epoch)
    identity = {"config": config.to_dict(), "digest": dataset.digest}
    rows = _restore(checkpoint, identity, backend)
    diverged = False
    progress = progress_bar(config.epochs * steps_per_epoch, len(rows) * steps_per_epoch)
    for epoch in range(len(rows), config.epochs):
        start, losses = time.perf_counter(), []
        for images, labels in data.batches(
            dataset.train, config.image_size, config.batch_size, config.seed, epoch, config.augment,
            zoom=config.zoom, colour=config.colour,
        ):  # fmt: skip
            if len(losses) == steps_per_epoch - 1:  # after it a window of one epoch begins anew
                inside = inside_adasmooth(backend, epsilon(config))
            losses.append(backend.step(normalise(images), labels))
            progress.update()
        losses = np.asarray([float(loss) for loss in losses])
        seconds = time.perf_counter() - start
        val_loss, val_accuracy, _ = judge(dataset.validation)
        rows.append(
            {
                "epoch": epoch + 1,
                "step": (epoch + 1) * steps_per_epoch,
                "train_loss": losses.mean(),
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "seconds": seconds,  # of training in this epoch, without evaluation
                **inside,
            }
        )
        progress.clear()
        print(
            f"epoch {epoch + 1:3d}/{config.epochs}: train loss {losses.mean():.4f}, validation loss {val_loss:.4f}, "
            f"accuracy {val_accuracy:.1%}, {seconds:.1f} s",
            flush=True,
        )
        diverged = not np.isfinite([losses.mean(), val_loss]).all()
        if diverged:
            break
        _save(checkpoint, identity, backend, rows)
    progress.close()

    history = pd.DataFrame(rows)
    tested, labels, logits = {}, None, None
    if config.test:
        loss, accuracy, logits = judge(dataset.test, config.views)
        labels = dataset.test.labels
        tested = {"test_loss": loss, "test_accuracy": accuracy}
        if logits.shape[1] > 10:
            best_five = np.argpartition(logits, -5, axis=1)[:, -5:]
            tested["test_top5"] = float((best_five == labels[:, None]).any(axis=1).mean())
    # The first epoch holds compilation and warming up; the others tell the speed.
    typical = history.seconds[1:].median() if len(history) > 1 else history.seconds[0]
    summary = {
        **tested,
        **{name: float(rows[-1][name]) for name in ("val_loss", "val_accuracy", "train_loss")},
        "diverged": diverged,
        "steps": rows[-1]["step"],
        "seconds": float(history.seconds.sum()),
        "images_per_second": float(steps_per_epoch * config.batch_size / typical),
        "counts": dataset.counts,
        "class_names": dataset.class_names,
        "source": dataset.source,
        "digest": dataset.digest,
        **machine,
        "peak_memory_mb": peak_memory(),
    }
    return Result(config.to_dict(), history, summary, labels, logits, backend.filters())


def _save(checkpoint, identity, backend, rows):
    """Write the state into a file beside the checkpoint, then rename it: there is never half a checkpoint."""
    if checkpoint is None or not backend.saves:
        return
    checkpoint = Path(checkpoint)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    about = json.dumps(identity | {"rows": rows}, default=float)
    partial = checkpoint.with_suffix(".partial.npz")
    np.savez(partial, about=np.array(about), **backend.state())
    os.replace(partial, checkpoint)


def _restore(checkpoint, identity, backend):
    """Restore a checkpoint of the same configuration and data, if there is one; returns the finished epochs' rows."""
    if checkpoint is None or not Path(checkpoint).exists():
        return []
    with np.load(checkpoint, allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
        if {key: about.get(key) for key in identity} == identity:
            with contextlib.suppress(KeyError, ValueError):  # of an older version of this code
                backend.restore({name: arrays[name] for name in arrays.files if name != "about"})
                return about["rows"]
    print(f"the checkpoint {checkpoint} is of another run; starting anew", flush=True)
    return []
