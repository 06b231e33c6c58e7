"""Fixtures of the policy tests: a store with users and projects, and operations on it in the test's own thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from aizen_hub.accounts.credentials.passwords import NewPassword
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import registration
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.client.errors import parse_problem
from aizen_hub.commands.result import Result
from aizen_hub.operations.operation import Operation, OperationState
from aizen_hub.operations.runner import OperationRunner
from aizen_hub.policy.apply import APPLY, KINDS, PolicyRequest
from aizen_hub.policy.loader import read_policy
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.audit_log import change_records
from aizen_hub.store.sql_store import Store
from tests.fixtures.databases.sqlite import create_database_file

OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)
BOSS = Actor(Identity.user("boss"), Channel.PANEL)


def run_operation(
    store: Store, data: dict[str, Any], actor: Actor = OPERATOR, *, kind: str = APPLY, prune: bool = False
) -> Operation:
    """Run an operation on a policy in this thread, and return it as it ended."""
    runner = OperationRunner(store, KINDS, lambda handler: None)
    try:
        with store.write(actor) as tx:
            operation = runner.create(tx, kind)
        return runner.run(operation, actor, PolicyRequest(lambda tx: read_policy(data, tx.catalog), prune))
    finally:
        runner.close()


def run(store: Store, data: dict[str, Any], actor: Actor = OPERATOR, **options: Any) -> Result:
    """Run an operation on a policy, and return its result; raises the problem of one that fails."""
    operation = run_operation(store, data, actor, **options)
    if operation.problem is not None:
        raise parse_problem(int(operation.problem["status"]), json.dumps(operation.problem).encode())
    assert operation.state is OperationState.SUCCEEDED
    assert operation.result is not None
    return Result(**{**operation.result, "rows": tuple(map(tuple, operation.result["rows"]))})


def register_users(store: Store, names: list[str]) -> None:
    """Register many users at once, past the functions that register one, with the change record that they write."""
    with store.write(OPERATOR) as tx:
        values = {"provider": "local", "active": True, "email_unconfirmed": False}
        rows = [{**values, "name": name, "alerts": {}, "display_name": "", "created": tx.now} for name in names]
        tx.conn.execute(insert(tables.users), rows)
        wrote = change_records.change_payload(
            *(change_records.row_written(tables.users, row["name"], row) for row in rows)
        )
        tx.record_change("user", wrote, [f"user:{name}" for name in names])


def assigned(store: Store) -> set[tuple[str, str, str]]:
    """Return role, scope and identity of every assignment in effect."""
    a = tables.assignments
    with store.read() as tx:
        return {(row.role, row.scope, row.identity) for row in tx.conn.execute(a.select())}


def staged_rows(store: Store) -> int:
    """Return the number of rows that an operation has staged or marked."""
    rows = tables.assignment_rows
    with store.read() as tx:
        marked = rows.select().where(rows.c.staged_by.is_not(None) | rows.c.removed_by.is_not(None))
        return len(tx.conn.execute(marked).all())


@cache
def hashed() -> NewPassword:
    """The password of all users here, hashed once."""
    return NewPassword.from_text("a long enough password, made up")


@pytest.fixture
def populated() -> Callable[[Store], Store]:
    """Return a function that registers ``boss`` (AIZEN_ADMIN), ``ada`` (admin of ``p1``), ``eve`` and ``rob``."""

    def populate(store: Store) -> Store:
        with store.write(OPERATOR) as tx:
            for name in ("boss", "ada", "eve", "rob"):
                registration.create_user(tx, name, password=hashed())
            assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", Identity.user("boss"))
            lifecycle.create_project(tx, "p1", owner=Identity.user("ada"))
        return store

    return populate


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def any_store(request: pytest.FixtureRequest, tmp_path: Path, populated: Callable[[Store], Store]) -> Iterator[Store]:
    """The populated store, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        settings = Settings(data_dir=create_database_file(tmp_path / "data"), confirm_protected=False)
    else:
        url = request.getfixturevalue("migrated_url")
        settings = Settings(data_dir=tmp_path / "data", database=url, confirm_protected=False)
    store = Store.open(settings, load_catalog("aizen"))
    yield populated(store)
    store.close()


@pytest.fixture
def store(tmp_path: Path, populated: Callable[[Store], Store]) -> Iterator[Store]:
    """The populated store on SQLite."""
    settings = Settings(data_dir=create_database_file(tmp_path / "data"), confirm_protected=False)
    store = Store.open(settings, load_catalog("aizen"))
    yield populated(store)
    store.close()
