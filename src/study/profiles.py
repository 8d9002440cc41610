"""Which runs a profile of `study.yaml` is made of: what the file may say, and what each run is called."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from study.config import ConfigError, RunConfig, check, check_choice, project_path, recorded


class Block(BaseModel, extra="allow", strict=True):
    """Some runs of a group: all combinations of the cases and the grid's values; what stands beside holds for all."""

    cases: list[dict[str, Any]] = Field([{}], min_length=1)
    grid: dict[str, Annotated[list, Field(min_length=1)]] = {}

    def combinations(self):
        """(What the case and the grid say, all settings) of every run."""
        for case, *values in itertools.product(self.cases, *self.grid.values()):
            varied = case | dict(zip(self.grid, values, strict=True))
            yield varied, self.model_extra | varied


Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]  # becomes a folder's
Several = BeforeValidator(lambda given: given if isinstance(given, list) else [given])  # one, or a list
Measured = Literal["image_sizes", "batch_sizes", "width", "repeats", "detail"]  # the parameters of notebook 11


class Sweep(BaseModel, extra="forbid", strict=True):
    """A profile as study.yaml has it."""

    dataset: Literal["rendered_cars", "stanford_cars"] = "rendered_cars"
    published: bool = False
    speed: dict[Measured, str | bool | int | float] = {"batch_sizes": "16 64", "width": 0.5}
    runs: dict[Name, Annotated[list[Block], Field(min_length=1), Several]] = Field(min_length=1)


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
        try:
            record = json.loads(project_path(self.folders[1] / f"{name}.json").read_text())
            return recorded(record) == self.runs[name].to_dict()
        except (OSError, ValueError, KeyError, TypeError):  # there is none, or a damaged one
            return False


def read_yaml(text, place):
    """What a text in YAML says. A ConfigError with the place and the line if it cannot be read, or says a key twice."""
    from ruamel.yaml import YAML, YAMLError  # here: a bare machine can train without it

    try:
        return YAML(typ="safe").load(text)
    except (ValueError, YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        place += f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{place}: {' '.join(str(getattr(error, 'problem', error)).split())}") from None


def load_profile(name, data_dir=""):
    """Read a profile from `study.yaml`, or a .yaml file that is one; with a `data_dir`, its dataset is `stanford_cars`.

    Raises:
        ConfigError: the profile is unknown, a mistake inside, or it needs photographs and no `data_dir` was given.
    """
    file, own = "study.yaml", name.endswith((".yaml", ".yml"))
    profiles = read_yaml(project_path(file).read_text("utf-8"), file)
    if own:
        file, name = str(Path(name).expanduser()), Path(name).stem
        check(project_path(file).is_file(), f"there is no file {file!r}")
        check(name not in profiles, f"{file}: study.yaml has a profile {name!r}; give the file another name")
        profiles = {name: read_yaml(project_path(file).read_text("utf-8"), file)}
    check(isinstance(profiles, dict), f"{file} must hold profiles by their names")
    check_choice("profile", name, list(profiles))
    try:
        profile = TypeAdapter(dict[Name, Sweep]).validate_python({name: profiles[name]})[name]
    except ValidationError as error:
        mistake = error.errors()[0]
        place, what = ".".join(map(str, mistake["loc"])), mistake["msg"].replace("Input should", "must")
        raise ConfigError(f"{file}, {place}: {what}, got {str(mistake['input'])[:60]!r}") from None
    check(not (own and profile.published), f"{file}: only study.yaml has published profiles")
    data_dir = str(Path(str(data_dir)).expanduser()) if data_dir else ""
    dataset, photographs = "stanford_cars" if data_dir else profile.dataset, "DATA_DIR=path/to/stanford_cars"
    needs = f"profile {name!r} needs the photographs: {photographs} (see data/README.md)"
    check(data_dir or dataset == "rendered_cars", needs)
    check(not data_dir or project_path(data_dir).exists(), f"DATA_DIR {data_dir!r} does not exist")
    data_dir = data_dir and str(project_path(data_dir))
    runs, arms = {}, {}
    for group, block in ((group, block) for group, blocks in profile.runs.items() for block in blocks):
        for varied, settings in block.combinations():
            arm, of_cars = settings.pop("arm", None), settings.get("dataset", dataset) == dataset
            try:
                check(arm is None or isinstance(arm, str), f"arm must be text, got {arm!r}")
                check("data_dir" not in varied, "data_dir must stand beside cases and grid, not inside")
                run = RunConfig(**({"dataset": dataset, "data_dir": data_dir} if of_cars else {}) | settings)
            except ConfigError as error:
                raise ConfigError(f"{file}, {name}.runs.{group}: {error}") from None
            words = {key: _spell(key, value) for key, value in ({"optimizer": run.optimizer} | varied).items()}
            identifier = f"{run.dataset}/{group}/{'-'.join(words[key] for key in words if key != 'arm')}"
            check(identifier not in runs, f"{file}, {name}.runs.{group}: two runs are called {identifier!r}")
            runs[identifier], arms[identifier] = run, arm or ", ".join(words[key] for key in words if key != "seed")
    return Profile(name, dataset, data_dir, runs, arms, profile.speed, profile.published)


def _spell(key, value):
    """How a value of the grid stands in a run's identifier: words as they are, numbers with their name."""
    key = {"learning_rate": "lr"}.get(key, key) + ("_" if key[-1].isdigit() else "")
    return value if isinstance(value, str) and not value.isdecimal() else f"{key}{float(value):g}"
