"""Ways to allow: the least extra power first, and only those that a user can carry out."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.authorization import checks
from aizen_hub.authorization.explanations.ways_to_allow import WayKind, WayToAllow, find_ways
from aizen_hub.problems import Escalation
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, AccountsHarness

RITA = Identity.user("rita")
TRAIN = Permission.parse("execute:training")


def ways(sandbox: AccountsHarness, reader: str, identity: Identity = RITA, scope: str = "p1") -> list[WayToAllow]:
    found: list[WayToAllow] = sandbox.execute(reader, find_ways, TRAIN, scope, identity)
    return found


def test_the_least_extra_power_comes_first_once_for_a_few_hours(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", custom_roles.create_role, "TRAINER", permissions=["execute:training"], scopes=["project"])
    found = ways(sandbox, "paul")
    assert [(way.kind, way.role) for way in found[:3]] == [
        (WayKind.ONE_TIME, "TRAINER"),
        (WayKind.ROLE, "TRAINER"),
        (WayKind.ROLE, "PROJECT_EXECUTOR"),
    ]
    sizes = [len(way.adds) for way in found if way.kind is WayKind.ROLE and way.scope == "p1"]
    assert sizes == sorted(sizes)
    assert {entry.permission for entry in found[0].adds} == {TRAIN}


def test_the_reader_sees_whether_they_may_grant_it_and_who_else(sandbox: AccountsHarness) -> None:
    by_paul, by_rita = ways(sandbox, "paul")[0], ways(sandbox, "rita")[0]
    assert by_paul.may_grant
    assert not by_rita.may_grant
    assert by_rita.grantors == by_paul.grantors
    assert by_rita.grantors[0] == "paul"


@pytest.mark.parametrize("reader", ["paul", "admin"])
def test_what_is_offered_as_grantable_can_be_granted(sandbox: AccountsHarness, reader: str) -> None:

    for way in ways(sandbox, reader):
        if way.kind is not WayKind.ROLE:
            continue
        try:
            sandbox.execute(reader, assignments.grant_roles, [way.role], way.scope, RITA)
            could = True
        except Escalation:
            could = False
        assert could == way.may_grant
        if could:
            sandbox.execute(OPERATOR, assignments.unauthorized_delete_assignment, way.role, way.scope, RITA)


@pytest.mark.proves("R72")
def test_groups_are_named_only_to_those_who_may_read_access(sandbox: AccountsHarness) -> None:
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.grant("PROJECT_EXECUTOR", "p1", Identity.group("crew"))
    groups = {way.group for way in ways(sandbox, "paul") if way.kind is WayKind.GROUP}
    assert groups == {Identity.group("crew")}
    assert not [way for way in ways(sandbox, "rita") if way.kind is WayKind.GROUP]
    sandbox.execute(OPERATOR, membership.add_member, "crew", RITA)
    assert not [way for way in ways(sandbox, "paul") if way.kind is WayKind.GROUP], "already a member"


def test_a_role_that_no_user_could_give_is_left_out(sandbox: AccountsHarness) -> None:
    for way in ways(sandbox, "rita"):
        assert way.grantors, way


def test_a_service_account_is_offered_only_what_it_can_have(sandbox: AccountsHarness) -> None:

    sandbox.execute(OPERATOR, accounts.create_service_account, "robot")
    robot = Identity.service_account("robot")
    for way in ways(sandbox, "admin", robot):
        assert way.scope in ("p1", SYSTEM)
        with sandbox.read() as tx:
            assert robot.kind in tx.roles[way.role].assignable_to
            assert not checks.decide_now(tx, robot, TRAIN, "p1").allowed
