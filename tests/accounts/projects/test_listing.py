"""The list of projects: what is visible, counted and paged."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.projects import listing, profile
from aizen_hub.accounts.projects.listing import ProjectRow, ProjectSort
from aizen_hub.accounts.sessions import locks
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from tests.accounts.harness import AccountsHarness
from tests.store.query_plans import query_plans


def rows(sandbox: AccountsHarness, name: str, text: str = "", *, only_own: bool = False) -> list[ProjectRow]:
    with sandbox.read() as tx:
        identity = Identity.user(name)
        query = listing.visible_query(tx, identity, text, only_own=only_own)
        ordered = query.order_by(*listing.sort_columns(tx, ProjectSort.NAME))
        return listing.to_rows(tx, identity, tx.conn.execute(ordered).all())


def names(sandbox: AccountsHarness, name: str, text: str = "", *, only_own: bool = False) -> list[str]:
    return [row.name for row in rows(sandbox, name, text, only_own=only_own)]


@pytest.mark.proves("R72")
@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("admin", ["p1", "p2"]),
        ("carl", ["p1", "p2"]),
        ("paul", ["p1"]),
        ("rita", ["p1"]),
        ("olga", ["p2"]),
        ("tim", []),
    ],
)
def test_only_visible_projects_are_listed_and_counted(sandbox: AccountsHarness, user: str, expected: list[str]) -> None:
    assert names(sandbox, user) == expected


def test_a_row(sandbox: AccountsHarness) -> None:
    sandbox.execute("paul", profile.update_profile, "p1", description="Who leaves?", listed=True)
    sandbox.execute("admin", locks.lock_target, LockTarget.PROJECT, "p1", reason="archived")
    row = rows(sandbox, "rita")[0]
    assert (row.description, row.listed, row.locked) == ("Who leaves?", True, True)
    assert (row.holders, row.admins, row.more_admins) == (3, (Identity.user("paul"),), False)
    assert row.own_roles == ("PROJECT_READER",)


def test_filters(sandbox: AccountsHarness) -> None:
    for number in range(5):
        sandbox.create_project(f"x{number}", "zoe")
    sandbox.grant("PROJECT_READER", "x3", "carl")
    sandbox.execute("zoe", profile.update_profile, "x4", description="Shelf pictures")
    assert names(sandbox, "admin", "X") == ["x0", "x1", "x2", "x3", "x4"]
    assert names(sandbox, "admin", "shelf") == ["x4"]
    assert names(sandbox, "admin", "%") == []
    assert names(sandbox, "carl", only_own=True) == ["x3"]
    assert names(sandbox, "rita", "x") == []
    assert rows(sandbox, "zoe", "x4")[0].admins == (Identity.user("zoe"),)


@pytest.mark.parametrize("sort", ProjectSort)
def test_orders(sandbox: AccountsHarness, sort: ProjectSort) -> None:
    with sandbox.read() as tx:
        query = listing.visible_query(tx, Identity.user("admin")).order_by(*listing.sort_columns(tx, sort))
        assert [row.name for row in tx.conn.execute(query)] == ["p1", "p2"]


def test_members_and_admins_are_counted_from_an_index_without_their_rows(sandbox: AccountsHarness) -> None:
    with sandbox.read() as tx:
        projects = tx.conn.execute(listing.visible_query(tx, Identity.user("admin"))).all()
        plans = query_plans(tx.conn, lambda: listing.to_rows(tx, Identity.user("admin"), projects))
    steps = [step for text, plan in plans.items() if "scope IN" in text for step in plan if "SEARCH assign" in step]
    assert steps == [
        "SEARCH assignments USING COVERING INDEX ix_assignments_scope_role (scope=?)",
        "SEARCH assignments USING COVERING INDEX ix_assignments_scope_role (scope=? AND role=?)",
    ], plans
