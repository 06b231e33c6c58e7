"""Roles and credentials of a service account that its controller does not have: a second user confirms them."""

from __future__ import annotations

import pytest

from aizen_hub.accounts import command_handlers
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import accounts, credentials, second_person
from aizen_hub.problems import Denied, Escalation
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.actor import Channel
from tests.accounts.harness import OPERATOR, AccountsHarness

ROBOT = Identity.service_account("robot")
CHANNELS = pytest.mark.parametrize("channel", [Channel.PANEL, Channel.CLI])


@pytest.fixture
def robot(sandbox: AccountsHarness) -> AccountsHarness:
    """The account `robot`, controlled by `admin`."""
    sandbox.execute("admin", accounts.create_service_account, "robot")
    return sandbox


@CHANNELS
@pytest.mark.proves("R66", "R68", "R144")
def test_a_second_user_who_may_grant_confirms_the_role(robot: AccountsHarness, channel: Channel) -> None:
    result = robot.execute(robot.actor("admin", channel), assignments.grant_roles, ["PROJECT_ADMIN"], "p1", ROBOT)
    assert result.pending_id
    assert "a second user who may grant it, such as `paul`" in result.message
    assert robot.roles_of(ROBOT, "p1") == set()
    with pytest.raises(Escalation, match="a second user who may grant it has to confirm it"):
        robot.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
    assert robot.execute("paul", second_person.find_confirmable) == (result.pending_id,)
    for other in ("emma", "olga", "zoe"):
        assert robot.execute(other, second_person.find_confirmable) == ()
    robot.execute("paul", command_handlers.confirm_pending_change, result.pending_id)
    assert robot.roles_of(ROBOT, "p1") == {"PROJECT_ADMIN"}


@pytest.mark.proves("R66")
def test_a_role_that_the_controller_has_is_granted_at_once(robot: AccountsHarness) -> None:
    robot.grant("PROJECT_EXECUTOR", "p1", "admin")
    result = robot.execute(
        robot.actor("admin", Channel.CLI), assignments.grant_roles, ["PROJECT_EXECUTOR"], "p1", ROBOT
    )
    assert result.pending_id is None
    assert robot.roles_of(ROBOT, "p1") == {"PROJECT_EXECUTOR"}


def test_a_dry_run_shows_the_effect(robot: AccountsHarness) -> None:
    with robot.write(robot.actor("admin")) as tx:
        tx.dry_run = True
        result = assignments.grant_roles(tx, ["PROJECT_ADMIN"], "p1", ROBOT)
    assert result.pending_id is None


@CHANNELS
@pytest.mark.proves("R66", "R67", "R144")
def test_a_second_user_with_every_right_confirms_and_gets_the_credential(
    robot: AccountsHarness, channel: Channel
) -> None:
    robot.grant("PROJECT_ADMIN", "p1", ROBOT)
    result = robot.execute(robot.actor("admin", channel), credentials.issue_credential, "robot")
    assert "second user" in result.message
    with pytest.raises(Escalation) as caught:
        robot.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
    assert "second user" in str(caught.value.remedy)
    with pytest.raises(Escalation):
        robot.execute("emma", command_handlers.confirm_pending_change, result.pending_id)
    assert robot.execute("paul", second_person.find_confirmable) == (result.pending_id,)
    confirmed = robot.execute("paul", command_handlers.confirm_pending_change, result.pending_id)
    with robot.read() as tx:
        assert credentials.authenticate_credential(tx, confirmed.data["credential"]) is not None


@CHANNELS
@pytest.mark.proves("R66", "R67", "R144")
def test_a_second_user_with_every_right_confirms_the_activation(robot: AccountsHarness, channel: Channel) -> None:
    robot.grant("PROJECT_ADMIN", "p1", ROBOT)
    robot.execute("admin", accounts.set_service_account_active, "robot", False)
    result = robot.execute(robot.actor("admin", channel), accounts.set_service_account_active, "robot", True)
    with pytest.raises(Escalation, match="every right"):
        robot.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
    assert robot.execute("paul", second_person.find_confirmable) == (result.pending_id,)
    robot.execute("paul", command_handlers.confirm_pending_change, result.pending_id)
    with robot.read() as tx:
        assert tx.rights(ROBOT).active


@pytest.mark.proves("R60", "R66")
def test_a_requester_who_may_not_manage_the_account_any_more_gets_nothing(robot: AccountsHarness) -> None:
    robot.register_users("otto")
    robot.grant("AIZEN_ADMIN", SYSTEM, "otto")
    robot.grant("PROJECT_ADMIN", "p1", ROBOT)
    result = robot.execute(robot.actor("otto", Channel.CLI), credentials.issue_credential, "robot")
    robot.execute(OPERATOR, assignments.unauthorized_delete_assignment, "AIZEN_ADMIN", SYSTEM, Identity.user("otto"))
    with pytest.raises(Denied, match="may not manage"):
        robot.execute("paul", command_handlers.confirm_pending_change, result.pending_id)
    with pytest.raises(Denied):
        robot.execute("paul", credentials.issue_credential, "robot")


@pytest.mark.proves("R60", "R66")
def test_only_who_may_manage_the_account_confirms_what_needs_no_second_user(robot: AccountsHarness) -> None:
    """The account has no right, or none any more, so that every user has all of its rights."""
    cli = robot.actor("admin", Channel.CLI)
    changes = [robot.execute(cli, credentials.issue_credential, "robot").pending_id]
    robot.grant("AIZEN_ADMIN", SYSTEM, ROBOT)
    robot.execute("admin", accounts.set_service_account_active, "robot", False)
    changes.append(robot.execute(cli, accounts.set_service_account_active, "robot", True).pending_id)
    robot.execute(OPERATOR, assignments.unauthorized_delete_assignment, "AIZEN_ADMIN", SYSTEM, ROBOT)
    for change_id in changes:
        assert change_id
        with pytest.raises(Denied):
            robot.execute("zoe", command_handlers.confirm_pending_change, change_id)
        robot.execute("admin", command_handlers.confirm_pending_change, change_id)


@pytest.mark.proves("R60", "R66", "R72")
def test_a_requester_who_has_every_right_by_now_needs_a_user_who_may_manage_the_account(robot: AccountsHarness) -> None:
    robot.grant("PROJECT_ADMIN", "p1", ROBOT)
    result = robot.execute("admin", credentials.issue_credential, "robot")
    robot.execute(OPERATOR, assignments.unauthorized_delete_assignment, "PROJECT_ADMIN", "p1", ROBOT)
    for other in ("zoe", "paul"):
        assert robot.execute(other, second_person.find_confirmable) == ()
        with pytest.raises(Denied):
            robot.execute(other, command_handlers.confirm_pending_change, result.pending_id)
