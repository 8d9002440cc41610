"""Training: both backends follow one path, runs repeat and resume, and what is written can be read."""

import base64
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from study import data, train, training
from study.config import OPTIMIZERS, ConfigError, RunConfig
from study.results import load_runs

CONFIG = RunConfig(width=0.1, batch_size=16, epochs=2, learning_rate=1e-3, schedule="constant", dropout=0.5)


def changed(config, **changes):
    return RunConfig(**config.model_dump() | changes)


@pytest.fixture(autouse=True)
def tiny_dataset(monkeypatch):
    """96 noisy pictures of three classes that differ in brightness."""

    def load(name, data_dir=None, label="body", image_size=67, split_seed=-1):
        generator = np.random.default_rng(0)
        shape = (28, 28, 1) if name == "mnist" else (75, 75, 3)

        def split(count):
            labels = np.arange(count) % 3
            images = generator.integers(0, 120, (count, *shape)) + 60 * labels[:, None, None, None]
            return data.Split(images.astype(np.uint8), labels, next(files))

        files = iter(np.split(np.char.mod("%03d.jpg", np.random.default_rng(1).permutation(147)), [96, 117]))
        return data.Dataset(name, label, image_size, ["a", "b", "c"], split(96), split(21), split(30), "made up", "0")

    monkeypatch.setattr(training.data, "load_dataset", load)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_it_learns_repeats_and_resumes(backend, tmp_path, monkeypatch):
    config = changed(CONFIG, backend=backend, epochs=4)
    whole = train(config)
    assert whole.history.epoch.tolist() == [1, 2, 3, 4]
    assert whole.history.train_loss.iloc[-1] < whole.history.train_loss.iloc[0]
    assert not whole.summary["diverged"]

    checkpoint, save = tmp_path / "c" / "run.npz", training._save

    def save_and_stop(path, identity, backend, rows):
        save(path, identity, backend, rows)
        if len(rows) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train(config, checkpoint)
    monkeypatch.setattr(training, "_save", save)
    resumed = train(config, checkpoint)
    for column in ("train_loss", "val_loss", "val_accuracy"):
        np.testing.assert_array_equal(resumed.history[column], whole.history[column])
    assert resumed.summary["test_loss"] == whole.summary["test_loss"]
    assert [path.name for path in checkpoint.parent.iterdir()] == ["run.npz"]
    # A checkpoint of another configuration is not continued.
    other = changed(config, seed=1, epochs=1)
    assert train(other, checkpoint).history.train_loss[0] == train(other).history.train_loss[0]


@pytest.mark.parametrize(
    ("network", "optimizer", "beta1"),
    [("alexnet", name, -1) for name in OPTIMIZERS]
    + [("alexnet", "adasmooth", 0.9), ("cnn", "adasmooth", 0), ("mlp", "adam", 0.9)],
)
def test_both_backends_follow_one_path(network, optimizer, beta1):
    rate = {"adasmooth_delta": 0.5, "sgd": 1e-2}.get(optimizer, 1e-3)
    kind = {"dataset": "rendered_cars" if network == "alexnet" else "mnist", "network": network}
    config = RunConfig(**kind, optimizer=optimizer, beta1=beta1, learning_rate=rate, width=0.1, batch_size=16, epochs=2)
    ours = train(config)
    theirs = train(changed(config, backend="jax"))
    np.testing.assert_allclose(ours.history.train_loss, theirs.history.train_loss, rtol=1e-3)
    np.testing.assert_allclose(ours.history.val_loss, theirs.history.val_loss, rtol=1e-3)


def test_seed_and_epoch_decide_the_order_of_the_batches(monkeypatch):
    orders, batches = {}, data.batches

    def spy(*arguments, **distortion):
        drawn = list(batches(*arguments, **distortion))
        orders.setdefault(config.seed, []).append(
            np.concatenate([images.ravel()[:50] for images, _ in drawn]).tobytes()
        )
        return drawn

    monkeypatch.setattr(training.data, "batches", spy)
    for seed, backend in ((0, "numpy"), (1, "numpy"), (0, "jax")):
        config = changed(CONFIG, seed=seed, backend=backend)
        train(config)
    assert orders[0][:2] == orders[0][2:]  # the same for both backends
    assert len({*orders[0], *orders[1]}) == 4  # other in every epoch and for every seed


def test_a_diverged_run_is_kept_and_marked(tmp_path):
    result = train(changed(CONFIG, optimizer="sgd", learning_rate=1e6))
    assert result.summary["diverged"]
    assert len(result.history) == 1
    for loss in (float("nan"), float("inf")):
        result.summary["test_loss"] = loss
        result.save(tmp_path / "group" / "run")
        assert json.loads((tmp_path / "group" / "run.json").read_text())["summary"]["test_loss"] is None


def pickled(path):
    np.savez(path, np.array([{"a": 1}], dtype=object))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes()[:-9000] + bytes(5000) + path.read_bytes()[-4000:]),
        lambda path: path.write_text("not a checkpoint"),
        lambda path: np.savez(path, np.array("[1, 2]"), np.ones(3)),
        lambda path: np.savez(path, np.array('{"rows": []}')),
        pickled,
    ],
)
def test_a_damaged_checkpoint_is_put_aside(damage, tmp_path, capsys):
    config, checkpoint = changed(CONFIG, epochs=1, backend="numpy"), tmp_path / "run.npz"
    clean = train(config, checkpoint)
    damage(checkpoint)
    damaged = checkpoint.read_bytes()
    again = train(config, checkpoint)
    assert again.history.train_loss[0] == clean.history.train_loss[0]
    assert "run.npz cannot be read" in capsys.readouterr().out
    assert (tmp_path / "run.damaged").read_bytes() == damaged
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.damaged", "run.npz"]


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"run\.npz' cannot be written: File exists"):
        train(changed(CONFIG, epochs=1), tmp_path / "file" / "run.npz")


