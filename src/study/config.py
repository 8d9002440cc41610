"""What a run is (`RunConfig`), which runs a profile of `study.yaml` is made of, and where the project's files lie."""

import dataclasses
import difflib
import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

DATASETS = ("rendered_cars", "stanford_cars")
LABELS = ("body", "make", "model")
BACKENDS = ("jax", "numpy")
OPTIMIZERS = ("adadelta", "adam", "adasmooth", "adasmooth_delta", "rmsprop", "sgd")
SCHEDULES = ("constant", "cosine")
WINDOWS = ("epoch", "training")
VARIANTS = {  # of AdaSmooth: as it is, and with one part changed (`study.ablations`); the words are for tables
    "paper": "AdaSmooth",
    "first_ratio_0": "first ratio 0",
    "ratio_0": "ratio 0 everywhere",
    "ratio_1": "ratio 1 everywhere",
    "ratio_layer": "ratio: mean of the layer",
    "ratio_coin": "ratio of a coin's path",
    "unsquared": "c instead of c²",
    "eps_outside": "ε outside the root",
    "momentum": "steps averaged (momentum 0.9)",
}
SHORT = {"learning_rate": "lr"}  # in the names of runs


def project_path(path):
    """Relative paths in notebooks, in study.yaml and on the command line are relative to the project's folder."""
    return PROJECT / path


def digest(*ingredients):
    """A short name for what something was made of."""
    return hashlib.sha256(repr(ingredients).encode()).hexdigest()[:12]


class ConfigError(ValueError):
    """A mistake in what was asked for: one line that names it and the choices."""

    def _render_traceback_(self):  # IPython asks for this: a notebook shows the line, not our call stack
        return [f"{type(self).__name__}: {self}"]


def check_choice(name, value, choices):
    """Raise ConfigError unless `value` is one of `choices`."""
    if value not in choices:
        close = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"unknown {name} {value!r}{hint} (choices: {', '.join(choices)})")


def check_parameters(namespace, known):
    """The parameters among a notebook's `globals()`: its variables that are text, numbers or truth values.

    papermill only warns of a parameter that the notebook does not have; here it is a ConfigError. When a reader runs
    the cell again, the notebook has variables of its own: then they are passed over.
    """
    first_time = not namespace.get("_parameters_checked")
    given = {
        name: value
        for name, value in namespace.items()
        if isinstance(value, str | int | float | bool) and not name.startswith("_") and (first_time or name in known)
    }
    for name in given:
        check_choice("parameter", name, sorted(known))
    namespace["_parameters_checked"] = True
    return given


