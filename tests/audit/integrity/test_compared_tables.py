"""Every table that gives, takes or opens access, against the recorded changes: each way in by SQL is found (T-38)."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from aizen_hub.accounts.credentials import passwords
from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.logins import linked_logins as further_logins
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import users
from aizen_hub.audit.integrity.state_comparison import compare
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import migrate as schema
from aizen_hub.store import tables
from aizen_hub.store.audit_log.covered_tables import COVERAGE, DATED, Compared
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import Write
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.audit.integrity.compared_world import OPERATOR, chosen, fill
from tests.audit.integrity.tampered import NOW, TAMPERED
from tests.audit.walking import walk
from tests.store import world


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared") / "data"
    folder.mkdir(mode=0o700)
    store = Store.open(chosen(folder), world.catalog())
    fill(store)
    store.close()
    return folder


@pytest.fixture
def embedded(template: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(template, tmp_path / "data")
    store = Store.open(chosen(tmp_path / "data"), world.catalog())
    yield store
    store.close()


@pytest.fixture
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = request.getfixturevalue("migrated_url")
    made = chosen(tmp_path, database=url)
    KeyEncryption.make(made.key_encryption_path)
    store = Store.open(made, world.catalog())
    yield store
    store.close()


def found(store: Store) -> list[tuple[str, str]]:
    with store.read() as tx:
        return [(one.what, one.sentence) for one in compare(tx.conn)]


def test_every_table_and_column_is_compared_or_left_for_a_reason() -> None:
    assert set(COVERAGE) == set(tables.metadata.tables)
    for name, how in COVERAGE.items():
        if not isinstance(how, Compared):
            assert how.why, name
            continue
        table = tables.metadata.tables[name]
        named = {one.name for one in (*how.owner, *how.part, *how.values) if one.table is table}
        refers = {one.name for one in table.columns if one.foreign_keys}
        assert named | set(how.left) | refers | ({"id"} & named) == {one.name for one in table.columns}, name
        assert not named & set(how.left), name
        assert how.hashed <= named, name
    dated = {(source.name if source in tables.metadata.tables.values() else at.table.name, at.name)
             for source, _, at in DATED.values()}  # fmt: skip
    assert {("memberships", "seen_at"), ("sessions", "heard"), ("sign_ins", "at"), ("users", "last_seen")} <= dated


def tamper(store: Store, sql: str) -> None:
    with store.database.engine.connect() as conn:
        assert conn.execute(text(sql.replace(":*", "\\:*"))).rowcount, sql


@pytest.mark.parametrize("name", TAMPERED)
@pytest.mark.proves("T-38")
def test_what_sql_did_is_found_and_located(embedded: Store, name: str) -> None:
    sql, what, names = TAMPERED[name]
    assert found(embedded) == []
    tamper(embedded, sql)
    seen = found(embedded)
    mine = [sentence for kind, sentence in seen if kind == what]
    assert mine, seen
    assert all(any(one in sentence for sentence in mine) for one in names), seen


@pytest.mark.needs("postgres")
@pytest.mark.proves("T-38")
def test_what_sql_did_is_found_on_postgresql(shared: Store) -> None:
    fill(shared)
    assert found(shared) == []
    for name, (sql, what, names) in TAMPERED.items():
        with shared.database.engine.connect() as conn:
            conn.exec_driver_sql("BEGIN")
            assert conn.execute(text(sql.replace(":*", "\\:*"))).rowcount, name
            seen = [one.sentence for one in compare(conn) if one.what == what]
            conn.exec_driver_sql("ROLLBACK")
        assert all(any(one in sentence for sentence in seen) for one in names), (name, seen)
    assert found(shared) == []


@pytest.mark.proves("T-38")
def test_an_honest_change_does_not_cover_up_what_was_done_before_it(embedded: Store) -> None:
    """Whoever changes the same row later vouches for what they wrote, not for what they found."""
    for sql in (
        TAMPERED["credential made"][0],
        TAMPERED["second factor off"][0],
        TAMPERED["login linked"][0],
        TAMPERED["local membership"][0],
        "UPDATE users SET provider = 'idp' WHERE name = 'dora'",
        "INSERT INTO service_accounts (name, description, active, created, built_in)"
        f" VALUES ('ghost', '', false, {NOW}, false)",
    ):
        tamper(embedded, sql)
    before = found(embedded)
    assert len(before) == 6
    with embedded.write(OPERATOR) as tx:
        service_accounts.issue(tx, "robot")
        passwords.put(tx, "boss", "another password, made up")
        further_logins.link(tx, "boss", "idp", "s-2")
        groups.add_member(tx, "admins", Identity.user("dora"))
        users.alter(tx, "dora", email="dora@example.org")
        service_accounts.set_active(tx, "ghost", True)
    assert found(embedded) == before


@pytest.mark.proves("R98", "T-38")
def test_the_records_hold_nothing_to_sign_in_with(embedded: Store) -> None:
    with embedded.read() as tx:
        kept = repr(tx.conn.execute(tables.changes.select()).all())
        secrets = [
            *tx.conn.scalars(select(tables.passwords.c.hash)),
            *tx.conn.scalars(select(tables.credentials.c.hash)),
            *tx.conn.scalars(select(tables.activations.c.token_hash)),
            *tx.conn.scalars(select(tables.sessions.c.credential)),
        ]
    assert len(secrets) >= 6
    assert not [one for one in secrets if one in kept]


def _old(tx: Write) -> None:
    """What changes recorded before they said which rows they write."""
    world.user(tx, "eve")
    group = world.group(tx, "veterans")
    world.project(tx, "p0")
    world.join(tx, Identity.user("eve"), group)


@pytest.mark.parametrize("where", ["embedded", pytest.param("shared", marks=pytest.mark.needs("postgres"))])
@pytest.mark.proves("T-38")
def test_a_database_of_before_is_recorded_as_it_stands(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    store: Store = request.getfixturevalue(where)
    if where == "shared":
        fill(store)
    with store.write(OPERATOR) as tx:
        _old(tx)
    assert {what for what, _ in found(store)} == {"user", "group", "project", "membership"}
    monkeypatch.setattr(schema, "_RECORDED", "9999")  # as if this version were the first to record
    schema.upgrade(store.settings.database_url)
    assert found(store) == []
    with store.write(OPERATOR) as tx:
        users.remove(tx, ["eve"])
        locks.unlock(tx, LockTarget.IDENTITY, "user:nil")
    assert found(store) == []
    tamper(store, "UPDATE groups SET is_default = true WHERE name = 'veterans'")
    assert [what for what, _ in found(store)] == ["group"]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(min_value=0, max_value=2**32))
@pytest.mark.proves("T-38")
def test_whatever_is_done_here_is_no_tampering(template: Path, tmp_path_factory: Any, seed: int) -> None:
    folder = tmp_path_factory.mktemp("walk") / "data"
    shutil.copytree(template, folder)
    store = Store.open(chosen(folder), world.catalog())
    try:
        assert walk(store, random.Random(seed), 120) > 10
        assert found(store) == []
    finally:
        store.close()
        shutil.rmtree(folder)


@pytest.mark.needs("postgres")
@pytest.mark.proves("T-38")
def test_whatever_is_done_on_postgresql_is_no_tampering(shared: Store) -> None:
    fill(shared)
    assert walk(shared, random.Random(7), 400) > 50
    assert found(shared) == []
