"""Who holds a permission: found without compiling everybody, and exactly whom the deciding function allows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from aizen_hub.authorization.queries import permission_holders as module
from aizen_hub.authorization.queries.access_queries import who_can
from aizen_hub.authorization.queries.permission_holders import able
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.transaction import Read, Write
from tests.accounts.harness import OPERATOR, House

USERS = [Identity.user(name) for name in ("admin", "carl", "paul", "emma", "rita", "zoe", "tim", "olga")]
ACCOUNTS = [Identity.service_account(name) for name in ("bot", "ci")]
GROUPS = [Identity.group(f"g{number}") for number in range(5)]
ALL = [*USERS, *ACCOUNTS, *GROUPS]
ROLES = ("PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN")
DAY = timedelta(days=1)
WHEN = {"always": (None, None), "over": (None, -DAY), "later": (DAY, None), "now": (-DAY, DAY)}


def build(tx: Write, world: dict[str, Any]) -> None:
    """Make a world of rows, past all rules: whatever could ever stand there."""
    conn, now = tx.conn, tx.now
    for one in ACCOUNTS:
        row = {"name": one.name, "controller": "user:admin", "active": one.name != world["asleep"], "created": now}
        columns = tables.service_accounts.c.keys()
        conn.execute(insert(tables.service_accounts).values({k: v for k, v in row.items() if k in columns}))
    for one in GROUPS:
        conn.execute(insert(tables.groups).values(name=one.name, description=""))
    numbers = {row.name: row.id for row in conn.execute(select(tables.groups))}
    for member, group, kind in world["members"]:
        age = {"local": None, "fresh": timedelta(), "old": timedelta(days=400)}[kind]
        given = {"provider": None, "seen_at": None} if age is None else {"provider": "ldap", "seen_at": now - age}
        conn.execute(insert(tables.memberships).values(group_id=numbers[group.name], member=str(member), **given))
    for role, scope, identity, when in world["held"]:
        starts, ends = (None if one is None else now + one for one in WHEN[when])
        tx.change("assignment", {}, ["*"])
        put = tables.assignments
        where = (put.c.role == role, put.c.scope == scope, put.c.identity == str(identity))
        if conn.execute(select(put.c.id).where(*where)).first() is None:
            common = {"granted_by": "user:x", "granted": now, "revision": 1, "reason": ""}
            conn.execute(
                insert(put).values(role=role, scope=scope, identity=str(identity), starts=starts, ends=ends, **common)
            )
    for target, name, ended in world["locks"]:
        ends = now - DAY if ended else None
        values = {"reason": "x", "locked_by": "user:x", "locked": now, "ends": ends}
        conn.execute(insert(tables.locks).values(target=target, name=name, **values))
    conn.execute(update(tables.users).where(tables.users.c.name == world["asleep"]).values(active=False))
    tx.change("world", {}, ["*"])


def everybody(tx: Read, asked: Permission, scope: str, kind: Kind) -> list[str]:
    found: list[str] = []
    after: str | None = ""
    for _ in range(50):
        page = able(tx, asked, scope, kind, after=after or "", limit=3)
        assert [one.identity.name for one in page.found] == sorted(one.identity.name for one in page.found)
        found += [one.identity.name for one in page.found]
        after = page.after
        if after is None:
            return found
    raise AssertionError("the pages do not end")


_KIND = st.sampled_from(("local", "local", "fresh", "old"))
# Few players in one project, so that ways, locks and ends meet.
PLAYERS = [Identity.user("tim"), Identity.user("zoe"), ACCOUNTS[0], *GROUPS[:3]]
_EDGES = [(one, group) for one in PLAYERS for group in GROUPS[:3] if one != group]
WORLDS = st.fixed_dictionaries(
    {
        "members": st.lists(st.sampled_from(_EDGES), min_size=3, max_size=len(_EDGES), unique_by=str).flatmap(
            lambda edges: st.tuples(*(st.tuples(st.just(one), st.just(group), _KIND) for one, group in edges))
        ),
        "held": st.lists(
            st.tuples(
                st.sampled_from(ROLES[:2]),
                st.sampled_from(("p1", "p1", "p2")),
                st.sampled_from([*GROUPS[:3], *PLAYERS]),
                st.sampled_from(("always", *WHEN)),
            ),
            min_size=1,
            max_size=4,
        ),
        "locks": st.lists(
            st.one_of(
                st.tuples(st.just("identity"), st.sampled_from([str(one) for one in PLAYERS]), st.booleans()),
                st.tuples(st.just("project"), st.just("p1"), st.just(True)),
                st.tuples(st.just("project"), st.just("p2"), st.just(False)),
            ),
            max_size=2,
            unique_by=lambda one: one[:2],
        ),
        "asleep": st.sampled_from(("", "", "tim", "bot")),
    }
)
ASKED = ("read:training", "read:training", "execute:training", "grant:roles", "manage:users", "enter:project")


@pytest.mark.proves("R80", "R78", "R63", "R64")
@settings(deadline=None, max_examples=150)
@given(WORLDS, st.sampled_from(ASKED), st.sampled_from(("p1", "p1", "p2", SYSTEM)))
def test_it_is_exactly_whom_the_deciding_function_allows(
    shared_town: House, world: dict[str, Any], permission: str, scope: str
) -> None:
    asked = Permission.parse(permission)
    with shared_town.trial() as town:
        town.do(OPERATOR, build, world)
        with town.reading() as tx:
            for kind in Kind:
                expected = sorted(
                    one.name
                    for one in ALL
                    if one.kind is kind and decide(tx.rights(one), Request(asked, scope), tx.now).allowed
                )
                assert everybody(tx, asked, scope, kind) == expected, kind


@pytest.mark.proves("R80", "R78")
def test_of_two_ways_past_a_lock_the_deciding_function_says_which_counts(town: House) -> None:
    tim, (g0, g1, g2) = USERS[6], GROUPS[:3]
    ways = [(tim, g0), (tim, g1), (g0, g2), (g1, g2)]
    world = {
        "members": [(one, group, "local") for one, group in ways],
        "held": [("PROJECT_READER", "p1", g2, "always")],
        "locks": [("identity", "group:g0", False)],
        "asleep": "",
    }
    town.do(OPERATOR, build, world)
    asked = Permission.parse("read:training")
    with town.reading() as tx:
        allowed = decide(tx.rights(tim), Request(asked, "p1"), tx.now).allowed
        assert ("tim" in everybody(tx, asked, "p1", Kind.USER)) is allowed


def test_pages_meet_also_where_rows_or_decisions_run_out(town: House, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [("PROJECT_READER", "p1", one, "always") for one in (*USERS, GROUPS[0])]
    members = [(one, GROUPS[0], "local") for one in USERS] + [(one, GROUPS[1], "local") for one in USERS[:4]]
    world = {"members": members, "held": held, "locks": [("identity", "group:g1", False)], "asleep": "zoe"}
    town.do(OPERATOR, build, world)
    names = sorted(one.name for one in USERS if one.name != "zoe")
    with town.reading() as tx:
        asked = Permission.parse("read:training")
        assert everybody(tx, asked, "p1", Kind.USER) == names
        monkeypatch.setattr(module, "MOST_ROWS", 5)
        assert everybody(tx, asked, "p1", Kind.USER) == names
        monkeypatch.setattr(module, "MOST_DECISIONS", 1)
        assert everybody(tx, asked, "p1", Kind.USER) == names
        answer = who_can(tx, OPERATOR, "read:training", "p1")
        assert answer.data["more"]
        assert answer.message == f"these are the first {len(answer.rows)} of more"


@pytest.mark.proves("R125")
def test_the_rights_of_members_are_not_compiled_for_it(town: House, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [(one, GROUPS[0], "local") for one in USERS]
    held = [("PROJECT_READER", "p1", GROUPS[0], "always")]
    town.do(OPERATOR, build, {"members": members, "held": held, "locks": [], "asleep": ""})

    def never(*_: object) -> None:
        raise AssertionError("somebody's rights were compiled")

    with town.reading() as tx:
        monkeypatch.setattr(type(tx), "rights", never)
        rows = who_can(tx, OPERATOR, "read:training", "p1").rows
    assert {row[0] for row in rows} >= {str(one) for one in USERS}
    assert next(row for row in rows if row[0] == "user:tim")[1:3] == ("PROJECT_READER", ["group:g0"])
