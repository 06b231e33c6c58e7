"""Compiled rights: what the rows say, remembered, and dropped by every change that concerns them."""

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

from aizen_hub.rbac.decision import Reason, Request
from aizen_hub.rbac.engine import decide, effective, effective_limits
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind
from aizen_hub.store import tables
from aizen_hub.store.raw_sql import fetch
from aizen_hub.store.rights import loader as rights_loader
from aizen_hub.store.rights import memberships as memberships_module
from aizen_hub.store.rights.cache import RightsCache, affected
from aizen_hub.store.rights.memberships import MAX_GROUPS, memberships
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import Read, Write
from tests.store import world
from tests.store.conftest import Opener
from tests.store.world import READ, TESTER, TRAIN, allowed

ALICE, BOB = Identity.user("alice"), Identity.user("bob")
OPS, ALL = Identity.group("ops"), Identity.group("all")


@pytest.fixture
def town(store: Store) -> Store:
    """A store with two people, two groups and two projects."""
    with store.write(TESTER) as tx:
        for one in (ALICE, BOB):
            world.user(tx, one.name)
        for group in (OPS, ALL):
            world.group(tx, group.name)
        for project in ("p1", "p2"):
            world.project(tx, project)
    return store


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    def noted(conn: Connection, text: str, values: Sequence[Any]) -> Any:
        seen.append(text)
        return fetch(conn, text, values)

    event.listen(store.database.engine, "before_cursor_execute", note)
    try:
        with patch.object(rights_loader, "fetch", noted), patch.object(memberships_module, "fetch", noted):
            yield seen
    finally:
        event.remove(store.database.engine, "before_cursor_execute", note)


def test_through_nested_groups(town: Store) -> None:
    with town.write(TESTER) as tx:
        world.join(tx, ALICE, OPS)
        world.join(tx, OPS, ALL)
        world.join(tx, ALL, OPS)  # a cycle
        world.grant(tx, "PROJECT_EXECUTOR", "p1", ALL)
    with town.read() as tx:
        rights = tx.rights(ALICE)
        decision = decide(rights, Request(TRAIN, "p1"), tx.now)
        assert (decision.allowed, decision.via) == (True, (OPS, ALL))
        assert rights.groups == {OPS, ALL}
        assert not allowed(tx, ALICE, scope="p2")
        assert not allowed(tx, BOB)


@pytest.mark.proves("R63")
def test_a_directory_membership_ends_by_itself(town: Store) -> None:
    age = timedelta(seconds=town.settings.group_max_age_seconds)
    with town.write(TESTER) as tx:
        seen = tx.now
        world.join(tx, ALICE, OPS, seen_at=seen)
        world.grant(tx, "PROJECT_EXECUTOR", "p1", OPS)
    with town.read() as tx:
        assert allowed(tx, ALICE)
        assert allowed(tx, ALICE, at=seen + age - timedelta(microseconds=1))
        assert not allowed(tx, ALICE, at=seen + age)
    with town.write(TESTER) as tx:
        world.join(tx, ALICE, OPS)  # locally as well: that one stays
    with town.read() as tx:
        assert allowed(tx, ALICE, at=seen + age)


def test_roles_made_here_and_limits(town: Store) -> None:
    with town.write(TESTER) as tx:
        world.role(tx, "TRAINER", ["execute:training"], jobs=3, memory=1e9)
        world.role(tx, "PROJECT_READER", ["*"])  # never instead of the built-in one
        world.grant(tx, "TRAINER", "p1", ALICE)
        world.grant(tx, "PROJECT_READER", "p1", BOB)
        tx.conn.execute(insert(tables.scope_limits).values(identity="user:alice", scope="p1", kind="jobs", value=2))
        tx.change("limit", {}, ["user:alice"])
    with town.read() as tx:
        limits = effective_limits(tx.rights(ALICE), "p1", tx.now)
        assert {kind: one.value for kind, one in limits.items()} == {LimitKind.JOBS: 2, LimitKind.MEMORY: 1e9}
        assert allowed(tx, ALICE)
        assert not allowed(tx, BOB)
        assert tx.roles["PROJECT_READER"].built_in


