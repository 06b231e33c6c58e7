"""Settlement of access requests: every way to get a role decides the request for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import access_requests, assignments, request_settlement
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness

TIM = Identity.user("tim")


def by_command(sandbox: AccountsHarness) -> None:
    sandbox.run_command("paul", "grant role PROJECT_READER,PROJECT_EXECUTOR to tim", project="p1")


def by_api(sandbox: AccountsHarness) -> None:
    sandbox.execute("carl", assignments.grant_roles, ["PROJECT_READER"], "p1", TIM)


def by_project_file(sandbox: AccountsHarness) -> None:
    roles = {"paul": ["PROJECT_ADMIN"], "tim": ["PROJECT_READER"]}
    members = json.dumps([{"id": name, "roles": of_user} for name, of_user in roles.items()])
    sandbox.run_command("paul", "alter project p1,config=m", files={"m": members})


def by_group_role(sandbox: AccountsHarness) -> None:
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute(OPERATOR, membership.add_member, "crew", TIM)
    sandbox.execute("paul", assignments.grant_roles, ["PROJECT_READER"], "p1", Identity.group("crew"))


def by_membership(sandbox: AccountsHarness) -> None:
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute("paul", assignments.grant_roles, ["PROJECT_READER"], "p1", Identity.group("crew"))
    sandbox.execute(OPERATOR, membership.add_member, "crew", TIM)


def by_nested_group(sandbox: AccountsHarness) -> None:
    by_group = Identity.group("inner")
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute(OPERATOR, management.create_group, "inner")
    sandbox.execute(OPERATOR, membership.add_member, "inner", TIM)
    sandbox.execute("paul", assignments.grant_roles, ["PROJECT_READER"], "p1", Identity.group("crew"))
    sandbox.execute(OPERATOR, membership.add_member, "crew", by_group)
    waiting = sandbox.execute("paul", access_requests.list_decidable_requests).rows
    assert [row[1] for row in waiting] == ["user:zoe"]
    assert sandbox.execute(OPERATOR, request_settlement.settle_held_requests) == 1


@pytest.mark.parametrize("grant", [by_command, by_api, by_project_file, by_group_role, by_membership, by_nested_group])
def test_any_grant_settles_a_request(sandbox: AccountsHarness, grant: Callable[[AccountsHarness], None]) -> None:
    sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p1")
    sandbox.execute("zoe", access_requests.request_access, "PROJECT_READER", "p1")
    sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p2")
    grant(sandbox)
    with sandbox.read() as tx:
        states = {row[2]: row[3] for row in access_requests.list_own_requests(tx, TIM).rows}
        assert request_settlement.count_pending_requests(tx) == 2
    assert states == {"p1": "confirmed", "p2": "waiting"}
    assert [row[1] for row in sandbox.execute("paul", access_requests.list_decidable_requests).rows] == ["user:zoe"]


def shorten(sandbox: AccountsHarness) -> None:
    end = sandbox.now() + timedelta(hours=1)
    sandbox.execute("paul", assignments.grant_roles, ["PROJECT_READER"], "p1", TIM, interval=Interval(None, end))


def grant_later(sandbox: AccountsHarness) -> None:
    sandbox.execute(OPERATOR, assignments.unauthorized_delete_assignment, "PROJECT_READER", "p1", TIM)
    start = sandbox.now() + timedelta(days=300)
    sandbox.execute("paul", assignments.grant_roles, ["PROJECT_READER"], "p1", TIM, interval=Interval(start, None))


def grant_to_an_expired_membership(sandbox: AccountsHarness) -> None:
    by_group = Identity.group("crew")
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute(OPERATOR, membership.add_member, "crew", TIM)
    expired = tables.memberships.update().values(provider="ldap", seen_at=sandbox.now() - timedelta(days=900))
    sandbox.execute(OPERATOR, lambda tx: tx.conn.execute(expired))
    sandbox.execute("paul", assignments.grant_roles, ["PROJECT_READER"], "p1", by_group)


@pytest.mark.parametrize("grant", [shorten, grant_later, grant_to_an_expired_membership])
def test_a_grant_that_gives_nothing_settles_no_request(
    sandbox: AccountsHarness, grant: Callable[[AccountsHarness], None]
) -> None:
    soon = Interval(None, sandbox.now() + timedelta(days=5))
    sandbox.grant("PROJECT_READER", "p1", "tim", interval=soon)
    sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p1")
    grant(sandbox)
    with sandbox.read() as tx:
        assert [row[3] for row in access_requests.list_own_requests(tx, TIM).rows] == ["waiting"]


def test_a_users_file_settles_a_request_for_a_system_role(sandbox: AccountsHarness) -> None:
    sandbox.execute("tim", access_requests.request_access, "PROJECT_CREATOR", SYSTEM)
    users = json.dumps([{"id": "tim", "roles": ["PROJECT_CREATOR"]}])
    sandbox.run_command("admin", "alter users u", files={"u": users})
    with sandbox.read() as tx:
        assert request_settlement.count_pending_requests(tx) == 0


def test_the_comment_of_an_approval_is_kept(sandbox: AccountsHarness) -> None:
    asked = sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p1")
    sandbox.execute("paul", access_requests.approve_request, asked.data["request"], comment="welcome")
    with sandbox.read() as tx:
        own = access_requests.list_own_requests(tx, TIM)
    assert own.rows[0][own.columns.index("comment")] == "welcome"
