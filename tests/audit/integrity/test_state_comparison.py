"""The store against its own history: what SQL put there behind our back is found and named (T-38)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import assignments, roles
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import users
from aizen_hub.audit.integrity.state_comparison import Difference, compare
from aizen_hub.audit.search import AuditFilter, newest
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.problems import Conflict, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.store import Store

OPERATOR = Actor(Identity.service_account("operator"), Road.OPERATOR)
ADA, BEN = Identity.user("ada"), Identity.user("ben")


def fill(store: Store) -> None:
    with store.write(OPERATOR) as tx:
        for name in ("ada", "ben"):
            users.create(tx, name, password="a password, long and made up")
        assignments.put(tx, "AIZEN_ADMIN", "system", ADA)
        projects.create(tx, "p1", owner=ADA)
        groups.create(tx, "team")
        groups.add_member(tx, "team", BEN)
        roles.create(tx, "scorer", permissions=["read:model"])
        assignments.put(tx, "scorer", "p1", Identity.group("team"))
        locks.lock(tx, LockTarget.IDENTITY, "user:ben", reason="away")


@pytest.fixture
def store(tmp_path: Path):
    store = Store.open(Settings(data_dir=tmp_path), load_catalog("aizen"))
    fill(store)
    yield store
    store.close()


def differences(store: Store) -> list[Difference]:
    with store.read() as tx:
        return compare(tx.conn)


def test_an_honest_store_is_what_its_history_says(store: Store) -> None:
    assert differences(store) == []
    with store.write(OPERATOR) as tx:
        locks.unlock(tx, LockTarget.IDENTITY, "user:ben")
        groups.remove_member(tx, "team", BEN)
        roles.alter(tx, "scorer", permissions=["read:model", "read:training"])
        assignments.revoke(tx, ["scorer"], "p1", Identity.group("team"))
        service_accounts.create(tx, "robot")
        groups.create(tx, "machines")
        groups.add_member(tx, "machines", Identity.service_account("robot"))
        groups.add_member(tx, "team", Identity.service_account("robot"))
        service_accounts.remove(tx, "robot")
        roles.remove(tx, "scorer")
        groups.remove(tx, "team")
        users.remove(tx, ["ben"])
    assert differences(store) == []


_INSERT = "INSERT INTO assignments (role, scope, identity, reason, granted_by, granted, creator, mapped, revision)"
_ADD = "INSERT INTO memberships (group_id, member)"


@pytest.mark.parametrize(
    ("sql", "what", "names"),
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
def test_what_no_change_explains_is_found_and_named(store: Store, sql: str, what: str, names: str) -> None:
    with sqlite3.connect(store.settings.data_dir / "aizen.sqlite") as db:
        assert db.execute(sql).rowcount
    db.close()
    found = differences(store)
    assert any(one.what == what and names in one.sentence for one in found), found


@pytest.mark.parametrize(
    "details",
    [{"names": [f"n{number}" for number in range(2_000)]}, {f"k{number}": "x" * 1_000 for number in range(200)}],
    ids=["many members", "many bytes"],
)
def test_a_row_that_is_cut_still_vouches_for_its_change(store: Store, details: dict[str, object]) -> None:
    with store.write(OPERATOR) as tx:
        tx.change("nothing", {"a": 1}, ["user:ada"])
        tx.audit("looked", details={"change": "not that", **details})
    assert differences(store) == []


@pytest.mark.proves("T-47")
def test_the_audit_of_a_deleted_project_stays(store: Store) -> None:
    """Its admin can neither drop its trail nor begin a second one under its name."""
    everything = AuditFilter(project="p1")
    with store.read() as tx:
        before = newest(tx.conn, everything)
    assert before
    with store.write(OPERATOR) as tx:
        projects.remove(tx, "p1")
    with pytest.raises(Conflict), store.write(OPERATOR) as tx:
        projects.create(tx, "p1", owner=BEN)
    with store.read() as tx:
        after = newest(tx.conn, everything)
    assert after[-len(before) :] == before
    assert "project.deleted" in {row["event"] for row in after[: -len(before)]}
    assert differences(store) == []


ACTS: tuple[Callable[..., object], ...] = (
    lambda tx, who: assignments.grant(tx, ["PROJECT_READER"], "p1", who),
    lambda tx, who: assignments.revoke(tx, ["PROJECT_READER"], "p1", who),
    lambda tx, who: groups.add_member(tx, "team", who),
    lambda tx, who: groups.remove_member(tx, "team", who),
    lambda tx, who: locks.lock(tx, LockTarget.IDENTITY, str(who), reason="test"),
    lambda tx, who: locks.unlock(tx, LockTarget.IDENTITY, str(who)),
    lambda tx, who: users.remove(tx, [who.name]),
)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(range(len(ACTS))), st.sampled_from([ADA, BEN])), max_size=12))
def test_any_sequence_of_changes_replays_to_the_store(tmp_path_factory, steps) -> None:
    store = Store.open(Settings(data_dir=tmp_path_factory.mktemp("replay")), load_catalog("aizen"))
    try:
        fill(store)
        for index, who in steps:
            try:
                with store.write(OPERATOR) as tx:
                    ACTS[index](tx, who)
            except Problem:
                continue
        assert differences(store) == []
    finally:
        store.close()