def test_somebody_unknown_and_somebody_not_active(town: Store) -> None:
    with town.write(TESTER) as tx:
        world.user(tx, "carl", active=False)
        world.grant(tx, "PROJECT_EXECUTOR", "p1", Identity.user("carl"))
    with town.read() as tx:
        for name in ("carl", "nobody"):
            assert decide(tx.rights(Identity.user(name)), Request(TRAIN, "p1"), tx.now).reason is Reason.NOT_ACTIVE
        assert not tx.rights(Identity.service_account("alice")).active
        assert not tx.rights(Identity.group("alice")).active


@pytest.mark.proves("R78")
@pytest.mark.parametrize(
    ("target", "name"),
    [("identity", "user:alice"), ("project", "p1"), ("session", "s" * 32), ("identity", "group:ops")],
)
def test_a_lock_concerns_those_that_were_compiled_before(opened: Opener, town: Store, target: str, name: str) -> None:
    other = opened()
    with town.write(TESTER) as tx:
        session = {"user": "alice", "server": "", "credential": "", "started": tx.now, "heard": tx.now}
        tx.conn.execute(insert(tables.sessions).values(id="s" * 32, **session))
        world.join(tx, ALICE, OPS)
        world.grant(tx, "PROJECT_EXECUTOR", "p1", OPS)
        world.grant(tx, "AIZEN_ADMIN", SYSTEM, BOB)

    def ask(store: Store) -> bool:
        with store.read() as tx:
            return decide(tx.rights(ALICE), Request(TRAIN, "p1", "s" * 32), tx.now).allowed

    assert ask(town)
    assert ask(other)
    with town.write(TESTER) as tx:
        world.lock(tx, target, name)
    assert not ask(town)
    assert not ask(other)
    with town.write(TESTER) as tx:
        world.unlock(tx, target, name)
    assert ask(town)
    assert ask(other)


@pytest.mark.proves("R78")
def test_who_holds_something_at_the_system_knows_every_projects_locks(town: Store) -> None:
    with town.write(TESTER) as tx:
        world.grant(tx, "AIZEN_ADMIN", SYSTEM, BOB)
    with town.read() as tx:
        assert decide(tx.rights(BOB), Request(None, "p2"), tx.now).allowed
    with town.write(TESTER) as tx:
        world.lock(tx, "project", "p2")
    with town.read() as tx:
        assert decide(tx.rights(BOB), Request(None, "p2"), tx.now).reason is Reason.LOCKED


