"""RunConfig, the notebooks' parameters, the profiles: what is accepted, and what the refusals say."""

import ast
import json

import pytest

from study import config
from study.config import ConfigError, RunConfig


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"optimizer": "adasmoth"},
            "unknown optimizer 'adasmoth'; did you mean 'adasmooth'? (choices: adadelta, adagrad, adam, adasmooth",
        ),
        ({"backend": "torch"}, "unknown backend 'torch' (choices: jax, numpy)"),
        ({"label": "colour"}, "unknown label 'colour' (choices: body, digit, make, model)"),
        ({"dataset": "cifar"}, "unknown dataset 'cifar' (choices: mnist, rendered_cars, stanford_cars)"),
        ({"image_size": 224}, "unknown image_size of rendered_cars 224 (choices: 67, 99, 131, 163, 195, 227, 259,"),
        ({"image_size": 35}, "unknown image_size of rendered_cars 35 (choices: 67, "),
        ({"width": 1e9}, "width must be less than or equal to 8, got 1000000000.0"),
        ({"width": float("inf")}, "width must be a finite number, got inf"),
        ({"batch_size": 10**9}, "batch_size must be less than or equal to 65536, got 1000000000"),
        ({"epochs": 10**12}, "epochs must be less than or equal to 100000, got 1000000000000"),
        ({"seed": 2**32}, "seed must be less than 4294967296, got 4294967296"),
        ({"seed": [0, 1]}, "seed must be a valid integer, got [0, 1]"),
        ({"split_seed": -2}, "split_seed must be greater than or equal to -1, got -2"),
        ({"epochs": 0}, "epochs must be greater than 0, got 0"),
        ({"learning_rate": -1}, "learning_rate must be greater than 0, got -1"),
        ({"learning_rate": "fast"}, "learning_rate must be a valid number, got 'fast'"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number, got nan"),
        ({"epochs": 2.5}, "epochs must be a valid integer, got 2.5"),
        ({"epochs": True}, "epochs must be a valid integer, got True"),
        ({"rho1": 0.9, "rho2": 0.5}, "rho1 must not exceed rho2, got 0.9 and 0.5"),
        ({"rho2": 1}, "rho2 must be less than 1, got 1"),
        ({"beta1": -0.5}, "beta1 must be greater than or equal to 0, got -0.5"),
        ({"zoom": 0}, "zoom must be greater than 0, got 0"),
        ({"zoom": 1.5}, "zoom must be less than or equal to 1, got 1.5"),
        ({"colour": 0.2, "augment": False}, "zoom and colour are parts of the augmentation, which is off"),
        ({"views": 5}, "unknown views 5 (choices: 1, 10)"),
        ({"label": "make"}, "unknown label of rendered_cars 'make' (choices: body)"),
        ({"data_dir": "cars"}, "for photographs set dataset to 'stanford_cars'"),
        ({"seed": -1}, "seed must be greater than or equal to 0, got -1"),
        ({"window": "0"}, "unknown window '0' (choices: epoch, training, a number of steps)"),
        ({"network": "cnn"}, "unknown network of rendered_cars 'cnn' (choices: alexnet)"),
        ({"dataset": "mnist"}, "unknown network of mnist 'alexnet' (choices: cnn, mlp)"),
        ({"dataset": "mnist", "network": "mlp", "image_size": 99}, "unknown image_size of mnist 99 (choices: 28)"),
        ({"optimizer": ["adam"]}, "unknown optimizer ['adam'] (choices: adadelta"),
        ({"epochs": None}, "epochs must be a valid integer, got None"),
        ({"optimzer": "adam"}, "unknown parameter 'optimzer'; did you mean 'optimizer'? (choices: "),
    ],
)
def test_mistakes_are_named_in_one_line(given, message):
    with pytest.raises(ConfigError) as error:
        RunConfig(**given)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_whole_numbers_may_stand_for_fractions():
    assert RunConfig(width=1).width == 1.0
    assert RunConfig(window=10).window == "10"  # as papermill reads it


def test_what_is_left_open_is_the_optimizers_own():
    assert [RunConfig(optimizer=name).beta1 for name in ("adam", "sgd", "adasmooth", "rmsprop")] == [0.9, 0.9, 0, 0]
    assert [RunConfig(optimizer=name).eps for name in ("adam", "adasmooth", "adagrad")] == [1e-8, 1e-6, 1e-7]
    assert RunConfig(**RunConfig(optimizer="adam", beta1=0.0).model_dump()).beta1 == 0
    digits = RunConfig(dataset="mnist", network="cnn")
    assert (digits.label, digits.image_size, digits.augment) == ("digit", 28, False)


def test_the_notebooks_parameters_are_the_fields_with_their_defaults():
    import papermill

    found = papermill.inspect_notebook(str(config.PROJECT / "notebooks" / "05_train.ipynb"))
    defaults = {name: field.default for name, field in RunConfig.model_fields.items()}
    assert {name: ast.literal_eval(each["default"]) for name, each in found.items() if name in defaults} == defaults
    assert set(found) - set(defaults) == {"arm", "result", "checkpoint"}


def test_a_run_file_of_before_is_read():
    """Of when there was no momentum: `eps` 0 was the optimizer's own, and Adam's beta1 stood everywhere."""
    old = {"dataset": "stanford_cars", "optimizer": "adasmooth", "beta1": 0.9, "eps": 0.0}
    read = config.recorded({"config": old})
    assert (read["beta1"], read["eps"], read["network"], read["split_seed"]) == (0.0, 1e-6, "alexnet", -1)
    assert config.recorded({"config": old | {"optimizer": "adam"}})["beta1"] == 0.9
    assert config.recorded({"arm": "AdaSmooth with momentum", "config": old})["beta1"] == 0.9


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