def test_results_are_written_and_read(tmp_path):
    result = train(changed(CONFIG, epochs=1))
    result.save(tmp_path / "group" / "run", "an arm")
    runs, histories = load_runs(tmp_path)
    assert runs.arm.tolist() == histories.arm.tolist() == ["an arm"]
    assert runs.run.tolist() == ["group/run"]
    assert runs.group.tolist() == ["group"]
    assert runs.test_accuracy[0] == result.summary["test_accuracy"]
    assert histories.val_loss[0] == pytest.approx(result.history.val_loss[0], rel=1e-6)
    record = json.loads((tmp_path / "group" / "run.json").read_text())
    assert np.sum(record["confusion"]) == 30
    assert np.bincount(record["predictions"], minlength=3).tolist() == np.sum(record["confusion"], axis=0).tolist()
    assert record["test_places"] == [int(name[:3]) for name in training.data.load_dataset("rendered_cars").test.files]
    assert {"numpy", "jax", "optax", "python"} <= set(record["summary"]["versions"])
    assert sorted(path.suffix for path in (tmp_path / "group").iterdir()) == [".csv", ".json"]
    with pytest.raises(ConfigError, match="no finished runs"):
        load_runs(tmp_path / "nothing")


def test_a_run_that_tunes_never_sees_the_test_images(tmp_path, monkeypatch):
    from study import training

    seen, evaluate = [], training.evaluate
    monkeypatch.setattr(training, "evaluate", lambda *args: seen.append(args[1]) or evaluate(*args))
    result = train(changed(CONFIG, epochs=2, test=False))
    assert len(seen) == 2  # validation, after each epoch
    assert seen[0] is seen[1]
    result.save(tmp_path / "group" / "run")
    record = json.loads((tmp_path / "group" / "run.json").read_text())
    assert not {"test_loss", "test_accuracy"} & set(record["summary"])
    assert "confusion" not in record


def test_predictions_are_averaged_over_the_views(generator):
    images, labels = generator.integers(0, 256, (10, 6, 6, 3), np.uint8), generator.integers(0, 5, 10)
    weights = generator.standard_normal((4 * 4 * 3, 5)) / 500

    class Linear:
        def predict(self, batch):
            return batch.reshape(len(batch), -1) @ weights

    def softmax(view):
        powers = np.exp(view.reshape(10, -1) @ weights)
        return powers / powers.sum(axis=1, keepdims=True)

    for count in (1, 10):
        loss, accuracy, predicted = training.evaluate(
            Linear(), data.Split(images, labels), 4, 4, lambda batch: batch, count
        )
        expected = np.mean([softmax(view) for view in data.views(images, 4, count)], axis=0)
        np.testing.assert_allclose(np.exp(predicted), expected, rtol=1e-12)
        assert loss == pytest.approx(-np.log(expected[np.arange(10), labels]).mean())
        assert accuracy == (expected.argmax(axis=1) == labels).mean()


def test_with_many_classes_the_predictions_are_kept(tmp_path):
    result = train(changed(CONFIG, epochs=1))
    generator = np.random.default_rng(0)
    logits, labels = generator.standard_normal((30, 70)), generator.integers(0, 70, 30)
    dataclasses.replace(result, test_labels=labels, test_logits=logits).save(tmp_path / "run")
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["test_labels"] == labels.tolist()
    assert record["predictions"] == logits.argmax(axis=1).tolist()
    shades, conv1 = np.frombuffer(base64.b64decode(record["conv1"]), np.uint8), result.weights["conv1.weight"]
    filters = shades.reshape(11, 11, 3, -1).transpose(3, 0, 1, 2)
    assert filters.shape == (conv1.shape[3], 11, 11, 3)
    for image, weights in zip(filters, np.moveaxis(conv1, 3, 0), strict=True):
        assert (image.min(), image.max()) == (0, 255)
        assert np.corrcoef(image.ravel(), weights.ravel())[0, 1] > 0.999


def test_adasmooths_inside_is_recorded():
    for backend in ("numpy", "jax"):
        config = changed(CONFIG, backend=backend, optimizer="adasmooth", window="epoch", epochs=2)
        history = train(config).history
        assert history.filter(regex="^(ratio|floor)_(conv[1-5]|fc[6-8])$").shape == (2, 16)
        ratios = history.filter(like="ratio_").to_numpy()
        assert ((ratios > 0) & (ratios < 1)).all()  # taken before the window begins anew: after it, all would be 1
        assert history.floor_conv1.between(0, 1).all()


def test_a_machine_without_git_keeps_its_results(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert train(changed(CONFIG, epochs=1)).summary["git_commit"] is None


def test_a_bare_machine_can_train():
    absent = ["threadpoolctl", "tensorflow_datasets", "papermill", "yaml", "seaborn", "matplotlib", "nbconvert"]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({absent})); from study import RunConfig, train; print('ok')"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "ok\n", result.stderr


def test_too_large_a_batch_is_named():
    with pytest.raises(ConfigError, match="batch_size 128 is larger than the 96 training images"):
        train(changed(CONFIG, batch_size=128))


def test_a_run_compiles_its_step_and_its_prediction_once(monkeypatch):
    backends = []

    class Watched(training.JaxBackend):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            backends.append(self)

    monkeypatch.setitem(training.BACKENDS, "jax", Watched)
    train(changed(CONFIG, backend="jax", schedule="cosine", window="epoch"))
    assert backends[0].count > 3
    assert (backends[0]._step._cache_size(), backends[0]._apply._cache_size()) == (1, 1)
