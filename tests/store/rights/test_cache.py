"""Compiled rights: equal to the rows, cached, and invalidated by every change that affects them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sqlalchemy import Connection, event, insert

from aizen_hub.rbac.decision import AuthorizationRequest, Reason
from aizen_hub.rbac.engine import decide, effective_limits, effective_permissions
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind
from aizen_hub.store import tables
from aizen_hub.store.raw_sql import fetch_raw
from aizen_hub.store.rights import loader, memberships
from aizen_hub.store.rights.cache import RightsCache
from aizen_hub.store.rights.memberships import MAX_GROUPS, load_memberships
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction
from tests.store import store_rows
from tests.store.conftest import Opener
from tests.store.store_rows import READ, TESTER, TRAIN, is_allowed

ALICE, BOB = Identity.user("alice"), Identity.user("bob")
OPS, ALL = Identity.group("ops"), Identity.group("all")


@pytest.fixture
def populated_store(store: Store) -> Store:
    """A store with two users, two groups and two projects."""
    with store.write(TESTER) as tx:
        for user in (ALICE, BOB):
            store_rows.insert_user(tx, user.name)
        for group in (OPS, ALL):
            store_rows.insert_group(tx, group.name)
        for project in ("p1", "p2"):
            store_rows.insert_project(tx, project)
    return store


@contextmanager
def count_statements(store: Store) -> Iterator[list[str]]:
    executed: list[str] = []

    def collect(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        executed.append(statement)

    def collect_raw(conn: Connection, text: str, values: Sequence[Any]) -> Any:
        executed.append(text)
        return fetch_raw(conn, text, values)

    event.listen(store.database.engine, "before_cursor_execute", collect)
    try:
        with patch.object(loader, "fetch_raw", collect_raw), patch.object(memberships, "fetch_raw", collect_raw):
            yield executed
    finally:
        event.remove(store.database.engine, "before_cursor_execute", collect)


def test_through_nested_groups(populated_store: Store) -> None:
    with populated_store.write(TESTER) as tx:
        store_rows.insert_membership(tx, ALICE, OPS)
        store_rows.insert_membership(tx, OPS, ALL)
        store_rows.insert_membership(tx, ALL, OPS)  # a cycle
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", ALL)
    with populated_store.read() as tx:
        rights = tx.rights(ALICE)
        decision = decide(rights, AuthorizationRequest(TRAIN, "p1"), tx.now)
        assert (decision.allowed, decision.via) == (True, (OPS, ALL))
        assert rights.groups == {OPS, ALL}
        assert not is_allowed(tx, ALICE, scope="p2")
        assert not is_allowed(tx, BOB)


@pytest.mark.proves("R63")
def test_a_directory_membership_ends_by_itself(populated_store: Store) -> None:
    age = timedelta(seconds=populated_store.settings.group_max_age_seconds)
    with populated_store.write(TESTER) as tx:
        seen_at = tx.now
        store_rows.insert_membership(tx, ALICE, OPS, seen_at=seen_at)
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", OPS)
    with populated_store.read() as tx:
        assert is_allowed(tx, ALICE)
        assert is_allowed(tx, ALICE, at=seen_at + age - timedelta(microseconds=1))
        assert not is_allowed(tx, ALICE, at=seen_at + age)
    with populated_store.write(TESTER) as tx:
        store_rows.insert_membership(tx, ALICE, OPS)  # a local membership does not expire
    with populated_store.read() as tx:
        assert is_allowed(tx, ALICE, at=seen_at + age)


def test_custom_roles_and_limits(populated_store: Store) -> None:
    with populated_store.write(TESTER) as tx:
        store_rows.insert_role(tx, "TRAINER", ["execute:training"], jobs=3, memory=1e9)
        store_rows.insert_role(tx, "PROJECT_READER", ["*"])  # never replaces the built-in one
        store_rows.insert_assignment(tx, "TRAINER", "p1", ALICE)
        store_rows.insert_assignment(tx, "PROJECT_READER", "p1", BOB)
        tx.conn.execute(insert(tables.scope_limits).values(identity="user:alice", scope="p1", kind="jobs", value=2))
        tx.record_change("limit", {}, ["user:alice"])
    with populated_store.read() as tx:
        limits = effective_limits(tx.rights(ALICE), "p1", tx.now)
        assert {kind: limit.value for kind, limit in limits.items()} == {LimitKind.JOBS: 2, LimitKind.MEMORY: 1e9}
        assert is_allowed(tx, ALICE)
        assert not is_allowed(tx, BOB)
        assert tx.roles["PROJECT_READER"].built_in


def test_unknown_and_inactive_identities_have_no_rights(populated_store: Store) -> None:
    with populated_store.write(TESTER) as tx:
        store_rows.insert_user(tx, "carl", active=False)
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", Identity.user("carl"))
    with populated_store.read() as tx:
        for name in ("carl", "unknown"):
            assert (
                decide(tx.rights(Identity.user(name)), AuthorizationRequest(TRAIN, "p1"), tx.now).reason
                is Reason.NOT_ACTIVE
            )
        assert not tx.rights(Identity.service_account("alice")).active
        assert not tx.rights(Identity.group("alice")).active


@pytest.mark.proves("R78")
@pytest.mark.parametrize(
    ("target", "name"),
    [("identity", "user:alice"), ("project", "p1"), ("session", "s" * 32), ("identity", "group:ops")],
)
def test_a_lock_invalidates_rights_compiled_before(
    opened: Opener, populated_store: Store, target: str, name: str
) -> None:
    other = opened()
    with populated_store.write(TESTER) as tx:
        session = {
            "user": "alice",
            "hub": "main",
            "server": "",
            "credential": "",
            "started": tx.now,
            "last_seen": tx.now,
        }
        tx.conn.execute(insert(tables.sessions).values(id="s" * 32, **session))
        store_rows.insert_membership(tx, ALICE, OPS)
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", OPS)
        store_rows.insert_assignment(tx, "AIZEN_ADMIN", SYSTEM, BOB)

    def is_alice_allowed(store: Store) -> bool:
        with store.read() as tx:
            return decide(tx.rights(ALICE), AuthorizationRequest(TRAIN, "p1", "s" * 32), tx.now).allowed

    assert is_alice_allowed(populated_store)
    assert is_alice_allowed(other)
    with populated_store.write(TESTER) as tx:
        store_rows.insert_lock(tx, target, name)
    assert not is_alice_allowed(populated_store)
    assert not is_alice_allowed(other)
    with populated_store.write(TESTER) as tx:
        store_rows.delete_lock(tx, target, name)
    assert is_alice_allowed(populated_store)
    assert is_alice_allowed(other)


@pytest.mark.proves("R78")
def test_a_system_wide_role_is_subject_to_every_projects_locks(populated_store: Store) -> None:
    with populated_store.write(TESTER) as tx:
        store_rows.insert_assignment(tx, "AIZEN_ADMIN", SYSTEM, BOB)
    with populated_store.read() as tx:
        assert decide(tx.rights(BOB), AuthorizationRequest(None, "p2"), tx.now).allowed
    with populated_store.write(TESTER) as tx:
        store_rows.insert_lock(tx, "project", "p2")
    with populated_store.read() as tx:
        assert decide(tx.rights(BOB), AuthorizationRequest(None, "p2"), tx.now).reason is Reason.LOCKED


@pytest.mark.proves("R48", "R109", "T-54")
def test_a_revocation_is_seen_by_every_store_at_once(opened: Opener, populated_store: Store) -> None:
    others = [opened() for _ in range(2)]
    for number in range(30):
        with populated_store.write(TESTER) as tx:
            store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        for store in (*others, populated_store):
            with store.read() as tx:
                assert is_allowed(tx, ALICE), number
        with others[number % 2].write(TESTER) as tx:
            store_rows.delete_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        for store in (*others, populated_store):
            with store.read() as tx:
                assert not is_allowed(tx, ALICE), number


def test_a_transaction_uses_rights_of_its_own_revision(opened: Opener, populated_store: Store) -> None:
    other = opened()
    with populated_store.write(TESTER) as tx:
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
    with populated_store.read() as before:
        with other.write(TESTER) as tx:
            store_rows.delete_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        with populated_store.read() as after:
            assert not is_allowed(after, ALICE)
        assert is_allowed(before, ALICE)
        with populated_store.read() as after:
            assert not is_allowed(after, ALICE)


def test_only_the_transaction_itself_sees_its_uncommitted_changes(populated_store: Store) -> None:
    with pytest.raises(ZeroDivisionError), populated_store.write(TESTER) as tx:  # noqa: PT012
        assert not is_allowed(tx, ALICE)
        tx.conn.execute(
            insert(tables.assignment_rows).values(
                role="PROJECT_EXECUTOR", scope="p1", identity="user:alice", granted_by="user:x", granted=tx.now,
                revision=1, reason="", creator=False,
            )
        )  # fmt: skip
        assert is_allowed(tx, ALICE), "changed, not yet recorded"
        tx.record_change("grant", {}, ["user:alice"])
        assert is_allowed(tx, ALICE), "recorded"
        store_rows.insert_role(tx, "TRAINER", ["execute:training"])
        assert "TRAINER" in tx.roles
        raise ZeroDivisionError
    with populated_store.read() as tx:
        assert not is_allowed(tx, ALICE)
        assert "TRAINER" not in tx.roles


def test_a_write_transaction_uses_the_cache_until_its_first_change(populated_store: Store) -> None:
    with populated_store.write(TESTER) as tx:
        assert not is_allowed(tx, ALICE)
    with populated_store.read() as after, count_statements(populated_store) as executed:
        assert not is_allowed(after, ALICE)
    assert executed == [], "a renewal compiles rights for the decisions after it"
    with pytest.raises(ZeroDivisionError), populated_store.write(TESTER) as tx:  # noqa: PT012
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", BOB)
        assert is_allowed(tx, BOB)
        raise ZeroDivisionError
    assert not populated_store.cache.has_entry(BOB)


def test_tables_without_rights_cause_no_recompilation(populated_store: Store) -> None:
    with populated_store.write(TESTER) as tx:
        is_allowed(tx, ALICE)
        with count_statements(populated_store) as executed:
            tx.conn.execute(insert(tables.attempt_counters).values(subject="x", failures=1, until=tx.now))
            is_allowed(tx, ALICE)
    assert len(executed) == 1


def test_unaffected_entries_stay_cached(populated_store: Store) -> None:
    with populated_store.read() as tx:
        is_allowed(tx, ALICE), is_allowed(tx, BOB)
    with populated_store.write(TESTER) as tx:
        store_rows.insert_assignment(tx, "PROJECT_READER", "p1", ALICE)
    with populated_store.read() as tx, count_statements(populated_store) as executed:
        is_allowed(tx, BOB)
        assert len(executed) == 1, "the change records"
        is_allowed(tx, BOB)
        assert len(executed) == 1
        is_allowed(tx, ALICE)
        assert len(executed) > 1


def test_the_cache_is_bounded(populated_store: Store) -> None:
    populated_store.cache = RightsCache(populated_store.cache.loader, max_entries=10)
    with populated_store.read() as tx:
        for number in range(30):
            tx.rights(Identity.user(f"unknown{number}"))
    assert len(populated_store.cache) == 10


@pytest.mark.parametrize("invalidates", [["planet:mars"], ["*"], "nonsense", {"a": 1}, [1]])
def test_an_unknown_name_invalidates_everything(opened: Opener, populated_store: Store, invalidates: object) -> None:
    other = opened()
    with other.read() as tx:
        assert not is_allowed(tx, ALICE)
    with populated_store.write(TESTER) as tx:
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        tx.conn.execute(tables.changes.insert().values(
            revision=tx.revision + 1, kind="future", invalidates=invalidates, payload=[], at=tx.now, audit_id="x",
        ))  # fmt: skip
        tx._changes.clear()  # replaced by the record of a newer version
        tx.conn.execute(tables.revision.update().values(value=tx.revision + 1))
    with other.read() as tx:
        assert is_allowed(tx, ALICE)


def test_a_missing_change_record_invalidates_everything(opened: Opener, populated_store: Store) -> None:
    other = opened()
    with other.read() as tx:
        assert not is_allowed(tx, ALICE)
    with populated_store.write(TESTER) as tx:
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
    with populated_store.write(TESTER) as tx:
        store_rows.insert_project(tx, "p9")
        tx.conn.execute(tables.changes.delete())
    with other.read() as tx:
        assert is_allowed(tx, ALICE)


@pytest.mark.proves("R20")
def test_deep_and_wide_nesting_ends(populated_store: Store) -> None:
    with populated_store.write(TESTER) as tx:
        above = ALICE
        for number in range(40):
            group = store_rows.insert_group(tx, f"deep{number}")
            store_rows.insert_membership(tx, above, group)
            above = group
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", Identity.group("deep15"))
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p2", Identity.group("deep16"))
    with populated_store.read() as tx:
        assert is_allowed(tx, ALICE, scope="p1")
        assert not is_allowed(tx, ALICE, scope="p2")


@pytest.mark.proves("R20")
def test_the_number_of_groups_is_limited(populated_store: Store) -> None:
    with populated_store.write(TESTER) as tx:
        first = tx.conn.execute(
            insert(tables.groups).values(name="w", description="").returning(tables.groups.c.id)
        ).scalar_one()
        tx.conn.execute(
            insert(tables.groups),
            [{"id": first + n, "name": f"w{n}", "description": ""} for n in range(1, MAX_GROUPS + 50)],
        )
        tx.conn.execute(
            insert(tables.memberships),
            [
                {"group_id": first + n, "member": "user:alice", "provider": None, "seen_at": None}
                for n in range(1, MAX_GROUPS + 50)
            ]
            + [{"group_id": first, "member": f"group:w{n}", "provider": None, "seen_at": None} for n in range(1, 50)],
        )
        tx.record_change("many", {}, ["*"])
    with populated_store.read() as tx:
        loaded = load_memberships(tx.conn, ALICE, timedelta(hours=1))
    assert all(membership.member == ALICE for membership in loaded), "the second level was not read"


def test_the_cost_does_not_depend_on_other_users(opened: Opener, populated_store: Store) -> None:
    with populated_store.write(TESTER) as tx:
        store_rows.insert_membership(tx, ALICE, OPS)
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", OPS)

    def cost() -> tuple[int, int]:
        store = opened()
        with store.read() as tx, count_statements(store) as executed:
            rights = tx.rights(ALICE)
            return len(executed), len(rights.held_roles)

    before = cost()
    with populated_store.write(TESTER) as tx:
        rows = {"provider": "local", "display_name": "", "alerts": {}, "active": True, "created": tx.now}
        tx.conn.execute(
            insert(tables.users), [{"name": f"n{number}", "subject": f"n{number}", **rows} for number in range(2000)]
        )
        common = {
            "scope": "p1",
            "granted_by": "user:x",
            "granted": tx.now,
            "revision": 1,
            "reason": "",
            "creator": False,
        }
        tx.conn.execute(
            insert(tables.assignment_rows),
            [{"role": "PROJECT_READER", "identity": f"user:n{number}", **common} for number in range(2000)],
        )
        tx.record_change("many", {}, ["*"])
    assert cost() == before


SCOPES = ("p1", "p2", SYSTEM)
MEMBERS = (ALICE, BOB, OPS, ALL)
STEP = st.one_of(
    st.tuples(
        st.just("grant"), st.sampled_from(MEMBERS), st.sampled_from(SCOPES), st.sampled_from(["TRAINER", "LOOKER"])
    ),
    st.tuples(
        st.just("revoke"), st.sampled_from(MEMBERS), st.sampled_from(SCOPES), st.sampled_from(["TRAINER", "LOOKER"])
    ),
    st.tuples(st.just("join"), st.sampled_from(MEMBERS), st.sampled_from([OPS, ALL])),
    st.tuples(st.just("leave"), st.sampled_from(MEMBERS), st.sampled_from([OPS, ALL])),
    st.tuples(st.just("lock"), st.sampled_from([*map(str, MEMBERS), "p1", "p2"])),
    st.tuples(st.just("unlock"), st.sampled_from([*map(str, MEMBERS), "p1", "p2"])),
    st.tuples(
        st.just("role"),
        st.sampled_from(["TRAINER", "LOOKER"]),
        st.sampled_from(["execute", "read", "execute:training"]),
    ),
    st.tuples(st.just("active"), st.sampled_from(["alice", "bob"]), st.booleans()),
)


@pytest.mark.proves("R109", "I6")
@hypothesis(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.lists(st.tuples(STEP, st.booleans()), min_size=1, max_size=3), min_size=3, max_size=12))
def test_cached_rights_equal_recompiled_rights(
    opened: Opener, populated_store: Store, steps: list[list[tuple[tuple[object, ...], bool]]]
) -> None:
    replica = opened()
    with populated_store.write(TESTER) as tx:
        for name in ("assignments", "memberships", "locks", "roles"):
            tx.conn.execute(tables.metadata.tables[name].delete())
        tx.record_change("emptied", {}, ["*"])
        store_rows.insert_role(tx, "TRAINER", ["execute:training"])
        store_rows.insert_role(tx, "LOOKER", ["read:training"])
    for batch in steps:
        with populated_store.write(TESTER) as tx:
            for step, check in batch:
                apply_step(tx, step)
                if check:
                    assert_same_rights(tx, populated_store)
        for store in (populated_store, replica):
            with store.read() as view:
                assert_same_rights(view, store)


def apply_step(tx: WriteTransaction, step: tuple[object, ...]) -> None:
    match step:
        case ("grant", Identity() as to, str(scope), str(role)):
            store_rows.delete_assignment(tx, role, scope, to)
            store_rows.insert_assignment(tx, role, scope, to)
        case ("revoke", Identity() as to, str(scope), str(role)):
            store_rows.delete_assignment(tx, role, scope, to)
        case ("join", Identity() as member, Identity() as into):
            store_rows.delete_membership(tx, member, into)
            store_rows.insert_membership(tx, member, into)
        case ("leave", Identity() as member, Identity() as out_of):
            store_rows.delete_membership(tx, member, out_of)
        case ("lock" | "unlock" as action, str(name)):
            target = "identity" if ":" in name else "project"
            store_rows.delete_lock(tx, target, name)
            if action == "lock":
                store_rows.insert_lock(tx, target, name)
        case ("role", str(name), str(permission)):
            store_rows.update_role(tx, name, [permission])
        case ("active", str(name), bool(active)):
            tx.conn.execute(tables.users.update().where(tables.users.c.name == name).values(active=active))
            tx.record_change("user", {"user": name}, [f"user:{name}"])
        case _:
            raise AssertionError(step)


def assert_same_rights(tx: ReadTransaction, store: Store) -> None:
    roles = store.cache.loader.roles(tx.conn)
    assert dict(tx.roles) == dict(roles)
    for identity in MEMBERS:
        compiled = store.cache.loader.compile(tx.conn, identity, roles, tx.revision).rights
        cached = tx.rights(identity)
        assert (cached.active, cached.held_roles, cached.groups) == (
            compiled.active,
            compiled.held_roles,
            compiled.groups,
        )
        for scope in SCOPES:
            assert effective_permissions(cached, scope, tx.now) == effective_permissions(compiled, scope, tx.now)
            for permission in (TRAIN, READ):
                request = AuthorizationRequest(permission, scope)
                assert decide(cached, request, tx.now) == decide(compiled, request, tx.now)
