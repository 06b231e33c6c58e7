"""Groups and service accounts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from aizen_hub.accounts import command_handlers, identities
from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments, limits
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.sessions import locks
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, NotFound, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.group_closure import MAX_DEPTH
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from tests.accounts.harness import OPERATOR, AccountsHarness

TIM = Identity.user("tim")
CREW = Identity.group("crew")
ROBOT = Identity.service_account("robot")


@pytest.fixture
def crew(sandbox: AccountsHarness) -> AccountsHarness:
    sandbox.execute("admin", management.create_group, "crew")
    sandbox.execute("admin", accounts.create_service_account, "robot", description="nightly")
    return sandbox


def test_a_role_reaches_through_nested_groups_and_goes_with_the_membership(crew: AccountsHarness) -> None:
    crew.execute("admin", management.create_group, "inner")
    crew.execute("admin", membership.add_member, "crew", Identity.group("inner"))
    crew.execute("admin", membership.add_member, "inner", TIM)
    crew.execute("paul", assignments.grant_roles, ["PROJECT_READER"], "p1", CREW)
    assert crew.roles_of("tim", "p1") == {"PROJECT_READER"}
    crew.execute("admin", membership.remove_member, "inner", TIM)
    assert crew.roles_of("tim", "p1") == set()
    with pytest.raises(NotFound):
        crew.execute("admin", membership.remove_member, "inner", TIM)


def test_a_group_is_never_inside_itself(crew: AccountsHarness) -> None:
    crew.execute("admin", management.create_group, "inner")
    crew.execute("admin", membership.add_member, "crew", Identity.group("inner"))
    for group, member in (("crew", "crew"), ("inner", "crew")):
        with pytest.raises(Conflict, match="contain itself"):
            crew.execute("admin", membership.add_member, group, Identity.group(member))


def test_what_is_nested_is_never_too_deep_to_work(crew: AccountsHarness) -> None:
    crew.execute("paul", assignments.grant_roles, ["PROJECT_READER"], "p1", CREW)
    outer, depth = "crew", 1
    for number in range(MAX_DEPTH + 2):
        inner = f"level{number}"
        crew.execute(OPERATOR, management.create_group, inner)
        try:
            crew.execute(OPERATOR, membership.add_member, outer, Identity.group(inner))
        except Conflict:
            break
        outer, depth = inner, depth + 1
    assert depth >= MAX_DEPTH - 2
    crew.execute(OPERATOR, membership.add_member, outer, TIM)
    assert crew.roles_of("tim", "p1") == {"PROJECT_READER"}


@pytest.mark.parametrize("user", ["carl", "paul", "emma", "zoe"])
def test_groups_need_the_permission_to_manage_them(crew: AccountsHarness, user: str) -> None:
    for operation, args in (
        (management.create_group, ("mine",)),
        (membership.add_member, ("crew", TIM)),
        (management.set_default_group, ("crew", True)),
        (management.delete_group, ("crew",)),
        (management.list_groups, ()),
        (membership.list_group_members, ("crew",)),
        (accounts.create_service_account, ("mine",)),
        (credentials.issue_credential, ("robot",)),
        (accounts.delete_service_account, ("robot",)),
    ):
        with pytest.raises(Denied):
            crew.execute(user, operation, *args)


def test_a_directory_feeds_its_own_groups(crew: AccountsHarness) -> None:
    crew.execute("admin", management.create_group, "/Projects/Ops", provider="ldap")
    with pytest.raises(Conflict, match="come from ldap"):
        crew.execute("admin", membership.add_member, "/projects/ops", TIM)
    with pytest.raises(BadInput):
        crew.execute("admin", management.create_group, "x1", provider="local")
    with pytest.raises(BadInput):
        crew.execute("admin", management.create_group, "x1", provider="nowhere")


@pytest.mark.proves("R77")
def test_a_group_mapping_waits_for_confirmation(crew: AccountsHarness) -> None:
    for channel in (Channel.CLI, Channel.KERNEL):
        result = crew.execute(crew.actor("admin", channel), management.create_group, f"ops-{channel}", provider="ldap")
        assert result.pending_id
        crew.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
        with crew.read() as tx:
            assert identities.get_group(tx, f"ops-{channel}").provider == "ldap"
    with pytest.raises(Denied, match="recent login"):
        crew.execute(crew.actor("admin", recent_login_until=None), management.create_group, "later", provider="ldap")


def test_no_actor_leaves_a_group_whose_limits_bind_them(crew: AccountsHarness) -> None:
    admin = Identity.user("admin")
    crew.execute(OPERATOR, membership.add_member, "crew", admin)
    crew.execute(OPERATOR, limits.set_limit, CREW, SYSTEM, "jobs", 1)
    with pytest.raises(Escalation):
        crew.execute("admin", membership.remove_member, "crew", admin)
    with pytest.raises(Escalation):
        crew.execute("admin", management.delete_group, "crew")
    with pytest.raises(Escalation):
        crew.execute("admin", limits.set_limit, CREW, SYSTEM, "jobs", None)
    crew.execute("admin", limits.set_limit, CREW, SYSTEM, "jobs", 0)  # stricter is fine


def test_deleting_a_group_takes_what_came_through_it(crew: AccountsHarness) -> None:
    crew.execute("admin", membership.add_member, "crew", TIM)
    crew.execute("paul", assignments.grant_roles, ["PROJECT_READER"], "p1", CREW)
    crew.execute("admin", management.delete_group, "crew")
    assert crew.roles_of("tim", "p1") == set()
    with pytest.raises(Conflict):
        crew.execute("admin", management.create_group, "crew")


def test_a_credential_is_shown_once_and_works_until_it_ends(crew: AccountsHarness) -> None:
    result = crew.execute("admin", credentials.issue_credential, "robot", timedelta(hours=1))
    secret, credential_id = result.data["credential"], result.data["id"]
    other = crew.execute("admin", credentials.issue_credential, "robot").data["credential"]

    def name(credential: str) -> str | None:
        with crew.read() as tx:
            held = credentials.authenticate_credential(tx, credential)
            return None if held is None else held.account

    assert (name(secret), name(other), name(secret + "x"), name("")) == ("robot", "robot", None, None)
    assert secret not in repr(crew.state())
    assert secret not in repr(crew.execute("admin", credentials.list_credentials, "robot"))
    crew.execute("admin", credentials.revoke_credential, "robot", credential_id)
    assert (name(secret), name(other)) == (None, "robot")
    crew.execute(OPERATOR, lambda tx: tx.conn.execute(update(tables.credentials).values(expires=tx.now)))
    assert name(other) is None


@pytest.mark.parametrize("how", ["off", "locked", "deleted"])
def test_a_stopped_account_does_not_sign_in(crew: AccountsHarness, how: str) -> None:
    secret = crew.execute("admin", credentials.issue_credential, "robot").data["credential"]
    match how:
        case "off":
            crew.execute("admin", accounts.set_service_account_active, "robot", False)
        case "locked":
            crew.execute("admin", locks.lock_target, LockTarget.IDENTITY, str(ROBOT), reason="x")
        case _:
            crew.execute("admin", accounts.delete_service_account, "robot")
    with crew.read() as tx:
        assert credentials.authenticate_credential(tx, secret) is None


@pytest.mark.proves("R67")
def test_switching_an_account_on_needs_its_rights(crew: AccountsHarness) -> None:
    crew.execute("paul", assignments.grant_roles, ["PROJECT_EXECUTOR"], "p1", ROBOT)
    crew.execute("admin", accounts.set_service_account_active, "robot", False)
    result = crew.execute("admin", accounts.set_service_account_active, "robot", True)
    with pytest.raises(Escalation, match="every right"):
        crew.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
    with crew.read() as tx:
        assert not tx.rights(ROBOT).active
    crew.execute(OPERATOR, accounts.set_service_account_active, "robot", True)


@pytest.mark.proves("R77")
@pytest.mark.parametrize("channel", [Channel.CLI, Channel.KERNEL])
def test_a_credential_waits_for_confirmation_and_is_shown_to_who_confirms(
    crew: AccountsHarness, channel: Channel
) -> None:
    result = crew.execute(crew.actor("admin", channel), credentials.issue_credential, "robot")
    assert result.pending_id
    assert "credential" not in result.data
    assert (
        crew.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
        .data["credential"]
        .startswith("aizen-sa-")
    )


@pytest.mark.parametrize("life", [timedelta(), timedelta(days=400), timedelta(seconds=-1)])
def test_a_credential_lives_a_bounded_time(crew: AccountsHarness, life: timedelta) -> None:
    with pytest.raises(BadInput):
        crew.execute("admin", credentials.issue_credential, "robot", life)


def test_deleting_the_controller_of_an_account_leaves_it_without_one(crew: AccountsHarness) -> None:
    crew.grant("AIZEN_ADMIN", SYSTEM, "tim")
    crew.execute("tim", accounts.create_service_account, "daemon")
    crew.run_command("admin", "delete user tim")
    with crew.read() as tx:
        assert identities.get_service_account(tx, "daemon").controller is None


def test_built_in_ones_stay(crew: AccountsHarness) -> None:
    for table in (tables.groups, tables.service_accounts):
        crew.execute(OPERATOR, lambda tx, t=table: tx.conn.execute(update(t).values(built_in=True)))
    with pytest.raises(Problem, match="built in"):
        crew.execute("admin", management.delete_group, "crew")
    with pytest.raises(Problem, match="built in"):
        crew.execute("admin", accounts.delete_service_account, "robot")
