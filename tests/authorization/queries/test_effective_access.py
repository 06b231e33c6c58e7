"""What an identity has, with the source of each role, page by page, and only where the reader may see it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization.queries.effective_access import AccessState, list_access, list_granted_access
from aizen_hub.authorization.queries.hypothetical_state import HypotheticalState, hypothetical_rights
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, AccountsHarness

RITA, TEAM = Identity.user("rita"), Identity.group("team")


@pytest.fixture
def access(harness: AccountsHarness) -> AccountsHarness:
    """Rita, reader of p1, is executor of p2 through a group, and of p3 later; her role in p4 has ended."""
    for project in ("p2", "p3", "p4"):
        harness.create_project(project, "paul")
    now = harness.now()
    harness.execute(OPERATOR, management.create_group, "team")
    harness.execute(OPERATOR, membership.add_member, "team", RITA)
    harness.grant("PROJECT_EXECUTOR", "p2", TEAM, reason="weekly run")
    harness.grant("PROJECT_EXECUTOR", "p3", "rita", interval=Interval(now + timedelta(days=1), None))
    harness.grant("PROJECT_READER", "p4", "rita", interval=Interval(None, now + timedelta(microseconds=1)))
    return harness


def test_each_role_has_its_source_and_state(access: AccountsHarness) -> None:
    with access.read() as tx:
        result = list_access(tx, RITA)
    rows = {
        (held.scope, held.role): (held.via, held.state, held.reason) for scope in result.scopes for held in scope.roles
    }
    assert rows == {
        ("p1", "PROJECT_READER"): ((), AccessState.EFFECTIVE, ""),
        ("p2", "PROJECT_EXECUTOR"): ((TEAM,), AccessState.EFFECTIVE, "weekly run"),
        ("p3", "PROJECT_EXECUTOR"): ((), AccessState.LATER, ""),
    }
    assert (result.role_count, result.project_count, result.next_scope) == (3, 3, None)


def test_a_lock_on_the_person_or_a_group_stops_what_comes_through_it(access: AccountsHarness) -> None:
    access.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, "group:team", reason="test")
    with access.read() as tx:
        states = {held.scope: held.state for scope in list_access(tx, RITA).scopes for held in scope.roles}
    assert states == {"p1": AccessState.EFFECTIVE, "p2": AccessState.STOPPED, "p3": AccessState.LATER}
    access.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, "user:rita", reason="test")
    with access.read() as tx:
        states = {held.scope: held.state for scope in list_access(tx, RITA).scopes for held in scope.roles}
    assert states["p1"] is AccessState.STOPPED


def test_scopes_are_paged_and_restricted(access: AccountsHarness) -> None:
    access.grant("PROJECT_CREATOR", SYSTEM, "rita")
    with access.read() as tx:
        first = list_access(tx, RITA, limit=2)
        second = list_access(tx, RITA, after=first.next_scope, limit=2)
        assert [scope.scope for scope in first.scopes] == [SYSTEM, "p1"]
        assert [scope.scope for scope in second.scopes] == ["p2", "p3"]
        assert (first.role_count, second.next_scope) == (4, None)
        seen = list_access(tx, RITA, projects=frozenset({"p2", "nowhere"}))
        assert [scope.scope for scope in seen.scopes] == ["p2"]
        assert (seen.role_count, seen.project_count) == (1, 1)


def test_what_a_group_gives_is_its_own(access: AccountsHarness) -> None:
    with access.read() as tx:
        assert [(held.role, held.scope) for held in list_granted_access(tx, TEAM, projects=None)] == [
            ("PROJECT_EXECUTOR", "p2")
        ]
        assert list_granted_access(tx, TEAM, projects=frozenset({"p1"})) == ()


def test_a_set_end_is_told_from_the_next_confirmation_by_a_directory(sandbox: AccountsHarness) -> None:
    confirmed_until = sandbox.add_directory_member("crew", RITA)
    ends = sandbox.now() + timedelta(days=300)
    sandbox.grant("PROJECT_EXECUTOR", "p1", Identity.group("crew"))
    sandbox.grant("PROJECT_ADMIN", "p1", Identity.group("crew"), interval=Interval(None, ends))
    with sandbox.read() as tx:
        held = {role.role: (role.ends, role.confirmed_until) for role in list_access(tx, RITA).scopes[0].roles}
        supposed = hypothetical_rights(tx, RITA, HypotheticalState())
    assert held == {
        "PROJECT_READER": (None, None),
        "PROJECT_EXECUTOR": (None, confirmed_until),
        "PROJECT_ADMIN": (ends, confirmed_until),
    }
    assert held == {role.role: (role.granted_until, role.confirmed_until) for role in supposed.held_roles}
