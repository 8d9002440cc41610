"""What a run is (`RunConfig`), which runs a profile of `study.yaml` is made of, and where the project's files lie."""

import contextlib
import difflib
import hashlib
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PROJECT = Path(__file__).resolve().parents[2]

OPTIMIZERS = ("adadelta", "adagrad", "adam", "adasmooth", "adasmooth_delta", "rmsprop", "sgd")
OWN = {"adagrad": (0.0, 1e-7), "adam": (0.9, 1e-8), "sgd": (0.9, 0.0)}  # beta1 and eps where they are left open
SIZES = (67, 99, 131, 163, 195, 227)  # whatever AlexNet's strides fit
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
    """The parameters among a notebook's `globals()`: its variables that are plain values.

    papermill only warns of a parameter that the notebook does not have; here it is a ConfigError. When a reader runs
    the cell again, the notebook has variables of its own: then they are passed over.
    """
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
    image_size: int = 67  # pixels; 67, 99, 131, 163, 195, 227; of the digits 28
    split_seed: int = Field(-1, ge=-1)  # draws training, validation and test images anew; -1: as they are published
    width: float = Field(0.25, gt=0)  # scales AlexNet's channels and units
    backend: Literal["jax", "numpy"] = "numpy"
    optimizer: Literal[OPTIMIZERS] = "adasmooth"
    learning_rate: float = Field(5e-4, gt=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    batch_size: int = Field(32, gt=0)
    epochs: int = Field(6, gt=0)
    seed: int = Field(0, ge=0)  # of the initial weights, the order of the batches, the augmentation and dropout
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


@dataclass(frozen=True)
class Profile:
    """A profile of `study.yaml`: its runs, its speed measurements, and the folders of what it makes."""

    name: str
    dataset: str
    data_dir: str
    runs: dict  # "dataset/group/values of the grid" -> RunConfig
    arms: dict  # the same -> what tables and legends call the run
    speed: dict  # the parameters of the speed notebook
    published: bool  # whether its run files and figures are tracked

    @property
    def folders(self):
        """Where executed notebooks and the report, run files, and figures go."""
        build = Path("build") / self.name
        if self.published:
            return build, Path("data/results"), Path("figures")
        return build, build / "results", build / "figures" / self.dataset

    @property
    def datasets(self):
        """The (label, image size) pairs of the profile's own dataset that its runs need."""
        return sorted({(run.label, run.image_size) for run in self.runs.values() if run.dataset == self.dataset})

    def is_finished(self, name):
        """Whether a run's file exists and is of its configuration."""
        path = project_path(self.folders[1] / f"{name}.json")
        return path.exists() and recorded(json.loads(path.read_text())) == self.runs[name].to_dict()


def recorded(record):
    """A run file's configuration, complete: fields that were not there yet when it was written at their defaults."""
    config = dict(record["config"])
    if "arm" not in record and config["optimizer"] not in ("adam", "sgd"):
        config["beta1"] = 0.0  # Adam's stood there, and did nothing
    return RunConfig(**config).to_dict()


def load_profile(name, data_dir=""):
    """Read a profile from `study.yaml`; with a `data_dir`, its dataset is `stanford_cars`.

    Raises:
        ConfigError: the profile is unknown, misspelt inside, or needs photographs and no `data_dir` was given.
    """
    import yaml  # here: a bare machine can train without it

    profiles = yaml.safe_load(project_path("study.yaml").read_text())
    check_choice("profile", name, list(profiles))
    profile, data_dir = profiles[name], str(Path(str(data_dir)).expanduser()) if data_dir else ""
    dataset, photographs = "stanford_cars" if data_dir else profile["dataset"], "DATA_DIR=path/to/stanford_cars"
    needs = f"profile {name!r} needs the photographs: {photographs} (see data/README.md)"
    check(data_dir or dataset == "rendered_cars", needs)
    check(not data_dir or project_path(data_dir).exists(), f"DATA_DIR {data_dir!r} does not exist")
    data_dir = data_dir and str(project_path(data_dir))
    runs, arms = {}, {}
    for group, blocks in profile["runs"].items():
        for varied, settings in _combinations(blocks):
            for key in settings:
                check_choice(f"setting in study.yaml, {name}/{group}:", key, [*RUN_FIELDS, "arm"])
            arm, of_cars = settings.pop("arm", None), settings.get("dataset", dataset) == dataset
            run = RunConfig(**({"dataset": dataset, "data_dir": data_dir} if of_cars else {}) | settings)
            words = {key: _spell(key, value) for key, value in ({"optimizer": run.optimizer} | varied).items()}
            identifier = f"{run.dataset}/{group}/{'-'.join(words[key] for key in words if key != 'arm')}"
            check(identifier not in runs, f"study.yaml, {name}: two runs are called {identifier!r}")
            runs[identifier], arms[identifier] = run, arm or ", ".join(words[key] for key in words if key != "seed")
    return Profile(name, dataset, data_dir, runs, arms, profile["speed"], profile.get("published", False))


def _combinations(blocks):
    """(What the case and the grid say, all settings) of every run of a group of study.yaml."""
    for block in blocks if isinstance(blocks, list) else [blocks]:
        fixed = dict(block)
        cases, grid = fixed.pop("cases", [{}]), fixed.pop("grid", {})
        for case, *values in itertools.product(cases, *grid.values()):
            varied = case | dict(zip(grid, values, strict=True))
            yield varied, fixed | varied


def _spell(key, value):
    """How a value of the grid stands in a run's identifier: words as they are, numbers with their name."""
    key = {"learning_rate": "lr"}.get(key, key) + ("_" if key[-1].isdigit() else "")
    return value if isinstance(value, str) and not value.isdecimal() else f"{key}{float(value):g}"
