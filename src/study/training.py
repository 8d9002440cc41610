"""`train`: one run, from a configuration to its result. The same loop drives both implementations and every network.

Both start from the same weights and see the same batches in the same order; a backend says how to take a step,
how to predict, and what its state is.
"""

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
from alexjax import alexnet, digits
from alexjax.training import data_mesh, initialize_from_environment, replicate, shard, train_step
from nunes import Tensor, models, no_grad
from study import data, optimizers, progress
from study.config import ConfigError, check, whole
from study.results import EXPLODED, Result, describe_machine

APPLY = {"alexnet": alexnet.apply, "cnn": digits.apply, "mlp": digits.apply}


def build(config, num_classes):
    """The network of a run in nunes, with its initial weights, from which both implementations start."""
    if config.network == "alexnet":
        return models.AlexNet(num_classes, config.image_size, config.width, dropout=config.dropout, seed=config.seed)
    return {"cnn": models.CNN, "mlp": models.MLP}[config.network](config.seed, config.dropout)


class NumpyBackend:
    """The network and its optimizer in nunes."""

    saves = True

    def __init__(self, config, num_classes, steps_per_epoch):
        self.config, self.model = config, build(config, num_classes)
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

    def weights(self):
        """All parameters, as {"conv1.weight": array, ...}."""
        return self.model.state_dict()

    def predict(self, images):
        """(N, S, S, C) -> (N, num_classes) logits"""
        with no_grad():
            return self.model.eval()(Tensor(images)).numpy()

    def state(self):
        """All that a later step depends on, as a pytree of arrays."""
        return self.model.state_dict(), self.optimizer.state_dict()

    def restore(self, state):
        self.model.load_state_dict(state[0])
        self.optimizer.load_state_dict(state[1])


