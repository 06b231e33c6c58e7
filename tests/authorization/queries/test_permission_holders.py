"""Holders of a permission: exactly those that the engine allows, found without compiling all rights."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from aizen_hub.authorization.queries import permission_holders as module
from aizen_hub.authorization.queries.access_queries import who_can
from aizen_hub.authorization.queries.permission_holders import holders_of
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction
from tests.accounts.harness import OPERATOR, AccountsHarness

USERS = [Identity.user(name) for name in ("admin", "carl", "paul", "emma", "rita", "zoe", "tim", "olga")]
ACCOUNTS = [Identity.service_account(name) for name in ("bot", "ci")]
GROUPS = [Identity.group(f"g{number}") for number in range(5)]
ALL = [*USERS, *ACCOUNTS, *GROUPS]
ROLES = ("PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN")
DAY = timedelta(days=1)
WHEN = {"always": (None, None), "over": (None, -DAY), "later": (DAY, None), "now": (-DAY, DAY)}


def build(tx: WriteTransaction, state: dict[str, Any]) -> None:
    """Insert the rows of a state directly, so that invalid combinations occur too."""
    conn, now = tx.conn, tx.now
    for account in ACCOUNTS:
        row = {
            "name": account.name,
            "controller": "user:admin",
            "active": account.name != state["inactive"],
            "created": now,
        }
        columns = tables.service_accounts.c.keys()
        conn.execute(insert(tables.service_accounts).values({k: v for k, v in row.items() if k in columns}))
    for group in GROUPS:
        conn.execute(insert(tables.groups).values(name=group.name, description=""))
    group_ids = {row.name: row.id for row in conn.execute(select(tables.groups))}
    for member, group, kind in state["members"]:
        age = {"local": None, "fresh": timedelta(), "old": timedelta(days=400)}[kind]
        source = {"provider": None, "seen_at": None} if age is None else {"provider": "ldap", "seen_at": now - age}
        conn.execute(insert(tables.memberships).values(group_id=group_ids[group.name], member=str(member), **source))
    for role, scope, identity, when in state["assignments"]:
        starts, ends = (None if offset is None else now + offset for offset in WHEN[when])
        tx.record_change("assignment", {}, ["*"])
        table = tables.assignment_rows
        key = (table.c.role == role, table.c.scope == scope, table.c.identity == str(identity))
        if conn.execute(select(table.c.id).where(*key)).first() is None:
            common = {"granted_by": "user:x", "granted": now, "revision": 1, "reason": ""}
            conn.execute(
                insert(table).values(role=role, scope=scope, identity=str(identity), starts=starts, ends=ends, **common)
            )
    for target, name, expired in state["locks"]:
        ends = now - DAY if expired else None
        values = {"reason": "x", "locked_by": "user:x", "locked": now, "ends": ends}
        conn.execute(insert(tables.locks).values(target=target, name=name, **values))
    conn.execute(update(tables.users).where(tables.users.c.name == state["inactive"]).values(active=False))
    tx.record_change("state", {}, ["*"])


def all_holders(tx: ReadTransaction, required: Permission, scope: str, kind: IdentityKind) -> list[str]:
    names: list[str] = []
    after: str | None = ""
    for _ in range(50):
        page = holders_of(tx, required, scope, kind, after=after or "", limit=3)
        page_names = [holder.identity.name for holder in page.holders]
        assert page_names == sorted(page_names)
        names += page_names
        after = page.after
        if after is None:
            return names
    raise AssertionError("the pages do not end")


_KIND = st.sampled_from(("local", "local", "fresh", "old"))
# Few identities in one project, so that paths, locks and end times interact.
SUBJECTS = [Identity.user("tim"), Identity.user("zoe"), ACCOUNTS[0], *GROUPS[:3]]
_EDGES = [(member, group) for member in SUBJECTS for group in GROUPS[:3] if member != group]
STATES = st.fixed_dictionaries(
    {
        "members": st.lists(st.sampled_from(_EDGES), min_size=3, max_size=len(_EDGES), unique_by=str).flatmap(
            lambda edges: st.tuples(*(st.tuples(st.just(member), st.just(group), _KIND) for member, group in edges))
        ),
        "assignments": st.lists(
            st.tuples(
                st.sampled_from(ROLES[:2]),
                st.sampled_from(("p1", "p1", "p2")),
                st.sampled_from([*GROUPS[:3], *SUBJECTS]),
                st.sampled_from(("always", *WHEN)),
            ),
            min_size=1,
            max_size=4,
        ),
        "locks": st.lists(
            st.one_of(
                st.tuples(st.just("identity"), st.sampled_from([str(subject) for subject in SUBJECTS]), st.booleans()),
                st.tuples(st.just("project"), st.just("p1"), st.just(True)),
                st.tuples(st.just("project"), st.just("p2"), st.just(False)),
                st.tuples(st.just("archive"), st.sampled_from(("p1", "p2")), st.booleans()),
            ),
            max_size=2,
            unique_by=lambda lock: lock[:2],
        ),
        "inactive": st.sampled_from(("", "", "tim", "bot")),
    }
)
PERMISSIONS = ("read:training", "read:training", "execute:training", "grant:roles", "manage:users", "enter:project")


@pytest.mark.proves("R80", "R78", "R63", "R64")
@settings(deadline=None, max_examples=150)
@given(STATES, st.sampled_from(PERMISSIONS), st.sampled_from(("p1", "p1", "p2", SYSTEM)))
def test_the_holders_are_exactly_those_that_the_engine_allows(
    shared_harness: AccountsHarness, state: dict[str, Any], permission: str, scope: str
) -> None:
    required = Permission.parse(permission)
    with shared_harness.rolled_back() as sandbox:
        sandbox.execute(OPERATOR, build, state)
        with sandbox.read() as tx:
            for kind in IdentityKind:
                expected = sorted(
                    identity.name
                    for identity in ALL
                    if identity.kind is kind
                    and decide(tx.rights(identity), AuthorizationRequest(required, scope), tx.now).allowed
                )
                assert all_holders(tx, required, scope, kind) == expected, kind


@pytest.mark.proves("R80", "R78")
def test_of_two_paths_around_a_lock_the_engine_decides_which_counts(sandbox: AccountsHarness) -> None:
    tim, (g0, g1, g2) = USERS[6], GROUPS[:3]
    edges = [(tim, g0), (tim, g1), (g0, g2), (g1, g2)]
    state = {
        "members": [(member, group, "local") for member, group in edges],
        "assignments": [("PROJECT_READER", "p1", g2, "always")],
        "locks": [("identity", "group:g0", False)],
        "inactive": "",
    }
    sandbox.execute(OPERATOR, build, state)
    required = Permission.parse("read:training")
    with sandbox.read() as tx:
        allowed = decide(tx.rights(tim), AuthorizationRequest(required, "p1"), tx.now).allowed
        assert ("tim" in all_holders(tx, required, "p1", IdentityKind.USER)) is allowed


def test_pages_are_complete_where_row_and_decision_limits_are_reached(
    sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    assignments = [("PROJECT_READER", "p1", identity, "always") for identity in (*USERS, GROUPS[0])]
    members = [(user, GROUPS[0], "local") for user in USERS] + [(user, GROUPS[1], "local") for user in USERS[:4]]
    state = {
        "members": members,
        "assignments": assignments,
        "locks": [("identity", "group:g1", False)],
        "inactive": "zoe",
    }
    sandbox.execute(OPERATOR, build, state)
    names = sorted(user.name for user in USERS if user.name != "zoe")
    with sandbox.read() as tx:
        required = Permission.parse("read:training")
        assert all_holders(tx, required, "p1", IdentityKind.USER) == names
        monkeypatch.setattr(module, "MAX_ROWS", 5)
        assert all_holders(tx, required, "p1", IdentityKind.USER) == names
        monkeypatch.setattr(module, "MAX_DECISIONS", 1)
        assert all_holders(tx, required, "p1", IdentityKind.USER) == names
        answer = who_can(tx, OPERATOR, "read:training", "p1")
        assert answer.data["more"]
        assert answer.message == f"these are the first {len(answer.rows)}; there are more"


@pytest.mark.proves("R125")
def test_the_rights_of_members_are_not_compiled(sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [(user, GROUPS[0], "local") for user in USERS]
    assignments = [("PROJECT_READER", "p1", GROUPS[0], "always")]
    sandbox.execute(OPERATOR, build, {"members": members, "assignments": assignments, "locks": [], "inactive": ""})

    def never(*_: object) -> None:
        raise AssertionError("rights were compiled")

    with sandbox.read() as tx:
        monkeypatch.setattr(type(tx), "rights", never)
        rows = who_can(tx, OPERATOR, "read:training", "p1").rows
    assert {row[0] for row in rows} >= {str(user) for user in USERS}
    assert next(row for row in rows if row[0] == "user:tim")[1:3] == ("PROJECT_READER", ["group:g0"])
