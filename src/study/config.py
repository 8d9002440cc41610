"""What a run is (`RunConfig`), what is right to ask for, and where the project's files lie."""

import contextlib
import difflib
import hashlib
import os
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PROJECT = Path(__file__).resolve().parents[2]

OPTIMIZERS = ("adadelta", "adagrad", "adam", "adasmooth", "adasmooth_delta", "rmsprop", "sgd")
OWN = {"adagrad": (0.0, 1e-7), "adam": (0.9, 1e-8), "sgd": (0.9, 0.0)}  # beta1 and eps where they are left open
SIZES = tuple(range(67, 516, 32))  # what AlexNet's strides fit
FORMS = {
    "mnist": {"network": ("cnn", "mlp"), "label": ("digit",), "image_size": (28,)},
    "rendered_cars": {"network": ("alexnet",), "label": ("body",), "image_size": SIZES},
    "stanford_cars": {"network": ("alexnet",), "label": ("body", "make", "model"), "image_size": SIZES},
}
VARIANTS = ("paper", "ratio_coin")


def project_path(path):
    """Relative paths in notebooks, in study.yaml and on the command line are relative to the project's folder."""
    return PROJECT / path


def digest(*ingredients):
    """A short name for what something was made of."""
    return hashlib.sha256(repr(ingredients).encode()).hexdigest()[:12]


@contextlib.contextmanager
def whole(path):
    """A path beside `path` to write to, which takes its place once all is written: there is never half a file.

    Raises:
        ConfigError: it cannot be written: a full disk, a folder that is read-only.
    """
    path = Path(path)
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


class ConfigError(ValueError):
    """A mistake in what was asked for: one line that names it and the choices."""

    def _render_traceback_(self):  # IPython asks for this: a notebook shows the line, not our call stack
        return [f"{type(self).__name__}: {self}"]


def check(holds, message):
    """Raise ConfigError with the `message` unless it `holds`."""
    if not holds:
        raise ConfigError(message)


def check_choice(name, value, choices):
    """Raise ConfigError unless `value` is one of `choices`."""
    if value not in choices:
        close = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"unknown {name} {value!r}{hint} (choices: {', '.join(map(str, choices))})")


def check_parameters(namespace, known):
    """The parameters among a notebook's `globals()`: its variables that are plain values. One that the notebook does
    not have, of which papermill only warns, is a ConfigError. When a reader runs the cell again, others are there too,
    and passed over."""
    first_time = not namespace.get("_parameters_checked")
    given = {
        name: value
        for name, value in namespace.items()
        if isinstance(value, str | int | float | list | dict | None)
        and not name.startswith("_")
        and name not in ("In", "Out")  # IPython's own
        and (first_time or name in known)
    }
    for name in given:
        check_choice("parameter", name, sorted(known))
    namespace["_parameters_checked"] = True
    return given


