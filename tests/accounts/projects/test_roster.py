"""The members of a project as a table: sources, filters, order and paging."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as profile
from sqlalchemy import insert, select

from aizen_hub.accounts.projects import roster
from aizen_hub.accounts.projects.roster import MemberSort, MemberSource, RosterFilter
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.service.panel.paging import PageQuery, Sort, read_page
from aizen_hub.store import tables
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import ReadTransaction
from tests.accounts.harness import OPERATOR, AccountsHarness
from tests.authorization.queries.test_permission_holders import ALL, STATES, build
from tests.store import store_rows
from tests.store.conftest import catalog, opened, settings, store  # noqa: F401 - fixtures
from tests.store.store_rows import TESTER

EVERYTHING = RosterFilter()


def read_rows(
    tx: ReadTransaction, project: str, criteria: RosterFilter = EVERYTHING, sort: MemberSort = MemberSort.ACCOUNT
) -> list[roster.RosterRow]:
    """Read the whole roster, in pages of two rows."""
    members = roster.roster_of(tx, project, criteria)
    order = Sort("order", roster.sort_columns(tx, members, sort))
    rows: list[roster.RosterRow] = []
    after = None
    for _ in range(100):
        page = read_page(tx, select(members), [order], PageQuery(after=after), size=2)
        rows += roster.to_rows(tx, page.rows)
        after = page.next
        if after is None:
            assert page.total == len(rows)
            assert roster.count_accounts(tx, members) == len({row.account for row in rows})
            return rows
    raise AssertionError("the pages do not end")


def read_all(
    tx: ReadTransaction, project: str, criteria: RosterFilter = EVERYTHING, sort: MemberSort = MemberSort.ACCOUNT
) -> list[tuple[str, str, str]]:
    return [(str(row.account), row.role, str(row.holder)) for row in read_rows(tx, project, criteria, sort)]


def test_the_assignments_of_a_project_are_read_once(sandbox: AccountsHarness) -> None:
    with sandbox.read() as tx:
        query = select(roster.roster_of(tx, "p1", EVERYTHING))
        text = query.compile(tx.conn, compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    searches = [step for step in plan if step.startswith(("SEARCH assignments", "SCAN assignments"))]
    assert searches == ["SEARCH assignments USING INDEX ix_assignments_scope_role (scope=?)"], plan


@profile(deadline=None, max_examples=25)
@given(STATES)
def test_the_roster_is_what_the_rights_contain(shared_harness: AccountsHarness, state: dict[str, Any]) -> None:
    with shared_harness.rolled_back() as sandbox:
        sandbox.execute(OPERATOR, build, state)
        with sandbox.read() as tx:
            # A role that begins later may begin after a directory membership has to be renewed.
            rows = {(str(row.account), row.role, str(row.holder)) for row in read_rows(tx, "p1") if row.starts is None}
            for identity in ALL:
                expected = {
                    (str(identity), held.role, str(held.via[-1] if held.via else identity))
                    for held in tx.rights(identity).held_roles
                    if held.scope == "p1" and held.interval.includes(tx.now)
                }
                if identity.kind is IdentityKind.GROUP:  # only its own assignments: its members are rows of their own
                    expected = {row for row in expected if row[2] == str(identity)}
                assert {row for row in rows if row[0] == str(identity)} == expected, identity


def test_filters_and_orders(sandbox: AccountsHarness) -> None:
    now = sandbox.now()
    with sandbox.write(OPERATOR) as tx:
        tx.conn.execute(insert(tables.groups).values(name="crew", description=""))
        group_id = tx.conn.execute(tables.groups.select()).one().id
        tx.conn.execute(insert(tables.memberships).values(group_id=group_id, member="user:tim"))
        tx.conn.execute(tables.users.update().where(tables.users.c.name == "emma").values(display_name="Zora Emm"))
        tx.record_change("state", {}, ["*"])
    sandbox.grant("PROJECT_READER", "p1", Identity.group("crew"))
    sandbox.grant("PROJECT_EXECUTOR", "p1", "olga", interval=Interval(ends=now + timedelta(days=2)))
    sandbox.grant("PROJECT_READER", "p1", "carl", interval=Interval(ends=now - timedelta(days=2)))
    with sandbox.read() as tx:
        accounts = [row[0] for row in read_all(tx, "p1")]
        assert accounts == ["group:crew", "user:emma", "user:olga", "user:paul", "user:rita", "user:tim"]
        assert next(row[0] for row in read_all(tx, "p1", sort=MemberSort.UNTIL)) == "user:olga"
        assert next(row[1] for row in read_all(tx, "p1", sort=MemberSort.ROLE)) == "PROJECT_ADMIN"
        assert read_all(tx, "p1", RosterFilter(source=MemberSource.GROUP)) == [
            ("user:tim", "PROJECT_READER", "group:crew")
        ]
        assert len(read_all(tx, "p1", RosterFilter(source=MemberSource.DIRECT))) == 5
        assert [row[0] for row in read_all(tx, "p1", RosterFilter(text="EM"))] == ["user:emma"]
        assert [row[0] for row in read_all(tx, "p1", RosterFilter(text="zora"))] == ["user:emma"]
        assert read_all(tx, "p1", RosterFilter(text="%")) == []
        assert read_all(tx, "p1", RosterFilter(text="user")) == []
        assert {row[0] for row in read_all(tx, "p1", RosterFilter(role="PROJECT_EXECUTOR"))} == {
            "user:emma",
            "user:olga",
        }
        soon = RosterFilter(ends_before=tx.now + timedelta(days=14))
        assert [row[0] for row in read_all(tx, "p1", soon)] == ["user:olga"]
        identities = roster.member_identities(tx, "p1", EVERYTHING, after="user:emma", limit=2)
        assert identities == [Identity.user("olga"), Identity.user("paul")]


def test_the_last_activity_is_that_of_servers_in_the_project(sandbox: AccountsHarness) -> None:
    now = sandbox.now()
    with sandbox.write(OPERATOR) as tx:
        for number, (user, project, days) in enumerate(
            (("rita", "p1", 3), ("rita", "p1", 1), ("rita", "p2", 0), ("emma", "p2", 0))
        ):
            seen = now - timedelta(days=days)
            values = {"hub": "main", "server": "", "started": seen, "last_seen": seen, "credential": f"c{number}"}
            tx.conn.execute(insert(tables.sessions).values(id=f"s{number}", user=user, project=project, **values))
        tx.record_change("state", {}, ["*"])
    with sandbox.read() as tx:
        accounts = [Identity.user("rita"), Identity.user("emma"), Identity.group("crew")]
        assert roster.last_activity(tx, "p1", accounts) == {Identity.user("rita"): now - timedelta(days=1)}


@pytest.mark.parametrize("sort", MemberSort)
def test_pages_are_complete_on_every_database(store: Store, sort: MemberSort) -> None:  # noqa: F811
    names = ("a_a", "a-b", "ab", "a.b", "aa", "b", "zb")
    with store.write(TESTER) as tx:
        store_rows.insert_project(tx, "p1")
        crew, inner = store_rows.insert_group(tx, "crew"), store_rows.insert_group(tx, "inner")
        store_rows.insert_assignment(tx, "PROJECT_READER", "p1", crew)
        store_rows.insert_membership(tx, inner, crew)
        store_rows.insert_membership(tx, crew, inner)
        for name in names:
            store_rows.insert_assignment(tx, "PROJECT_READER", "p1", store_rows.insert_user(tx, name))
            store_rows.insert_membership(tx, store_rows.insert_user(tx, f"{name}2"), inner)
    with store.read() as tx:
        accounts = [row[0] for row in read_all(tx, "p1", sort=sort)]
        expected = [f"user:{name}" for stem in names for name in (stem, f"{stem}2")]
        assert accounts == sorted(["group:crew", *expected])
        assert [row[0] for row in read_all(tx, "p1", RosterFilter(text="a-B"), sort)] == ["user:a-b", "user:a-b2"]
        identities = roster.member_identities(tx, "p1", EVERYTHING, limit=100)
        assert list(map(str, identities)) == sorted(expected)
