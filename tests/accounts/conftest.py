"""The houses of the tests: a database after its first start, made once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.accounts.users import bootstrap
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, House, open_house


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database after its first start, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("template")
    house = open_house(folder)
    house.do(OPERATOR, bootstrap.first_start, house.settings)
    house.close()
    return folder


@pytest.fixture
def make_house(template: Path, tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Open houses with settings of one's own."""
    made: list[House] = []

    def make(**settings: Any) -> House:
        folder = tmp_path / f"house-{len(made)}"
        shutil.copytree(template, folder)
        made.append(open_house(folder, **settings))
        return made[-1]

    yield make
    for house in made:
        house.close()


@pytest.fixture(scope="session")
def peopled(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with `admin`, the creator `carl`, and in `p1` the admin `paul`, the executor `emma`, reader `rita`."""
    folder = tmp_path_factory.mktemp("peopled") / "data"
    shutil.copytree(template, folder)
    house = open_house(folder)
    house.people("carl", "paul", "emma", "rita", "zoe")
    house.give("PROJECT_CREATOR", SYSTEM, "carl")
    house.project("p1", "paul")
    house.give("PROJECT_EXECUTOR", "p1", "emma")
    house.give("PROJECT_READER", "p1", "rita")
    house.close()
    return folder


@pytest.fixture
def house(peopled: Path, tmp_path: Path) -> Iterator[House]:
    """A house of one's own, see `peopled`."""
    folder = tmp_path / "house"
    shutil.copytree(peopled, folder)
    house = open_house(folder)
    yield house
    house.close()


@pytest.fixture(scope="session")
def shared_town(peopled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("town") / "data"
    shutil.copytree(peopled, folder)
    town = open_house(folder)
    town.people("tim", "olga")
    town.project("p2", "olga")
    yield town
    town.close()


@pytest.fixture
def town(shared_town: House) -> Iterator[House]:
    """The house with `tim`, who has nothing, and `olga`, the admin of `p2`; what a test does there is taken back."""
    with shared_town.trial() as trial:
        yield trial
