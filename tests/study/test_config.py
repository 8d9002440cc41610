"""RunConfig, the notebooks' parameters, the profiles: what is accepted, and what the refusals say."""

import json

import pytest

from study import config
from study.config import ConfigError, RunConfig, load_profile


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"optimizer": "adasmoth"},
            "unknown optimizer 'adasmoth'; did you mean 'adasmooth'? (choices: adadelta, adam, adasmooth",
        ),
        ({"backend": "torch"}, "unknown backend 'torch' (choices: jax, numpy)"),
        ({"label": "colour"}, "unknown label 'colour' (choices: body, make, model)"),
        ({"dataset": "cifar"}, "unknown dataset 'cifar' (choices: rendered_cars, stanford_cars)"),
        ({"image_size": 224}, "AlexNet cannot take image_size 224 (choices: 67, 99, 131, 163, 195, 227)"),
        ({"epochs": 0}, "epochs must be positive, got 0"),
        ({"learning_rate": -1}, "learning_rate must be positive, got -1.0"),
        ({"learning_rate": "fast"}, "learning_rate must be of type float, got 'fast'"),
        ({"epochs": 2.5}, "epochs must be of type int, got 2.5"),
        ({"rho1": 0.9, "rho2": 0.5}, "rho1 must not exceed rho2, got 0.9 and 0.5"),
        ({"rho2": 1}, "rho2 must lie in [0, 1), got 1.0"),
        ({"zoom": 0}, "zoom must lie in (0, 1] and colour in [0, 1], got 0.0 and 0.0"),
        ({"colour": 0.2, "augment": False}, "zoom and colour are parts of the augmentation, which is off"),
        ({"views": 5}, "views must be 1 or 10, got 5"),
        ({"label": "make"}, "rendered_cars has only the label 'body', got 'make'"),
        ({"data_dir": "cars"}, "for photographs set dataset to 'stanford_cars'"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_mistakes_are_named_in_one_line(given, message):
    with pytest.raises(ConfigError) as error:
        RunConfig(**given)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_whole_numbers_may_stand_for_fractions():
    assert RunConfig(width=1).width == 1.0


def test_a_notebooks_parameters():
    namespace = {"optimizer": "adam", "epochs": 3, "figures_dir": "", "_private": 1, "module": config, "__name__": "x"}
    assert RunConfig.from_notebook(namespace, figures_dir="") == RunConfig(optimizer="adam", epochs=3)
    with pytest.raises(ConfigError, match="unknown parameter 'optimzer'; did you mean 'optimizer'"):
        RunConfig.from_notebook({"optimzer": "adam"})
    assert ConfigError("one line")._render_traceback_() == ["ConfigError: one line"]


def test_the_cell_of_parameters_can_be_run_again():
    namespace = {"steps": 3}
    assert config.check_parameters(namespace, ["steps", "seed"]) == {"steps": 3}
    namespace |= {"count": 7, "seed": 1}
    assert config.check_parameters(namespace, ["steps", "seed"]) == {"steps": 3, "seed": 1}


def test_a_run_does_not_record_where_its_photographs_lie():
    run = RunConfig(dataset="stanford_cars", data_dir="somewhere")
    assert "data_dir" not in run.to_dict()
    assert "somewhere" not in json.dumps(run.to_dict())


def test_the_quick_profile():
    profile = load_profile("quick")
    assert {(run.backend, run.optimizer) for run in profile.runs.values()} == {
        (backend, optimizer) for backend in ("numpy", "jax") for optimizer in ("adam", "adasmooth")
    }
    assert {run.dataset for run in profile.runs.values()} == {"rendered_cars"}
    assert profile.results.parts[:2] == profile.figures.parts[:2] == ("build", "quick")


def test_profiles_mistakes(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="unknown profile 'fast'"):
        load_profile("fast")
    with pytest.raises(ConfigError, match="profile 'full' needs the photographs: DATA_DIR="):
        load_profile("full")
    with pytest.raises(ConfigError, match="DATA_DIR 'nowhere' does not exist"):
        load_profile("quick", "nowhere")
    (tmp_path / "study.yaml").write_text(
        "bad: {dataset: rendered_cars, speed: {}, runs: {a: {epoch: 3, grid: {seed: [0]}}}}\n"
    )
    monkeypatch.setattr(config, "PROJECT", tmp_path)
    with pytest.raises(ConfigError, match="bad/a: 'epoch'; did you mean 'epochs'"):
        load_profile("bad")
