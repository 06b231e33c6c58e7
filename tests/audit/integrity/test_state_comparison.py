"""The store against its recorded changes: rows that SQL changed are found and named (T-38)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.audit.integrity.state_comparison import StateDifference, compare_state
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.problems import Conflict, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store

OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)
ADA, BEN = Identity.user("ada"), Identity.user("ben")


def fill(store: Store) -> None:
    with store.write(OPERATOR) as tx:
        for name in ("ada", "ben"):
            registration.create_user(tx, name, password="a password, long and made up")
        assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", ADA)
        lifecycle.create_project(tx, "p1", owner=ADA)
        management.create_group(tx, "team")
        membership.add_member(tx, "team", BEN)
        custom_roles.create_role(tx, "scorer", permissions=["read:training"])
        assignments.unauthorized_write_assignment(tx, "scorer", "p1", Identity.group("team"))
        locks.lock_target(tx, LockTarget.IDENTITY, "user:ben", reason="away")


@pytest.fixture
def store(tmp_path: Path):
    store = Store.open(Settings(data_dir=tmp_path), load_catalog("aizen"))
    fill(store)
    yield store
    store.close()


def differences(store: Store) -> list[StateDifference]:
    with store.read() as tx:
        return compare_state(tx.conn)


def test_a_store_without_manipulation_equals_its_changes(store: Store) -> None:
    assert differences(store) == []
    with store.write(OPERATOR) as tx:
        locks.unlock_target(tx, LockTarget.IDENTITY, "user:ben", reason="over")
        membership.remove_member(tx, "team", BEN)
        custom_roles.update_role(tx, "scorer", permissions=["read:training", "read:prediction"])
        assignments.revoke_roles(tx, ["scorer"], "p1", Identity.group("team"))
        accounts.create_service_account(tx, "robot")
        management.create_group(tx, "machines")
        membership.add_member(tx, "machines", Identity.service_account("robot"))
        membership.add_member(tx, "team", Identity.service_account("robot"))
        accounts.delete_service_account(tx, "robot")
        custom_roles.delete_role(tx, "scorer")
        management.delete_group(tx, "team")
        registration.delete_users(tx, ["ben"])
    assert differences(store) == []


_INSERT = "INSERT INTO assignments (role, scope, identity, reason, granted_by, granted, creator, mapped, revision)"
_ADD = "INSERT INTO memberships (group_id, member)"


@pytest.mark.parametrize(
    ("sql", "kind", "text"),
    [
        (f"{_INSERT} VALUES ('AIZEN_ADMIN', 'system', 'user:ben', '', 'x', 1, 0, 0, 1)", "assignment", "user:ben"),
        ("DELETE FROM assignments WHERE role = 'AIZEN_ADMIN'", "assignment", "AIZEN_ADMIN"),
        ("UPDATE assignments SET ends = NULL, starts = 5 WHERE role = 'scorer'", "assignment", "scorer"),
        ("UPDATE assignments SET scope = 'system' WHERE role = 'PROJECT_ADMIN'", "assignment", "PROJECT_ADMIN"),
        (f"{_ADD} SELECT id, 'user:ada' FROM groups WHERE name = 'team'", "membership", "user:ada"),
        ("DELETE FROM memberships", "membership", "user:ben"),
        ("UPDATE roles SET permissions = '[\"*:*\"]'", "role", "scorer"),
        ("DELETE FROM locks", "lock", "user:ben"),
        ("DELETE FROM changes WHERE revision = (SELECT max(revision) FROM changes)", "change", "revision"),
        ("UPDATE changes SET payload = '[]' WHERE revision = (SELECT max(revision) FROM changes)", "change", "audited"),
        ("UPDATE revision SET value = value - 1", "change", "revision"),
    ],
)
@pytest.mark.proves("T-38")
def test_a_row_that_no_change_explains_is_found(store: Store, sql: str, kind: str, text: str) -> None:
    with sqlite3.connect(store.settings.data_dir / "aizen.sqlite") as db:
        assert db.execute(sql).rowcount
    db.close()
    found = differences(store)
    assert any(difference.kind == kind and text in difference.sentence for difference in found), found


@pytest.mark.parametrize(
    "details",
    [{"names": [f"n{number}" for number in range(2_000)]}, {f"k{number}": "x" * 1_000 for number in range(200)}],
    ids=["many members", "many bytes"],
)
def test_a_truncated_audit_record_still_holds_the_change_hash(store: Store, details: dict[str, object]) -> None:
    with store.write(OPERATOR) as tx:
        tx.record_change("nothing", {"a": 1}, ["user:ada"])
        tx.audit("looked", details={"change": "not that", **details})
    assert differences(store) == []


@pytest.mark.proves("T-47")
def test_the_audit_of_a_deleted_project_is_kept(store: Store) -> None:
    """Its admin can neither delete its audit nor create another project of the same name."""
    row_filter = AuditFilter(project="p1")
    with store.read() as tx:
        before = search_newest(tx.conn, row_filter)
    assert before
    with store.write(OPERATOR) as tx:
        lifecycle.delete_project(tx, "p1")
    with pytest.raises(Conflict), store.write(OPERATOR) as tx:
        lifecycle.create_project(tx, "p1", owner=BEN)
    with store.read() as tx:
        after = search_newest(tx.conn, row_filter)
    assert after[-len(before) :] == before
    assert "project.deleted" in {row["event"] for row in after[: -len(before)]}
    assert differences(store) == []


OPERATIONS: tuple[Callable[..., object], ...] = (
    lambda tx, identity: assignments.grant_roles(tx, ["PROJECT_READER"], "p1", identity),
    lambda tx, identity: assignments.revoke_roles(tx, ["PROJECT_READER"], "p1", identity),
    lambda tx, identity: membership.add_member(tx, "team", identity),
    lambda tx, identity: membership.remove_member(tx, "team", identity),
    lambda tx, identity: locks.lock_target(tx, LockTarget.IDENTITY, str(identity), reason="test"),
    lambda tx, identity: locks.unlock_target(tx, LockTarget.IDENTITY, str(identity), reason="over"),
    lambda tx, identity: registration.delete_users(tx, [identity.name]),
)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(range(len(OPERATIONS))), st.sampled_from([ADA, BEN])), max_size=12))
def test_any_sequence_of_changes_replays_to_the_store(tmp_path_factory, steps) -> None:
    store = Store.open(Settings(data_dir=tmp_path_factory.mktemp("replay")), load_catalog("aizen"))
    try:
        fill(store)
        for index, identity in steps:
            try:
                with store.write(OPERATOR) as tx:
                    OPERATIONS[index](tx, identity)
            except Problem:
                continue
        assert differences(store) == []
    finally:
        store.close()
