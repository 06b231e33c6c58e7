"""Founded towns to start from: one on SQLite, copied for each test, and one on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.faults.install import Town, found, town
from tests.fixtures.postgres import Server, fresh_database, postgres_server  # noqa: F401 - a fixture


class Opener(Protocol):
    """Starts a town; what it starts ends with the test."""

    def __call__(self, **options: Any) -> Town: ...


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, str]]:
    folder = tmp_path_factory.mktemp("founded")
    return folder, found(folder)


@pytest.fixture
def sqlite_town(founded: tuple[Path, tuple[str, str]], tmp_path: Path) -> Iterator[Opener]:
    """Start one service on a copy of the founded store."""
    folder, secrets = founded
    with ExitStack() as stack:

        def start(*, at: Path | None = None, **options: Any) -> Town:
            home = at or tmp_path / "town"
            shutil.copytree(folder, home, dirs_exist_ok=True)
            return stack.enter_context(town(home, secrets, **options))

        yield start


@pytest.fixture(scope="session")
def founded_on_postgres(
    postgres_server: Server,  # noqa: F811 - the fixture
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, tuple[str, str], str]]:
    folder = tmp_path_factory.mktemp("founded-on-postgres")
    with fresh_database(postgres_server) as url:
        yield folder, found(folder, url), url.rpartition("/")[2]


@pytest.fixture
def postgres_town(
    postgres_server: Server,  # noqa: F811 - the fixture
    founded_on_postgres: tuple[Path, tuple[str, str], str],
    tmp_path: Path,
) -> Iterator[Opener]:
    """Start two replicas on a copy of the founded database."""
    folder, secrets, template = founded_on_postgres
    with ExitStack() as stack:

        def start(**options: Any) -> Town:
            shutil.copytree(folder, tmp_path / "town")
            url = stack.enter_context(_copied(postgres_server, template))
            return stack.enter_context(town(tmp_path / "town", secrets, url, **{"replicas": 2, **options}))

        yield start


@contextmanager
def _copied(server: Server, template: str) -> Iterator[str]:
    import psycopg

    name = f"{template}_copy"
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield server.url(name)
    finally:
        with psycopg.connect(server.url(), autocommit=True) as conn:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
