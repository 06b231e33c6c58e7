"""Fixtures for tests of account functions: a database after its first start, created once and copied per test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.accounts.users import bootstrap
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, AccountsHarness, open_harness


@pytest.fixture(scope="session")
def template_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database after its first start, created once and copied for each test."""
    folder = tmp_path_factory.mktemp("template")
    harness = open_harness(folder)
    harness.execute(OPERATOR, bootstrap.bootstrap_installation, harness.settings)
    harness.close()
    return folder


@pytest.fixture
def make_harness(template_folder: Path, tmp_path: Path) -> Iterator[Callable[..., AccountsHarness]]:
    """Open harnesses with other settings."""
    made: list[AccountsHarness] = []

    def make(**settings: Any) -> AccountsHarness:
        folder = tmp_path / f"harness-{len(made)}"
        shutil.copytree(template_folder, folder)
        made.append(open_harness(folder, **settings))
        return made[-1]

    yield make
    for harness in made:
        harness.close()


@pytest.fixture(scope="session")
def populated_folder(template_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with `admin`, the creator `carl`, and in `p1` the admin `paul`, the executor `emma`, reader `rita`."""
    folder = tmp_path_factory.mktemp("peopled") / "data"
    shutil.copytree(template_folder, folder)
    harness = open_harness(folder)
    harness.register_users("carl", "paul", "emma", "rita", "zoe")
    harness.grant("PROJECT_CREATOR", SYSTEM, "carl")
    harness.create_project("p1", "paul")
    harness.grant("PROJECT_EXECUTOR", "p1", "emma")
    harness.grant("PROJECT_READER", "p1", "rita")
    harness.close()
    return folder


@pytest.fixture
def harness(populated_folder: Path, tmp_path: Path) -> Iterator[AccountsHarness]:
    """A harness with its own database, see `populated_folder`."""
    folder = tmp_path / "harness"
    shutil.copytree(populated_folder, folder)
    harness = open_harness(folder)
    yield harness
    harness.close()


@pytest.fixture(scope="session")
def shared_harness(populated_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountsHarness]:
    folder = tmp_path_factory.mktemp("shared") / "data"
    shutil.copytree(populated_folder, folder)
    sandbox = open_harness(folder)
    sandbox.register_users("tim", "olga")
    sandbox.create_project("p2", "olga")
    yield sandbox
    sandbox.close()


@pytest.fixture
def sandbox(shared_harness: AccountsHarness) -> Iterator[AccountsHarness]:
    """A shared harness with `tim`, who has no roles, and `olga`, the admin of `p2`; its changes are rolled back."""
    with shared_harness.rolled_back() as trial:
        yield trial
