"""What the tests share: float64 in JAX, random numbers, the real photographs if they are there."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest

from study.config import PROJECT


@pytest.fixture
def x64():
    """float64 in JAX for this test only: the product runs without."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def generator():
    return np.random.default_rng(20220400825)


@pytest.fixture(scope="session")
def photographs():
    """The folder of real Stanford Cars photographs."""
    folder = Path(os.environ.get("STANFORD_CARS_DIR", PROJECT.parent / "shared" / "data" / "stanford_cars"))
    if not folder.is_dir():
        pytest.skip("no Stanford Cars photographs here; set STANFORD_CARS_DIR to test with them")
    return folder
