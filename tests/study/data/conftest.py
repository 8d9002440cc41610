"""What the tests of the datasets share: a project's folder of their own, to prepare and unpack in."""

import pytest

from study import config


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """The project's folder, of this test; nothing is in it."""
    monkeypatch.setattr(config, "PROJECT", tmp_path / "project")
    return tmp_path / "project"
