"""Transactions of the store: atomic, with one revision, one change record and audit records."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from aizen_hub.audit.integrity.chain_verifier import verify_chains
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.problems import Problem, Unavailable
from aizen_hub.settings import ConfigurationError, Settings
from aizen_hub.store import tables
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import make_audit_record
from tests.store import store_rows
from tests.store.conftest import Opener
from tests.store.store_rows import TESTER


def rows(store: Store, table: str) -> list[tuple[object, ...]]:
    with store.read() as tx:
        return [tuple(row) for row in tx.conn.execute(select(tables.metadata.tables[table]))]


def names(store: Store) -> set[object]:
    with store.read() as tx:
        return set(tx.conn.scalars(select(tables.users.c.name)))


@pytest.mark.proves("R93")
def test_a_change_comes_with_its_revision_its_record_and_its_audit_row(store: Store) -> None:
    with store.read() as tx:
        before = tx.revision
    with store.write(TESTER) as tx:
        assert tx.revision == before
        store_rows.insert_user(tx, "alice")
        audit_id = tx.audit("user.created", target="alice")
        assert tx.revision == before + 1
    with store.read() as tx:
        assert tx.revision == before + 1
        change = tx.conn.execute(select(tables.changes).where(tables.changes.c.revision == tx.revision)).one()
        row = tx.conn.execute(select(tables.audit).where(tables.audit.c.id == audit_id)).one()
        assert (change.kind, change.invalidates, change.audit_id) == ("user", ["user:alice"], audit_id)
        assert change.payload == [{"kind": "user", "user": "alice"}]
        assert (row.event, row.identity) == ("user.created", "user:tester")
        assert verify_chains(tx.conn).is_intact


@pytest.mark.proves("R93", "R104", "I9")
@pytest.mark.parametrize("error", [RuntimeError("a bug"), Problem("a refusal"), KeyboardInterrupt()], ids=repr)
def test_an_exception_leaves_nothing_behind(store: Store, error: BaseException) -> None:
    before = {table: rows(store, table) for table in ("users", "changes", "audit", "revision")}
    with pytest.raises(type(error)), store.write(TESTER) as tx:  # noqa: PT012
        store_rows.insert_user(tx, "alice")
        tx.audit("user.created")
        raise error
    assert {table: rows(store, table) for table in before} == before


@pytest.mark.proves("R93")
def test_a_change_is_undone_when_its_audit_row_cannot_be_written(store: Store) -> None:
    before = rows(store, "users"), rows(store, "revision")
    with pytest.raises(ValueError, match="not the name of an audit event"), store.write(TESTER) as tx:  # noqa: PT012
        store_rows.insert_user(tx, "alice")
        tx.audit("no event\n")
    existing_id = rows(store, "audit")[0][2]
    with pytest.raises(store.database.driver_error), store.write(TESTER) as tx:  # noqa: PT012
        store_rows.insert_user(tx, "alice")
        tx.audit("user.created", id=str(existing_id))
    assert (rows(store, "users"), rows(store, "revision")) == before


@pytest.mark.proves("I2")
def test_a_change_without_an_audit_row_gets_one(store: Store) -> None:
    with store.write(TESTER) as tx:
        store_rows.insert_user(tx, "alice")
    with store.read() as tx:
        change = tx.conn.execute(select(tables.changes).order_by(tables.changes.c.revision.desc())).first()
        assert change is not None
        assert tx.conn.scalar(select(tables.audit.c.event).where(tables.audit.c.id == change.audit_id)) == "changed"


def test_several_changes_are_one_revision(store: Store) -> None:
    with store.write(TESTER) as tx:
        alice = store_rows.insert_user(tx, "alice")
        store_rows.insert_project(tx, "p1")
        store_rows.insert_assignment(tx, "PROJECT_READER", "p1", alice)
        revision = tx.revision
    with store.read() as tx:
        assert tx.revision == revision
        change = tx.conn.execute(select(tables.changes).where(tables.changes.c.revision == revision)).one()
    assert change.kind == "several"
    assert [entry["kind"] for entry in change.payload] == ["user", "project", "grant"]
    assert change.payload[2]["to"] == "user:alice"
    assert change.invalidates == ["user:alice", "project:p1"]


def test_more_rows_than_one_statement_takes_are_one_chain(store: Store) -> None:
    with store.write(TESTER) as tx:
        for number in range(2_001):
            tx.audit("counted", number=number)
    with store.read() as tx:
        numbers = list(tx.conn.scalars(select(tables.audit.c.number).where(tables.audit.c.event == "counted")))
        assert verify_chains(tx.conn).is_intact
    assert len(numbers) == 2_001


def test_without_a_change_the_revision_stays_the_same(store: Store) -> None:
    with store.read() as tx:
        before = tx.revision
        record = make_audit_record(TESTER, "login", tx.now, outcome="refused")
    store.append_audit([record])
    with store.write(TESTER) as tx:
        tx.audit("looked")
    with store.read() as tx:
        assert tx.revision == before
        assert list(tx.conn.scalars(select(tables.audit.c.event).order_by(tables.audit.c.at)))[-2:] == [
            "login",
            "looked",
        ]


def test_a_read_transaction_is_one_snapshot(opened: Opener) -> None:
    first, second = opened(), opened()
    with first.read() as tx:
        before = tx.revision, tx.conn.scalar(select(func.count()).select_from(tables.users))
        with second.write(TESTER) as change:
            store_rows.insert_user(change, "alice")
        assert (before[0], tx.conn.scalar(select(func.count()).select_from(tables.users))) == before
    assert "alice" in names(first)


def test_the_catalog_is_under_the_revision(store: Store, settings: Settings, catalog: Catalog) -> None:
    other = replace(catalog, hash="0" * 64)
    with store.read() as tx:
        assert tx.state.catalog_hash == catalog.hash
        before = tx.revision
    second = Store.open(settings, other)
    try:
        if not settings.uses_sqlite:  # replicas of two versions may run at once: an operator has to decide
            with second.read() as tx:
                assert (tx.state.catalog_hash, tx.revision) == (catalog.hash, before)
            second.adopt_catalog()
        with store.read() as tx:
            assert (tx.state.catalog_hash, tx.revision) == (other.hash, before + 1)
    finally:
        second.close()


def test_the_files_of_an_embedded_database_are_private(tmp_path: Path, catalog: Catalog) -> None:
    folder = tmp_path / "made"
    former = os.umask(0)
    try:
        store = Store.open(Settings(data_dir=folder), catalog)
        with store.write(TESTER) as tx:
            store_rows.insert_user(tx, "alice")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}
        store.close()
    finally:
        os.umask(former)
    assert modes == {"made": 0o700, "aizen.sqlite": 0o600, "aizen.sqlite-wal": 0o600, "aizen.sqlite-shm": 0o600}
    (folder / "aizen.sqlite").chmod(0o644)
    Store.open(Settings(data_dir=folder), catalog).close()
    assert stat.S_IMODE((folder / "aizen.sqlite").stat().st_mode) == 0o600


@pytest.mark.proves("R106")
def test_sqlite_runs_durably(tmp_path: Path, catalog: Catalog) -> None:
    store = Store.open(Settings(data_dir=tmp_path), catalog)
    with store.read() as tx:
        pragma = {
            name: tx.conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "journal_mode", "foreign_keys")
        }
    store.close()
    assert pragma == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "mysql://h/d", "sqlite:///file:x?mode=memory", "x", "postgresql://h:port/d"],
)
def test_other_databases_are_refused(tmp_path: Path, catalog: Catalog, url: str) -> None:
    with pytest.raises(ConfigurationError, match="`database`"):
        Store.open(Settings(data_dir=tmp_path, database=url), catalog)


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(Unavailable):
        Store.open(Settings(data_dir=tmp_path, database="postgresql://unknown@127.0.0.1:1/none"), catalog)


def test_ids_are_never_used_again(store: Store) -> None:
    with store.write(TESTER) as tx:
        store_rows.insert_user(tx, "alice")
        first = tx.conn.scalar(select(tables.users.c.id).where(tables.users.c.name == "alice"))
        tx.conn.execute(tables.users.delete())
        store_rows.insert_user(tx, "alice")
        second = tx.conn.scalar(select(tables.users.c.id).where(tables.users.c.name == "alice"))
    assert first is not None
    assert second is not None
    assert second > first


def test_the_revision_row_is_single(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write(TESTER) as tx:
        tx.conn.execute(insert(tables.revision).values(id=2, value=0, catalog_hash=""))


def test_a_local_membership_exists_once(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write(TESTER) as tx:  # noqa: PT012
        alice, ops = store_rows.insert_user(tx, "alice"), store_rows.insert_group(tx, "ops")
        store_rows.insert_membership(tx, alice, ops)
        store_rows.insert_membership(tx, alice, ops)


def test_a_revision_changed_by_others_aborts_the_change(store: Store) -> None:
    with pytest.raises(RuntimeError, match="revision changed"), store.write(TESTER) as tx:  # noqa: PT012
        store_rows.insert_user(tx, "alice")
        tx.conn.execute(update(tables.revision).values(value=77))
