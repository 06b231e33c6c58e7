"""Every covered table against the recorded changes: each manipulation by SQL is found (T-38)."""

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
from aizen_hub.accounts.groups import membership
from aizen_hub.accounts.logins import linked_logins
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.users import profiles
from aizen_hub.audit.integrity.state_comparison import compare_state
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.audit_log.covered_tables import COVERAGE, MOVING_TIMESTAMPS, CoveredTable
from aizen_hub.store.sql_store import Store
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.audit.integrity.covered_store import OPERATOR, make_settings, populate_store
from tests.audit.integrity.tampering_statements import NOW, TAMPERED
from tests.audit.random_operations import run_random_operations
from tests.store import store_rows


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("covered") / "data"
    folder.mkdir(mode=0o700)
    store = Store.open(make_settings(folder), store_rows.catalog())
    populate_store(store)
    store.close()
    return folder


@pytest.fixture
def embedded(template: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(template, tmp_path / "data")
    store = Store.open(make_settings(tmp_path / "data"), store_rows.catalog())
    yield store
    store.close()


@pytest.fixture
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = request.getfixturevalue("migrated_url")
    settings = make_settings(tmp_path, database=url)
    KeyEncryption.create(settings.key_encryption_path)
    store = Store.open(settings, store_rows.catalog())
    yield store
    store.close()


def find_differences(store: Store) -> list[tuple[str, str]]:
    with store.read() as tx:
        return [(difference.kind, difference.sentence) for difference in compare_state(tx.conn)]


def test_every_table_and_column_is_covered_or_excluded_with_a_reason() -> None:
    assert set(COVERAGE) == set(tables.metadata.tables)
    for name, spec in COVERAGE.items():
        if not isinstance(spec, CoveredTable):
            assert spec.reason, name
            continue
        table = tables.metadata.tables[name]
        covered = {column.name for column in (*spec.owner, *spec.part, *spec.values) if column.table is table}
        references = {column.name for column in table.columns if column.foreign_keys}
        assert covered | set(spec.excluded_columns) | references == {column.name for column in table.columns}, name
        assert not covered & set(spec.excluded_columns), name
        assert spec.hashed <= covered, name
    timestamps = {(source.name if source in tables.metadata.tables.values() else at.table.name, at.name)
             for source, _, at in MOVING_TIMESTAMPS.values()}  # fmt: skip
    assert {
        ("memberships", "seen_at"),
        ("sessions", "last_seen"),
        ("recent_logins", "at"),
        ("users", "last_seen"),
    } <= timestamps


def run_sql(store: Store, sql: str) -> None:
    with store.database.engine.connect() as conn:
        assert conn.execute(text(sql.replace(":*", "\\:*"))).rowcount, sql


@pytest.mark.parametrize("name", TAMPERED)
@pytest.mark.proves("T-38")
def test_manipulation_by_sql_is_found_and_located(embedded: Store, name: str) -> None:
    sql, kind, texts = TAMPERED[name]
    assert find_differences(embedded) == []
    run_sql(embedded, sql)
    differences = find_differences(embedded)
    sentences = [sentence for found_kind, sentence in differences if found_kind == kind]
    assert sentences, differences
    assert all(any(text in sentence for sentence in sentences) for text in texts), differences


@pytest.mark.needs("postgres")
@pytest.mark.proves("T-38")
def test_manipulation_by_sql_is_found_on_postgresql(shared: Store) -> None:
    populate_store(shared)
    assert find_differences(shared) == []
    for name, (sql, kind, texts) in TAMPERED.items():
        with shared.database.engine.connect() as conn:
            conn.exec_driver_sql("BEGIN")
            assert conn.execute(text(sql.replace(":*", "\\:*"))).rowcount, name
            sentences = [difference.sentence for difference in compare_state(conn) if difference.kind == kind]
            conn.exec_driver_sql("ROLLBACK")
        assert all(any(text in sentence for sentence in sentences) for text in texts), (name, sentences)
    assert find_differences(shared) == []


@pytest.mark.proves("T-38")
def test_a_regular_change_does_not_hide_earlier_manipulation(embedded: Store) -> None:
    """A later change of the same row records what it wrote, not what was already there."""
    for sql in (
        TAMPERED["credential inserted"][0],
        TAMPERED["second factor removed"][0],
        TAMPERED["login linked"][0],
        TAMPERED["local membership"][0],
        "UPDATE users SET provider = 'idp' WHERE name = 'dora'",
        "INSERT INTO service_accounts (name, description, active, created, built_in)"
        f" VALUES ('ghost', '', false, {NOW}, false)",
    ):
        run_sql(embedded, sql)
    before = find_differences(embedded)
    assert len(before) == 6
    with embedded.write(OPERATOR) as tx:
        credentials.issue_credential(tx, "robot")
        passwords.set_password(tx, "boss", "another password, made up")
        linked_logins.link_login(tx, "boss", "idp", "s-2")
        membership.add_member(tx, "admins", Identity.user("dora"))
        profiles.update_user(tx, "dora", email="dora@example.org")
        accounts.set_service_account_active(tx, "ghost", True)
    assert find_differences(embedded) == before


@pytest.mark.proves("R98", "T-38")
def test_change_records_hold_no_secrets(embedded: Store) -> None:
    with embedded.read() as tx:
        records = repr(tx.conn.execute(tables.changes.select()).all())
        secrets = [
            *tx.conn.scalars(select(tables.passwords.c.hash)),
            *tx.conn.scalars(select(tables.credentials.c.hash)),
            *tx.conn.scalars(select(tables.activations.c.token_hash)),
            *tx.conn.scalars(select(tables.sessions.c.credential)),
        ]
    assert len(secrets) >= 6
    assert not [secret for secret in secrets if secret in records]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(min_value=0, max_value=2**32))
@pytest.mark.proves("T-38")
def test_regular_operations_are_not_tampering(template: Path, tmp_path_factory: Any, seed: int) -> None:
    folder = tmp_path_factory.mktemp("walk") / "data"
    shutil.copytree(template, folder)
    store = Store.open(make_settings(folder), store_rows.catalog())
    try:
        assert run_random_operations(store, random.Random(seed), 120) > 10
        assert find_differences(store) == []
    finally:
        store.close()
        shutil.rmtree(folder)


@pytest.mark.needs("postgres")
@pytest.mark.proves("T-38")
def test_regular_operations_are_not_tampering_on_postgresql(shared: Store) -> None:
    populate_store(shared)
    assert run_random_operations(shared, random.Random(7), 400) > 50
    assert find_differences(shared) == []