@pytest.mark.proves("R48", "R109", "T-54")
def test_a_revocation_is_seen_by_every_store_at_once(opened: Opener, town: Store) -> None:
    others = [opened() for _ in range(2)]
    for number in range(30):
        with town.write(TESTER) as tx:
            world.grant(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        for store in (*others, town):
            with store.read() as tx:
                assert allowed(tx, ALICE), number
        with others[number % 2].write(TESTER) as tx:
            world.revoke(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        for store in (*others, town):
            with store.read() as tx:
                assert not allowed(tx, ALICE), number


def test_a_view_is_answered_from_its_own_revision(opened: Opener, town: Store) -> None:
    other = opened()
    with town.write(TESTER) as tx:
        world.grant(tx, "PROJECT_EXECUTOR", "p1", ALICE)
    with town.read() as before:
        with other.write(TESTER) as tx:
            world.revoke(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        with town.read() as after:
            assert not allowed(after, ALICE)
        assert allowed(before, ALICE)
        with town.read() as after:
            assert not allowed(after, ALICE)


def test_a_transaction_sees_what_it_did_and_nobody_else_does(town: Store) -> None:
    with pytest.raises(ZeroDivisionError), town.write(TESTER) as tx:  # noqa: PT012
        assert not allowed(tx, ALICE)
        tx.conn.execute(
            insert(tables.assignments).values(
                role="PROJECT_EXECUTOR", scope="p1", identity="user:alice", granted_by="user:x", granted=tx.now,
                revision=1, reason="", creator=False,
            )
        )  # fmt: skip
        assert allowed(tx, ALICE), "changed, not yet announced"
        tx.change("grant", {}, ["user:alice"])
        assert allowed(tx, ALICE), "announced"
        world.role(tx, "TRAINER", ["execute:training"])
        assert "TRAINER" in tx.roles
        raise ZeroDivisionError
    with town.read() as tx:
        assert not allowed(tx, ALICE)
        assert "TRAINER" not in tx.roles


def test_what_does_not_concern_rights_does_not_compile_them_anew(town: Store) -> None:
    with town.write(TESTER) as tx:
        allowed(tx, ALICE)
        with statements(town) as seen:
            tx.conn.execute(insert(tables.throttles).values(subject="x", failures=1, until=tx.now))
            allowed(tx, ALICE)
    assert len(seen) == 1


def test_others_stay_remembered(town: Store) -> None:
    with town.read() as tx:
        allowed(tx, ALICE), allowed(tx, BOB)
    with town.write(TESTER) as tx:
        world.grant(tx, "PROJECT_READER", "p1", ALICE)
    with town.read() as tx, statements(town) as seen:
        allowed(tx, BOB)
        assert len(seen) == 1, "the change records"
        allowed(tx, BOB)
        assert len(seen) == 1
        allowed(tx, ALICE)
        assert len(seen) > 1


def test_the_cache_is_bounded(town: Store) -> None:
    town.cache = RightsCache(town.cache.loader, max_entries=10)
    with town.read() as tx:
        for number in range(30):
            tx.rights(Identity.user(f"nobody{number}"))
    assert len(town.cache) == 10


@pytest.mark.parametrize(
    ("touch", "names"),
    [
        ("user:alice", {"user:alice"}),
        ("service-account:bot", {"service-account:bot"}),
        ("role:R", {"role:R"}),
        ("session:1", set()),
        ("key:k", set()),
        ("lock:identity:user:alice", {"user:alice"}),
        ("lock:identity:group:g:h", {"group:g:h"}),
        ("lock:project:p", {"project:p", "project:*"}),
        *[
            (touch, None)
            for touch in ("*", "", "user", "user:", "lock:", "lock:identity", "lock:identity:", "lock:identity:x:y",
                          "lock:session:1", "lock:x:y", "planet:mars")
        ],
    ],
)  # fmt: skip
def test_what_a_touch_concerns(touch: str, names: set[str] | None) -> None:
    assert affected(touch) == names


@pytest.mark.parametrize("touches", [["planet:mars"], ["*"], "nonsense", {"a": 1}, [1]])
def test_what_is_not_understood_drops_everything(opened: Opener, town: Store, touches: object) -> None:
    other = opened()
    with other.read() as tx:
        assert not allowed(tx, ALICE)
    with town.write(TESTER) as tx:
        world.grant(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        tx.conn.execute(tables.changes.insert().values(
            revision=tx.revision + 1, kind="future", touches=touches, payload=[], at=tx.now, audit_id="x"))  # fmt: skip
        tx._changes.clear()  # the record of a newer version stands in its place
        tx.conn.execute(tables.revision.update().values(value=tx.revision + 1))
    with other.read() as tx:
        assert allowed(tx, ALICE)


def test_a_missing_change_record_drops_everything(opened: Opener, town: Store) -> None:
    other = opened()
    with other.read() as tx:
        assert not allowed(tx, ALICE)
    with town.write(TESTER) as tx:
        world.grant(tx, "PROJECT_EXECUTOR", "p1", ALICE)
    with town.write(TESTER) as tx:
        world.project(tx, "p9")
        tx.conn.execute(tables.changes.delete())
    with other.read() as tx:
        assert allowed(tx, ALICE)


@pytest.mark.proves("R20")
def test_deep_and_wide_nesting_ends(town: Store) -> None:
    with town.write(TESTER) as tx:
        above = ALICE
        for number in range(40):
            group = world.group(tx, f"deep{number}")
            world.join(tx, above, group)
            above = group
        world.grant(tx, "PROJECT_EXECUTOR", "p1", Identity.group("deep15"))
        world.grant(tx, "PROJECT_EXECUTOR", "p2", Identity.group("deep16"))
    with town.read() as tx:
        assert allowed(tx, ALICE, scope="p1")
        assert not allowed(tx, ALICE, scope="p2")


@pytest.mark.proves("R20")
def test_very_many_groups_are_cut_off(town: Store) -> None:
    with town.write(TESTER) as tx:
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
        tx.change("many", {}, ["*"])
    with town.read() as tx:
        found = memberships(tx.conn, ALICE, timedelta(hours=1))
    assert all(one.member == ALICE for one in found), "the second level was not looked at"


def test_the_cost_does_not_grow_with_others(opened: Opener, town: Store) -> None:
    with town.write(TESTER) as tx:
        world.join(tx, ALICE, OPS)
        world.grant(tx, "PROJECT_EXECUTOR", "p1", OPS)

    def cost() -> tuple[int, int]:
        store = opened()
        with store.read() as tx, statements(store) as seen:
            rights = tx.rights(ALICE)
            return len(seen), len(rights.held)

    before = cost()
    with town.write(TESTER) as tx:
        rows = {"provider": "local", "display_name": "", "alerts": {}, "active": True, "created": tx.now}
        tx.conn.execute(
            insert(tables.users), [{"name": f"n{number}", "subject": f"n{number}", **rows} for number in range(2000)]
        )
        given = {
            "scope": "p1",
            "granted_by": "user:x",
            "granted": tx.now,
            "revision": 1,
            "reason": "",
            "creator": False,
        }
        tx.conn.execute(
            insert(tables.assignments),
            [{"role": "PROJECT_READER", "identity": f"user:n{number}", **given} for number in range(2000)],
        )
        tx.change("many", {}, ["*"])
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
def test_remembered_rights_equal_those_compiled_anew(
    opened: Opener, town: Store, steps: list[list[tuple[tuple[object, ...], bool]]]
) -> None:
    replica = opened()
    with town.write(TESTER) as tx:
        for name in ("assignments", "memberships", "locks", "roles"):
            tx.conn.execute(tables.metadata.tables[name].delete())
        tx.change("emptied", {}, ["*"])
        world.role(tx, "TRAINER", ["execute:training"])
        world.role(tx, "LOOKER", ["read:training"])
    for batch in steps:
        with town.write(TESTER) as tx:
            for step, look in batch:
                take(tx, step)
                if look:
                    compare(tx, town)
        for store in (town, replica):
            with store.read() as view:
                compare(view, store)


def take(tx: Write, step: tuple[object, ...]) -> None:
    match step:
        case ("grant", Identity() as to, str(scope), str(role)):
            world.revoke(tx, role, scope, to)
            world.grant(tx, role, scope, to)
        case ("revoke", Identity() as to, str(scope), str(role)):
            world.revoke(tx, role, scope, to)
        case ("join", Identity() as member, Identity() as into):
            world.leave(tx, member, into)
            world.join(tx, member, into)
        case ("leave", Identity() as member, Identity() as out_of):
            world.leave(tx, member, out_of)
        case ("lock" | "unlock" as what, str(name)):
            target = "identity" if ":" in name else "project"
            world.unlock(tx, target, name)
            if what == "lock":
                world.lock(tx, target, name)
        case ("role", str(name), str(permission)):
            world.set_role(tx, name, [permission])
        case ("active", str(name), bool(active)):
            tx.conn.execute(tables.users.update().where(tables.users.c.name == name).values(active=active))
            tx.change("user", {"user": name}, [f"user:{name}"])
        case _:
            raise AssertionError(step)


def compare(tx: Read, store: Store) -> None:
    roles = store.cache.loader.roles(tx.conn)
    assert dict(tx.roles) == dict(roles)
    for who in MEMBERS:
        anew = store.cache.loader.compile(tx.conn, who, roles, tx.revision).rights
        remembered = tx.rights(who)
        assert (remembered.active, remembered.held, remembered.groups) == (anew.active, anew.held, anew.groups)
        for scope in SCOPES:
            assert effective(remembered, scope, tx.now) == effective(anew, scope, tx.now)
            for permission in (TRAIN, READ):
                request = Request(permission, scope)
                assert decide(remembered, request, tx.now) == decide(anew, request, tx.now)