@dataclass(frozen=True)
class RunConfig:
    """One training run, complete: the same configuration gives the same run.

    Raises:
        ConfigError: a value that is unknown or out of range.
    """

    dataset: str = "rendered_cars"
    data_dir: str = ""  # where the photographs are; empty for rendered_cars
    label: str = "body"
    image_size: int = 67  # pixels; 67, 99, 131, 163, 195, 227
    width: float = 0.5  # scales AlexNet's channels and units
    backend: str = "numpy"
    optimizer: str = "adasmooth"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    batch_size: int = 64
    epochs: int = 10
    seed: int = 0  # of the initial weights, the order of the batches, the augmentation and dropout
    dropout: float = 0.5
    augment: bool = True  # random crops and flips
    zoom: float = 1.0  # below 1 a crop's sides are random shares, this to 1, of the image's, and resized
    colour: float = 0.0  # contrast and colours change at random by up to this share
    rho1: float = 0.5  # AdaSmooth's constants
    rho2: float = 0.99
    window: str = "training"  # over which AdaSmooth's ratio is measured: "epoch", "training" or a number of steps
    variant: str = "paper"  # AdaSmooth with one part changed
    beta1: float = 0.9  # Adam's constants; beta1 is also SGD's momentum
    beta2: float = 0.999
    rho: float = 0.99  # the decay of RMSProp and AdaDelta
    eps: float = 0.0  # of all but SGD; 0 stands for the optimizer's own: Adam 1e-8, the others 1e-6
    label_smoothing: float = 0.0
    weight_decay: float = 0.0  # decoupled, in JAX, of Adam and AdaSmooth
    test: bool = True  # whether the test split is evaluated; runs that tune do not
    views: int = 1  # of a test image: its middle, or 10: the corners too, and all mirrored

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), field.type
            if (kind is float and type(value) is int) or (field.name == "window" and type(value) is int):
                object.__setattr__(self, field.name, kind(value))  # papermill reads 10 as a number
            elif type(value) is not kind:
                raise ConfigError(f"{field.name} must be of type {kind.__name__}, got {value!r}")
        for name, choices in {
            "dataset": DATASETS,
            "label": LABELS,
            "backend": BACKENDS,
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "variant": VARIANTS,
        }.items():
            check_choice(name, getattr(self, name), choices)
        if not (self.window.isdecimal() and int(self.window) > 0):
            check_choice("window", self.window, (*WINDOWS, "a number of steps"))
        if self.image_size < 67 or (self.image_size - 67) % 32:
            raise ConfigError(f"AlexNet cannot take image_size {self.image_size} (choices: 67, 99, 131, 163, 195, 227)")
        for name in ("width", "learning_rate", "batch_size", "epochs"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("seed", "eps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("dropout", "rho1", "rho2", "beta1", "beta2", "rho", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0 < self.zoom <= 1 or not 0 <= self.colour <= 1:
            raise ConfigError(f"zoom must lie in (0, 1] and colour in [0, 1], got {self.zoom} and {self.colour}")
        if (self.zoom < 1 or self.colour) and not self.augment:
            raise ConfigError("zoom and colour are parts of the augmentation, which is off")
        if self.views not in (1, 10):
            raise ConfigError(f"views must be 1 or 10, got {self.views}")
        if self.rho1 > self.rho2:
            raise ConfigError(f"rho1 must not exceed rho2, got {self.rho1} and {self.rho2}")
        if self.weight_decay and self.variant != "paper":
            raise ConfigError(f"variant {self.variant!r} has no weight_decay")
        if self.weight_decay and (self.backend != "jax" or self.optimizer not in ("adam", "adasmooth")):
            raise ConfigError(
                f"weight_decay is one of adam and adasmooth in jax, not of {self.optimizer} in {self.backend}"
            )
        if self.variant != "paper" and (self.optimizer, self.backend) != ("adasmooth", "jax"):
            raise ConfigError(
                f"variant {self.variant!r} is one of AdaSmooth in JAX, not of {self.optimizer} in {self.backend}"
            )
        if self.dataset == "rendered_cars" and self.data_dir and not self.data_dir.endswith(".npz"):
            raise ConfigError("rendered_cars needs no data_dir; for photographs set dataset to 'stanford_cars'")
        if self.dataset == "rendered_cars" and self.label != "body":
            raise ConfigError(f"rendered_cars has only the label 'body', got {self.label!r}")

    @classmethod
    def from_notebook(cls, namespace, **others):
        """The configuration in a notebook's variables, given its `globals()`.

        `others` names the notebook's parameters that are not of the run.
        """
        given = check_parameters(namespace, [*RUN_FIELDS, *others])
        given = {name: value for name, value in given.items() if name in RUN_FIELDS}
        if given.get("data_dir"):
            given["data_dir"] = str(project_path(given["data_dir"]))
        return cls(**given)

    def to_dict(self):
        """The fields as plain values, without `data_dir`: where the photographs lie is the machine's affair."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "data_dir"}


RUN_FIELDS = [field.name for field in dataclasses.fields(RunConfig)]


def with_defaults(recorded):
    """A run file's configuration, fields that were not there yet when the run was made at their defaults."""
    return RunConfig().to_dict() | recorded


def epsilon(run):
    """The ε of a run (a RunConfig or a row of a table of runs): as set, or the optimizer's own."""
    return run.eps or (1e-8 if run.optimizer == "adam" else 1e-6)


@dataclass(frozen=True)
class Profile:
    """A profile of `study.yaml`: its runs by their identifier, its speed measurements, its folders."""

    name: str
    dataset: str
    data_dir: str
    runs: dict  # "group/values of the grid" -> RunConfig
    speed: dict  # the parameters of the speed notebook

    @property
    def build(self):
        """Where executed notebooks and the report go."""
        return Path("build") / self.name

    @property
    def datasets(self):
        """The (label, image size) pairs that the runs need."""
        return sorted({(run.label, run.image_size) for run in self.runs.values()})

    def is_finished(self, name):
        """Whether a run's file exists and is of its configuration; outside `full` also newer than the code."""
        path = project_path(self.results / f"{name}.json")
        if not path.exists():
            return False
        if with_defaults(json.loads(path.read_text())["config"]) != self.runs[name].to_dict():
            return False
        sources = (PROJECT / "src").rglob("*.py")
        return self.name == "full" or path.stat().st_mtime > max(each.stat().st_mtime for each in sources)

    @property
    def figures(self):
        return Path("figures") if self.name == "full" else self.build / "figures" / self.dataset

    @property
    def results(self):
        return (Path("data/results") if self.name == "full" else self.build / "results") / self.dataset


def load_profile(name, data_dir=""):
    """Read a profile from `study.yaml`; with a `data_dir`, its dataset is `stanford_cars`.

    Raises:
        ConfigError: the profile is unknown, misspelt inside, or needs photographs and no `data_dir` was given.
    """
    import yaml  # here: a bare machine can train without it

    profiles = yaml.safe_load((PROJECT / "study.yaml").read_text())
    check_choice("profile", name, list(profiles))
    profile, data_dir = profiles[name], str(Path(str(data_dir)).expanduser()) if data_dir else ""
    dataset = "stanford_cars" if data_dir else profile["dataset"]
    if dataset != "rendered_cars" and not data_dir:
        raise ConfigError(
            f"profile {name!r} needs the photographs: DATA_DIR=path/to/stanford_cars (see data/README.md)"
        )
    if data_dir and not project_path(data_dir).exists():
        raise ConfigError(f"DATA_DIR {data_dir!r} does not exist")
    data_dir = data_dir and str(project_path(data_dir))
    runs = {}
    for group, blocks in profile["runs"].items():
        for block in blocks if isinstance(blocks, list) else [blocks]:
            for varied, settings in _combinations(block):
                for key in settings:
                    check_choice(f"setting in study.yaml, {name}/{group}:", key, RUN_FIELDS)
                run = RunConfig(**{"dataset": dataset, "data_dir": data_dir} | settings)
                spelled = {"optimizer": run.optimizer} | varied
                identifier = f"{group}/{'-'.join(map(_spell, spelled, spelled.values()))}"
                if identifier in runs:
                    raise ConfigError(f"study.yaml, {name}: two runs are called {identifier!r}")
                runs[identifier] = run
    return Profile(name, dataset, data_dir, runs, profile["speed"])


def _combinations(block):
    """(What the case and the grid say, all settings) of every run of a block of study.yaml."""
    fixed = dict(block)
    cases, grid = fixed.pop("cases", [{}]), fixed.pop("grid", {})
    for case, *values in itertools.product(cases, *grid.values()):
        varied = case | dict(zip(grid, values, strict=True))
        yield varied, fixed | varied


def _spell(key, value):
    """How a value of the grid stands in a run's identifier: words as they are, numbers with their name."""
    key = SHORT.get(key, key) + ("_" if key[-1].isdigit() else "")
    return value if isinstance(value, str) and not value.isdecimal() else f"{key}{float(value):g}"
