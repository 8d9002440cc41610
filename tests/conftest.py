"""What the tests share: float64 in JAX, random numbers, the real photographs if they are there."""

import os
import shutil
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


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project, for tests that write into it; its folder's name has blanks and signs that others read."""
    copy = tmp_path_factory.mktemp("it's a {project}, #1 é")
    names = shutil.ignore_patterns(".*", "build", "results", "prepared", "raw", "__pycache__", "*.egg-info")
    shutil.copytree(PROJECT, copy, ignore=names, dirs_exist_ok=True)
    (PROJECT / "data" / "prepared").mkdir(exist_ok=True)
    (copy / "data" / "prepared").symlink_to(PROJECT / "data" / "prepared")
    return copy


@pytest.fixture(scope="session")
def photographs():
    """The folder of real Stanford Cars photographs."""
    folder = Path(os.environ.get("STANFORD_CARS_DIR", PROJECT.parent / "shared" / "data" / "stanford_cars"))
    if not folder.is_dir():
        pytest.skip("no Stanford Cars photographs here; set STANFORD_CARS_DIR to test with them")
    return folder
