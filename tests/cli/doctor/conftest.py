from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.doctor.installed import clear_variables, install
from tests.service.conftest import options, service

__all__ = ["options", "service"]


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation, made once."""
    folder = tmp_path_factory.mktemp("doctor")
    install(folder)
    return folder


@pytest.fixture
def folder(prepared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the installation for one test, in an environment that changes nothing of it."""
    clear_variables(monkeypatch)
    return Path(shutil.copytree(prepared_folder, tmp_path / "installation"))