class RunConfig(BaseModel):
    """One training run, complete: the same configuration gives the same run.

    Raises:
        ConfigError: a name or a value that is unknown, of another type, or out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    dataset: Literal["mnist", "rendered_cars", "stanford_cars"] = "rendered_cars"
    data_dir: str = ""  # where the photographs or digits are; empty for rendered_cars
    network: Literal["alexnet", "cnn", "mlp"] = "alexnet"  # the last two are those of AdaSmooth's paper, for mnist
    label: Literal["body", "digit", "make", "model"] = "body"
    image_size: int = 67  # pixels; 67, 99, 131, ... 227 ... 515; of the digits 28
    split_seed: int = Field(-1, ge=-1, lt=2**32)  # draws all three splits anew; -1: as they are published
    width: float = Field(0.25, gt=0, le=8)  # scales AlexNet's channels and units
    backend: Literal["jax", "numpy"] = "numpy"
    optimizer: Literal[OPTIMIZERS] = "adasmooth"
    learning_rate: float = Field(5e-4, gt=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    batch_size: int = Field(32, gt=0, le=2**16)
    epochs: int = Field(6, gt=0, le=10**5)
    seed: int = Field(0, ge=0, lt=2**32)  # of the initial weights, batches, augmentation and dropout
    dropout: float = Field(0.0, ge=0, lt=1)
    augment: bool = True  # random crops and flips, of cars
    zoom: float = Field(1.0, gt=0, le=1)  # below 1 a crop's sides are random shares, this to 1, of the image's
    colour: float = Field(0.0, ge=0, le=1)  # contrast and colours change at random by up to this share
    rho1: float = Field(0.5, ge=0, lt=1)  # AdaSmooth's constants
    rho2: float = Field(0.99, ge=0, lt=1)
    window: str = "training"  # over which AdaSmooth's ratio is measured: "epoch", "training" or a number of steps
    variant: Literal[VARIANTS] = "paper"  # "ratio_coin": AdaSmooth whose ratio is a coin's (`study.optimizers`)
    beta1: float = Field(-1.0, ge=0, lt=1)  # momentum; -1: the optimizer's own, Adam's and SGD's 0.9, the others' 0
    beta2: float = Field(0.999, ge=0, lt=1)  # Adam's
    rho: float = Field(0.99, ge=0, lt=1)  # the decay of RMSProp and AdaDelta
    eps: float = Field(0.0, ge=0)  # of all but SGD; 0: the optimizer's own
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)  # decoupled, in JAX, of Adam and AdaSmooth
    test: bool = True  # whether the test split is evaluated; runs that tune do not
    views: Literal[1, 10] = 1  # of a test image: its middle, or 10: the corners too, and all mirrored

    def __init__(self, **given):
        try:
            super().__init__(**given)
        except ValidationError as error:
            refuse(error, type(self))

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given):
        """What follows from other fields: constants that are the optimizer's own, the form of the digits."""
        beta1, eps = OWN.get(str(given.get("optimizer")), (0.0, 1e-6))
        given = {"beta1": -1, "eps": 0, "window": "training"} | given
        left_open = ({"beta1": beta1} if given["beta1"] == -1 else {}) | ({"eps": eps} if given["eps"] == 0 else {})
        if given.get("dataset") == "mnist":  # whose digits are 28 pixels wide, and no digits when mirrored
            cars = {"label": "body", "image_size": 67, "augment": True}
            digits = {"label": "digit", "image_size": 28, "augment": False}
            left_open |= {name: digits[name] for name, usual in cars.items() if given.get(name, usual) == usual}
        if type(given["window"]) is int:  # as papermill reads 10
            left_open["window"] = str(given["window"])
        return given | left_open

    @model_validator(mode="after")
    def _agree(self):
        """What single fields cannot know of each other."""
        for name, choices in FORMS[self.dataset].items():
            check_choice(f"{name} of {self.dataset}", getattr(self, name), choices)
        if not (self.window.isdecimal() and int(self.window) > 0):
            check_choice("window", self.window, ("epoch", "training", "a number of steps"))
        drawn, whose = self.dataset == "rendered_cars", f"not of {self.optimizer} in {self.backend}"
        needless = "rendered_cars needs no data_dir; for photographs set dataset to 'stanford_cars'"
        check(not drawn or not self.data_dir or self.data_dir.endswith(".npz"), needless)
        plain = self.zoom == 1 and self.colour == 0
        check(self.augment or plain, "zoom and colour are parts of the augmentation, which is off")
        check(self.rho1 <= self.rho2, f"rho1 must not exceed rho2, got {self.rho1} and {self.rho2}")
        decays = self.backend == "jax" and self.optimizer in ("adam", "adasmooth")
        check(decays or not self.weight_decay, f"weight_decay is one of adam and adasmooth in jax, {whose}")
        if self.variant != "paper":
            varies = (self.optimizer, self.backend) == ("adasmooth", "jax")
            check(varies, f"variant {self.variant!r} is one of AdaSmooth in JAX, {whose}")
        return self

    @classmethod
    def from_notebook(cls, namespace, **others):
        """The configuration in a notebook's `globals()`; `others` are its parameters that are not of the run."""
        given = check_parameters(namespace, [*RUN_FIELDS, *others])
        given = {name: value for name, value in given.items() if name in RUN_FIELDS}
        if given.get("data_dir"):
            given["data_dir"] = str(project_path(given["data_dir"]))
        return cls(**given)

    def to_dict(self):
        """The fields as plain values, without `data_dir`: where the photographs lie is the machine's affair."""
        return self.model_dump(exclude={"data_dir"})


RUN_FIELDS = list(RunConfig.model_fields)


def refuse(error, model):
    """Raise the first mistake that pydantic has found as a ConfigError: one line that says what would be right."""
    mistake = error.errors()[0]
    name, value = str(mistake["loc"][0]) if mistake["loc"] else "", mistake["input"]
    if mistake["type"] == "value_error":  # one of ours
        raise ConfigError(mistake["ctx"]["error"]) from None
    if mistake["type"] == "extra_forbidden":
        check_choice("parameter", name, sorted(model.model_fields))
    if mistake["type"] == "literal_error":
        check_choice(name, value, get_args(model.model_fields[name].annotation))
    raise ConfigError(f"{name} {mistake['msg'].replace('Input should', 'must')}, got {value!r}") from None


def recorded(record):
    """A run file's configuration, complete: fields that were not there yet when it was written at their defaults."""
    config = dict(record["config"])
    if "arm" not in record and config["optimizer"] not in ("adam", "sgd"):
        config["beta1"] = 0.0  # Adam's stood there, and did nothing
    return RunConfig(**config).to_dict()