class JaxBackend:
    """The network in alexjax, its optimizer in optax, on all devices that there are; methods as NumpyBackend's."""

    def __init__(self, config, num_classes, steps_per_epoch):
        self.config, self.mesh = config, data_mesh()
        self.saves = jax.process_index() == 0  # of several machines, one
        if config.batch_size % self.mesh.size:
            raise ConfigError(f"batch_size {config.batch_size} cannot be shared evenly by {self.mesh.size} devices")
        self.optimizer, apply = optimizers.in_optax(config, steps_per_epoch), APPLY[config.network]
        params = alexnet.from_state_dict(build(config, num_classes).state_dict())
        self.params, self.optimizer_state = replicate(self.mesh, (params, self.optimizer.init(params)))
        self.count = 0
        self._step = train_step(self.optimizer, config.label_smoothing, apply, dropout=config.dropout)
        self._apply = jax.jit(apply, out_shardings=NamedSharding(self.mesh, PartitionSpec()))

    def step(self, images, labels):
        """One step of training; returns the loss of the batch, still being computed."""
        key = jax.random.fold_in(jax.random.key(self.config.seed), self.count)
        images, labels = shard(self.mesh, (images, labels))
        self.params, self.optimizer_state, loss = self._step(self.params, self.optimizer_state, images, labels, key)
        self.count += 1
        return loss

    def sums(self):
        trees = [optax.tree.get(self.optimizer_state, name) for name in ("displacement", "distance", "nu")]
        if trees[0] is None:
            return {}
        return {layer: [np.asarray(tree[layer]["weight"]) for tree in trees] for layer in trees[0]}

    def weights(self):
        layers = self.params.items()
        return {f"{layer}.{kind}": np.asarray(array) for layer, arrays in layers for kind, array in arrays.items()}

    def predict(self, images):
        return np.asarray(self._apply(self.params, shard(self.mesh, images)))

    def state(self):
        return self.params, self.optimizer_state, np.asarray(self.count)

    def restore(self, state):
        self.params, self.optimizer_state = replicate(self.mesh, state[:2])
        self.count = int(state[2])


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
    dataset = data.load_dataset(config.dataset, config.data_dir, config.label, config.image_size, config.split_seed)
    larger = f"batch_size {config.batch_size} is larger than the {len(dataset.train)} training images"
    check(len(dataset.train) >= config.batch_size, larger)
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
    distortion = {"zoom": config.zoom, "colour": config.colour}
    total, done = config.epochs * steps_per_epoch, len(rows) * steps_per_epoch
    bar = progress.bar(total=total, initial=done, unit="step")
    for epoch in range(len(rows), config.epochs):
        bar.set_description(f"epoch {epoch + 1}/{config.epochs}", refresh=False)
        start, losses, order = time.perf_counter(), [], (config.batch_size, config.seed, epoch)
        for images, labels in data.batches(dataset.train, config.image_size, *order, config.augment, **distortion):
            if len(losses) == steps_per_epoch - 1:  # after it a window of one epoch begins anew
                inside = inside_adasmooth(backend, config.eps)
            losses.append(backend.step(normalise(images), labels))
            bar.update()
        losses = np.asarray([float(loss) for loss in losses])
        row = {"epoch": epoch + 1, "step": (epoch + 1) * steps_per_epoch, "train_loss": losses.mean()}
        seconds = time.perf_counter() - start  # of training in this epoch, without evaluation
        row["val_loss"], row["val_accuracy"], _ = judge(dataset.validation)
        rows.append(row | {"seconds": seconds} | inside)
        bar.clear()
        line = "train loss {train_loss:.4f}, validation loss {val_loss:.4f}, accuracy {val_accuracy:.1%}".format(**row)
        print(f"epoch {epoch + 1}/{config.epochs}: {line}, {seconds:.1f} s", flush=True)
        if not np.isfinite([row["train_loss"], row["val_loss"]]).all():
            break
        _save(checkpoint, identity, backend, rows)
    bar.close()

    row = rows[-1]
    summary, logits = {name: float(row[name]) for name in ("val_loss", "val_accuracy", "train_loss")}, None
    if config.test:
        summary["test_loss"], summary["test_accuracy"], logits = judge(dataset.test, config.views)
        if logits.shape[1] > 10:
            best_five = np.argpartition(logits, -5, axis=1)[:, -5:]
            summary["test_top5"] = float((best_five == dataset.test.labels[:, None]).any(axis=1).mean())
    history = pd.DataFrame(rows)
    diverged = not np.max([row["train_loss"], row["val_loss"]]) < EXPLODED
    summary |= {"diverged": diverged, "steps": row["step"], "seconds": float(history.seconds.sum())}
    summary |= {name: getattr(dataset, name) for name in ("counts", "class_names", "source", "digest")} | machine
    files = np.concatenate([split.files for split in (dataset.train, dataset.validation, dataset.test)])
    places = np.searchsorted(np.sort(files), dataset.test.files)
    return Result(config.to_dict(), history, summary, dataset.test.labels, logits, backend.weights(), places)


def _save(checkpoint, identity, backend, rows):
    if checkpoint is None or not backend.saves:
        return
    about = np.array(json.dumps(identity | {"rows": rows}, default=float))
    with whole(checkpoint) as partial:
        np.savez(partial, about, *map(np.asarray, jax.tree.leaves(backend.state())))


def _restore(checkpoint, identity, backend):
    """Restore a checkpoint of the same configuration and data, if there is one; returns the finished epochs' rows.

    It is read whole before anything is assigned. One that cannot be read is put aside."""
    if checkpoint is None or not Path(checkpoint).exists():
        return []
    try:
        with np.load(checkpoint, allow_pickle=False) as arrays:
            about, *leaves = (arrays[name] for name in arrays.files)
        about = json.loads(str(about))
        identified, rows = {key: about[key] for key in identity}, about["rows"]
    except Exception as error:  # whatever damage does
        with whole(Path(checkpoint).with_suffix(".damaged")) as aside:
            os.replace(checkpoint, aside)
        print(
            f"the checkpoint {checkpoint} cannot be read ({error!r}); put aside, as .damaged; starting anew", flush=True
        )
        return []
    ours, structure = jax.tree.flatten(backend.state())
    fits = [(np.shape(leaf), leaf.dtype) for leaf in leaves] == [(np.shape(leaf), leaf.dtype) for leaf in ours]
    if fits and identified == identity:
        backend.restore(jax.tree.unflatten(structure, leaves))
        return rows
    print(f"the checkpoint {checkpoint} is of another run; starting anew", flush=True)
    return []
