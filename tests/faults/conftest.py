"""Prepared installations: one on SQLite, copied for each test, and one on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.faults.installation import Installation, create_installation, run_installation
from tests.fixtures.databases.postgres import Server, fresh_database, postgres_server  # noqa: F401 - a fixture


class Opener(Protocol):
    """Starts an installation that ends with the test."""

    def __call__(self, **options: Any) -> Installation: ...


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, str]]:
    folder = tmp_path_factory.mktemp("sqlite_template")
    return folder, create_installation(folder)


@pytest.fixture
def sqlite_installation(sqlite_template: tuple[Path, tuple[str, str]], tmp_path: Path) -> Iterator[Opener]:
    """Start one service on a copy of the sqlite_template store."""
    folder, secrets = sqlite_template
    with ExitStack() as stack:

        def start(*, at: Path | None = None, **options: Any) -> Installation:
            home = at or tmp_path / "installation"
            shutil.copytree(folder, home, dirs_exist_ok=True)
            return stack.enter_context(run_installation(home, secrets, **options))

        yield start


@pytest.fixture(scope="session")
def postgres_template(
    postgres_server: Server,  # noqa: F811 - the fixture
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, tuple[str, str], str]]:
    folder = tmp_path_factory.mktemp("sqlite_template-on-postgres")
    with fresh_database(postgres_server) as url:
        yield folder, create_installation(folder, url), url.rpartition("/")[2]


@pytest.fixture
def postgres_installation(
    postgres_server: Server,  # noqa: F811 - the fixture
    postgres_template: tuple[Path, tuple[str, str], str],
    tmp_path: Path,
) -> Iterator[Opener]:
    """Start two replicas on a copy of the sqlite_template database."""
    folder, secrets, template = postgres_template
    with ExitStack() as stack:

        def start(**options: Any) -> Installation:
            shutil.copytree(folder, tmp_path / "installation")
            url = stack.enter_context(_copied_database(postgres_server, template))
            return stack.enter_context(
                run_installation(tmp_path / "installation", secrets, url, **{"replicas": 2, **options})
            )

        yield start


@contextmanager
def _copied_database(server: Server, template: str) -> Iterator[str]:
    import psycopg

    name = f"{template}_copy"
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield server.url(name)
    finally:
        with psycopg.connect(server.url(), autocommit=True) as conn:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
