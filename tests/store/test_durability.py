"""A warning for a PostgreSQL server that may lose acknowledged changes (R106)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.cli.doctor.checks import STORE_CHECKS
from aizen_hub.cli.doctor.store import check_store
from aizen_hub.diagnosis.check_result import CheckResult
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.settings import Settings
from aizen_hub.store import migrate
from aizen_hub.store.sql_store import Store
from tests.fixtures.databases.postgres import Server, fresh_database

pytestmark = pytest.mark.needs("postgres")

SETTINGS = ("fsync", "synchronous_commit")


def _check_store(settings: Settings) -> list[CheckResult]:
    return list(check_store(Installation(Path("aizen.yaml"), settings, Path("none")), STORE_CHECKS))


@contextmanager
def switched_off(server: Server, name: str) -> Iterator[None]:
    """Switch a setting off for the whole server, as its configuration file does."""
    _set_and_reload(server, f"ALTER SYSTEM SET {name} = off", name, "off")
    try:
        yield
    finally:
        _set_and_reload(server, f"ALTER SYSTEM RESET {name}", name, "on")


def _set_and_reload(server: Server, statement: str, name: str, wanted: str) -> None:
    import psycopg

    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute(statement)
        conn.execute("SELECT pg_reload_conf()")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with psycopg.connect(server.url(), autocommit=True) as conn:
            if conn.execute(f"SHOW {name}").fetchone() == (wanted,):
                return
        time.sleep(0.05)
    raise AssertionError(f"{name} did not become {wanted}")


@pytest.fixture
def on_postgres(postgres_server: Server, tmp_path: Path) -> Iterator[Settings]:
    with fresh_database(postgres_server) as url:
        migrate.upgrade(url)
        yield Settings(data_dir=tmp_path / "data", database=url)


def _warnings(settings: Settings, catalog: Catalog, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        Store.open(settings, catalog).close()
    return [record.getMessage() for record in caplog.records if "R106" in record.getMessage()]


@pytest.mark.proves("R106")
@pytest.mark.parametrize("name", SETTINGS)
def test_a_server_that_may_lose_commits_is_reported(
    name: str, postgres_server: Server, on_postgres: Settings, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    assert _warnings(on_postgres, catalog, caplog) == []
    with switched_off(postgres_server, name):
        (warning,) = _warnings(on_postgres, catalog, caplog)
        assert f"{name}=off" in warning
        (failed,) = [finding for finding in _check_store(on_postgres) if name in finding.message]
        assert failed.level == "fail"
    assert _warnings(on_postgres, catalog, caplog) == []
