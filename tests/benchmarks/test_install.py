"""The stores of the benchmarks follow the schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from aizen_hub.rbac.identity import Identity
from aizen_hub.store.sql_store import Store
from tests.benchmarks import install


def test_a_store_on_sqlite_is_filled(tmp_path: Path) -> None:
    store = Store.open(install.build(tmp_path, install.SMALL), install.catalog())
    try:
        with store.read() as tx:
            assert len(tx.rights(Identity.user("u1")).held_roles) == install.ASSIGNMENTS_PER_USER
            # No service runs ANALYZE: its statistics would give the measured queries better plans than those of users.
            tables = tx.conn.exec_driver_sql("SELECT name FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'").all()
            assert tables == []
    finally:
        store.close()


@pytest.mark.needs("postgres")
def test_a_store_on_postgresql_is_filled(migrated_url: str) -> None:
    install.fill(migrated_url, install.SMALL)
