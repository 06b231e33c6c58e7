"""Indirect ways around confirmation, and around the rule that no user grants to themselves: all are closed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.accounts import command_handlers, identities, pending_changes
from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.groups import management, mapping_rules, membership
from aizen_hub.accounts.logins import login_report
from aizen_hub.accounts.roles import access_requests, assignments, custom_roles
from aizen_hub.accounts.service_accounts import accounts as service_account_management
from aizen_hub.accounts.service_accounts import credentials
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.authorization import lock_state
from aizen_hub.problems import Denied, Escalation, NotAuthenticated, Problem
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness

TIM, OLGA = Identity.user("tim"), Identity.user("olga")
CREW, ADMINS = Identity.group("crew"), Identity.group("admins")
BOT = Identity.service_account("bot")
PROGRAMS = pytest.mark.parametrize("channel", [Channel.KERNEL, Channel.CLI])
PASSWORD = "quite long, 7 words of it, unguessed"


def can(
    harness: AccountsHarness, who: Identity | str, permission: str, scope: str = SYSTEM, later: timedelta | None = None
) -> bool:
    identity = Identity.user(who) if isinstance(who, str) else who
    with harness.read() as tx:
        request = AuthorizationRequest(Permission.parse(permission), scope)
        return decide(tx.rights(identity), request, tx.now + (later or timedelta())).allowed


def assert_requires_confirmation(
    harness: AccountsHarness, channel: Channel, operation: Callable[..., Any], *args: Any, **kwargs: Any
) -> None:
    """Check that an operation is pending from a program, needs a recent login in the panel, and can be confirmed."""
    before = harness.state()
    with pytest.raises(Denied) as caught:
        harness.execute(harness.actor("admin", recent_login_until=None), operation, *args, **kwargs)
    assert caught.value.extensions["reason"] == "fresh-login-required"
    result = harness.execute(harness.actor("admin", channel), operation, *args, **kwargs)
    assert result.pending_id
    after = harness.state()
    assert {name for name in after if after[name] != before[name]} == {"pending_changes"}
    harness.execute("admin", command_handlers.confirm_pending_change, result.pending_id)


def assert_immediate(harness: AccountsHarness, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """See that an admin's ordinary act is one step on every channel."""
    for actor in (harness.actor("admin", Channel.KERNEL), harness.actor("admin", Channel.CLI)):
        with harness.write(actor) as tx:
            savepoint = tx.conn.begin_nested()
            assert not getattr(operation(tx, *args, **kwargs), "pending_id", None)
            savepoint.rollback()
            tx.record_change("rolled-back", {}, ["*"])
    return harness.execute(harness.actor("admin", recent_login_until=None), operation, *args, **kwargs)


class TestClones:
    """A custom role with a right of a protected role is protected like it."""

    @PROGRAMS
    @pytest.mark.parametrize("permissions", [None, ["manage:users"], ["read:audit"]])
    @pytest.mark.proves("R67", "R77", "T-04")
    def test_it_is_protected_like_its_original(
        self, sandbox: AccountsHarness, channel: Channel, permissions: list[str] | None
    ) -> None:
        if permissions is None:
            sandbox.execute("admin", custom_roles.clone_role, "AIZEN_ADMIN", "HELPER")
        else:
            sandbox.execute(OPERATOR, custom_roles.create_role, "HELPER", permissions=permissions, scopes=["system"])
        assert_requires_confirmation(sandbox, channel, assignments.grant_roles, ["HELPER"], SYSTEM, TIM)
        assert sandbox.roles_of("tim") == {"HELPER"}
        assert_requires_confirmation(sandbox, channel, assignments.revoke_roles, ["HELPER"], SYSTEM, TIM)
        assert sandbox.roles_of("tim") == set()

    @PROGRAMS
    @pytest.mark.proves("R67", "R77", "T-04")
    def test_a_change_of_an_assigned_role_is_protected(self, sandbox: AccountsHarness, channel: Channel) -> None:
        sandbox.execute(OPERATOR, custom_roles.create_role, "HELPER", permissions=["list:users"], scopes=["system"])
        more = ["list:users", "manage:users"]
        assert_immediate(sandbox, custom_roles.update_role, "HELPER", permissions=["grant:roles", "list:users"])
        assert_immediate(sandbox, assignments.grant_roles, ["HELPER"], SYSTEM, TIM)
        assert_requires_confirmation(sandbox, channel, custom_roles.update_role, "HELPER", permissions=more)
        assert can(sandbox, "tim", "manage:users")
        assert_requires_confirmation(sandbox, channel, custom_roles.update_role, "HELPER", permissions=["list:users"])
        assert not can(sandbox, "tim", "manage:users")
        assert_immediate(sandbox, custom_roles.update_role, "HELPER", description="another description")

    @pytest.mark.proves("R77")
    def test_an_outdated_change_of_a_role_cannot_be_confirmed(
        self, make_harness: Callable[..., AccountsHarness]
    ) -> None:
        # Not in the sandbox: a version is the revision of a transaction, and the sandbox is a single transaction.
        harness = make_harness()
        harness.register_users("tim")
        harness.execute(OPERATOR, custom_roles.create_role, "HELPER", permissions=["list:users"], scopes=["system"])
        harness.grant("HELPER", SYSTEM, "tim")
        result = harness.execute(
            harness.actor("admin", Channel.CLI), custom_roles.update_role, "HELPER", permissions=["manage:users"]
        )
        harness.execute("admin", custom_roles.update_role, "HELPER", permissions=["list:roles"])
        with pytest.raises(Problem, match="changed in between"):
            harness.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
        assert not can(harness, "tim", "manage:users")
        assert can(harness, "tim", "list:roles")

    def test_an_ordinary_custom_role_is_granted_immediately(self, sandbox: AccountsHarness) -> None:
        sandbox.execute("admin", custom_roles.create_role, "READER", permissions=["list:users"], scopes=["system"])
        assert_immediate(sandbox, assignments.grant_roles, ["READER"], SYSTEM, TIM)
        assert sandbox.roles_of("tim") == {"READER"}

    @pytest.mark.proves("R70")
    def test_its_holder_cannot_be_impersonated(self, make_harness: Callable[..., AccountsHarness]) -> None:
        from aizen_hub.accounts.sessions.impersonation import require_permitted_target

        harness = make_harness()
        harness.register_users("tim")
        harness.execute(OPERATOR, custom_roles.clone_role, "AIZEN_ADMIN", "HELPER")
        harness.execute(OPERATOR, require_permitted_target, TIM, "impersonate:users")
        harness.grant("HELPER", SYSTEM, "tim")
        with pytest.raises(Escalation, match="HELPER"):
            harness.execute(OPERATOR, require_permitted_target, TIM, "impersonate:users")


@pytest.fixture
def crews(sandbox: AccountsHarness) -> AccountsHarness:
    """The sandbox with the empty group `crew`, and the empty `inner` inside `admins`, which has AIZEN_ADMIN."""
    for name in ("crew", "inner", "admins"):
        sandbox.execute(OPERATOR, management.create_group, name)
    sandbox.execute(OPERATOR, membership.add_member, "admins", Identity.group("inner"))
    sandbox.grant("AIZEN_ADMIN", SYSTEM, ADMINS)
    return sandbox


class TestGroups:
    """A membership gives what the group holds."""

    @PROGRAMS
    @pytest.mark.parametrize("group", ["admins", "inner"])
    @pytest.mark.proves("R66", "R77", "T-04")
    def test_joining_and_leaving_a_protected_group_require_confirmation(
        self, crews: AccountsHarness, channel: Channel, group: str
    ) -> None:
        assert_requires_confirmation(crews, channel, membership.add_member, group, TIM)
        assert crews.roles_of("tim") == {"AIZEN_ADMIN"}
        assert_requires_confirmation(crews, channel, membership.remove_member, group, TIM)
        assert crews.roles_of("tim") == set()
        assert_requires_confirmation(crews, channel, membership.add_member, group, CREW)

    @PROGRAMS
    @pytest.mark.proves("R66", "R77")
    def test_a_protected_default_group_requires_confirmation(self, crews: AccountsHarness, channel: Channel) -> None:
        assert_requires_confirmation(crews, channel, management.set_default_group, "admins", True)
        with crews.read() as tx:
            assert identities.get_group(tx, "admins").is_default
        assert_immediate(crews, management.set_default_group, "admins", False)

    def test_an_ordinary_group_takes_one_step(self, crews: AccountsHarness) -> None:
        crews.execute(OPERATOR, custom_roles.create_role, "LISTER", permissions=["list:users"], scopes=["system"])
        crews.grant("LISTER", SYSTEM, CREW)
        assert_immediate(crews, membership.add_member, "crew", TIM)
        assert_immediate(crews, membership.remove_member, "crew", TIM)
        assert_immediate(crews, management.set_default_group, "crew", True)

    def test_nothing_is_pending_if_confirmation_is_off(self, make_harness: Callable[..., AccountsHarness]) -> None:
        harness = make_harness(confirm_protected=False)
        harness.register_users("tim")
        harness.execute(OPERATOR, management.create_group, "admins")
        harness.grant("AIZEN_ADMIN", SYSTEM, ADMINS)
        assert not harness.execute(harness.actor("admin", Channel.CLI), membership.add_member, "admins", TIM).pending_id
        assert harness.roles_of("tim") == {"AIZEN_ADMIN"}


class TestLocks:
    @pytest.fixture
    def locker(self, crews: AccountsHarness) -> AccountsHarness:
        """`tim` may lock and unlock, and holds nothing else directly; the crew, his group, is PROJECT_ADMIN of `p1`."""
        crews.execute(OPERATOR, custom_roles.create_role, "LOCKER", permissions=["manage:locks"], scopes=["system"])
        crews.grant("LOCKER", SYSTEM, "tim")
        crews.grant("PROJECT_ADMIN", "p1", CREW)
        crews.execute(OPERATOR, membership.add_member, "crew", TIM)
        return crews

    @pytest.mark.proves("R78", "R66")
    def test_a_lock_is_never_shortened(self, locker: AccountsHarness) -> None:
        target, soon = (LockTarget.IDENTITY, "user:carl"), locker.now() + timedelta(seconds=1)
        for ends in (None, locker.now() + timedelta(days=2)):
            locker.execute(OPERATOR, locks.lock_target, *target, reason="stolen laptop", ends=ends)
            for who in ("tim", "admin"):
                locker.execute(who, locks.lock_target, *target, reason="x", ends=soon)
                with locker.read() as tx:
                    (row,) = tx.conn.execute(tables.locks.select()).all()
                assert row.ends == ends
            locker.execute(OPERATOR, locks.unlock_target, *target, reason="over")
        locker.execute("tim", locks.lock_target, *target, reason="x", ends=soon)
        locker.execute("tim", locks.lock_target, *target, reason="x", ends=soon + timedelta(days=1))
        with locker.read() as tx:
            (row,) = tx.conn.execute(tables.locks.select()).all()
        assert row.ends == soon + timedelta(days=1), "a longer lock replaces it"

    @pytest.mark.proves("R78", "R66", "R68")
    @pytest.mark.parametrize("target", [CREW, Identity.group("above"), BOT])
    def test_no_user_unlocks_a_group_or_service_account_of_their_own(
        self, locker: AccountsHarness, target: Identity
    ) -> None:
        if target == BOT:
            locker.execute(OPERATOR, service_account_management.create_service_account, "bot")
            accounts = tables.service_accounts
            locker.execute(OPERATOR, lambda tx: tx.conn.execute(accounts.update().values(controller="user:tim")))
            locker.grant("PROJECT_READER", "p1", BOT)
        elif target != CREW:
            locker.execute(OPERATOR, management.create_group, target.name)
            locker.grant("PROJECT_READER", "p1", target)
            locker.execute(OPERATOR, membership.add_member, target.name, CREW)
        locker.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, str(target), reason="incident")
        with pytest.raises(Escalation):
            locker.execute("tim", locks.unlock_target, LockTarget.IDENTITY, str(target), reason="over")
        assert not can(locker, target, "read:training", "p1")

    @pytest.mark.proves("R78", "R68")
    def test_unlocking_another_user_gives_the_actor_nothing(self, locker: AccountsHarness) -> None:
        locker.execute(OPERATOR, membership.add_member, "crew", OLGA)
        locker.grant("PROJECT_ADMIN", "p1", "rita")
        locker.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, str(CREW), reason="incident")
        locker.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, "user:rita", reason="incident")
        locker.execute("tim", locks.unlock_target, LockTarget.IDENTITY, "user:rita", reason="over")
        with pytest.raises(Escalation):
            locker.execute("tim", locks.unlock_target, LockTarget.IDENTITY, str(CREW), reason="over")
        assert not can(locker, "tim", "grant:project", "p1")

    @PROGRAMS
    @pytest.mark.proves("R78", "R77")
    def test_unlocking_an_admin_requires_confirmation(self, crews: AccountsHarness, channel: Channel) -> None:
        crews.execute(OPERATOR, membership.add_member, "inner", TIM)
        crews.grant("AIZEN_ADMIN", SYSTEM, "zoe")
        for name in ("user:zoe", "user:tim", "group:admins"):
            crews.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, name, reason="x")
            assert_requires_confirmation(crews, channel, locks.unlock_target, LockTarget.IDENTITY, name, reason="over")
            with crews.read() as tx:
                assert not lock_state.locked_names(tx, LockTarget.IDENTITY)

    @PROGRAMS
    @pytest.mark.proves("R78", "R77")
    def test_unlocking_other_identities_requires_confirmation_too(
        self, crews: AccountsHarness, channel: Channel
    ) -> None:
        for name in ("user:tim", "group:crew"):
            crews.execute("admin", locks.lock_target, LockTarget.IDENTITY, name, reason="x")
            assert_requires_confirmation(crews, channel, locks.unlock_target, LockTarget.IDENTITY, name, reason="over")

    def test_an_expired_lock_is_removed_without_further_checks(self, locker: AccountsHarness) -> None:
        locker.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, str(CREW), reason="x")
        locker.execute(OPERATOR, lambda tx: tx.conn.execute(tables.locks.update().values(ends=tx.now)))
        locker.execute("tim", locks.unlock_target, LockTarget.IDENTITY, str(CREW), reason="over")


class TestActivationLinks:
    @pytest.fixture
    def desk(self, crews: AccountsHarness) -> AccountsHarness:
        """`tim` manages users; `bob` and `root2` have local accounts, and `root2` is an admin through a group."""
        crews.execute(OPERATOR, custom_roles.create_role, "DESK", permissions=["manage:users"], scopes=["system"])
        crews.grant("DESK", SYSTEM, "tim")
        for name in ("bob", "root2"):
            crews.execute(OPERATOR, registration.create_user, name, provider="local", password=PASSWORD)
        crews.execute(OPERATOR, membership.add_member, "inner", Identity.user("root2"))
        return crews

    def redeem(self, desk: AccountsHarness, token: str) -> bool:
        try:
            return bool(desk.execute(HUB, activation.redeem_link, token, f"{PASSWORD} {token[:5]}"))
        except NotAuthenticated:
            return False

    def link(self, desk: AccountsHarness, who: str = "tim", channel: Channel = Channel.PANEL, **kwargs: Any) -> str:
        result = desk.execute(desk.actor(who, channel, **kwargs), activation.reissue_link, "bob")
        return str(result.data["activation"]["token"])

    @PROGRAMS
    @pytest.mark.proves("R66", "R77")
    def test_a_link_for_an_admin_requires_confirmation(self, desk: AccountsHarness, channel: Channel) -> None:
        assert_requires_confirmation(desk, channel, activation.reissue_link, "root2")
        with desk.read() as tx:
            assert tx.conn.execute(tables.activations.select()).first() is not None

    def test_a_confirmed_link_is_shown_to_the_confirming_user(self, desk: AccountsHarness) -> None:
        result = desk.execute(desk.actor("admin", Channel.KERNEL), activation.reissue_link, "root2")
        assert "activation" not in result.data
        (shown,) = desk.execute("admin", command_handlers.confirm_pending_change, result.pending_id).data["activations"]
        assert shown["user"] == "root2"
        assert self.redeem(desk, shown["token"])

    @pytest.mark.parametrize("channel", [Channel.KERNEL, Channel.CLI, Channel.SERVICE_ACCOUNT])
    @pytest.mark.parametrize("confirm", [True, False])
    @pytest.mark.proves("R77")
    def test_no_program_takes_over_the_account_it_runs_for(
        self, make_harness: Callable[..., AccountsHarness], channel: Channel, confirm: bool
    ) -> None:
        harness = make_harness(admin_user="local:root", confirm_protected=confirm)
        harness.execute(OPERATOR, registration.create_user, "root", provider="local", password=PASSWORD)
        harness.grant("AIZEN_ADMIN", SYSTEM, "root")
        with pytest.raises(Denied, match="in the panel"):
            harness.execute(harness.actor("root", channel), activation.reissue_link, "root")
        with pytest.raises(Denied, match="recent login"):
            harness.execute(harness.actor("root", recent_login_until=None), activation.reissue_link, "root")
        assert harness.execute("root", activation.reissue_link, "root").data["activation"]

    def test_a_link_for_another_user_takes_one_step(self, desk: AccountsHarness) -> None:
        assert assert_immediate(desk, activation.reissue_link, "bob").data["activation"]
        assert assert_immediate(
            desk, registration.create_user, "ben", provider="local", roles=["PROJECT_CREATOR"]
        ).data["activation"]

    @pytest.mark.proves("R66", "R67")
    @pytest.mark.parametrize("how", ["role", "group", "project role"])
    def test_a_link_expires_when_the_account_gets_a_right_that_its_issuer_lacks(
        self, desk: AccountsHarness, how: str
    ) -> None:
        token = self.link(desk)
        match how:
            case "role":
                desk.grant("AIZEN_ADMIN", SYSTEM, "bob")
            case "group":
                desk.execute(OPERATOR, membership.add_member, "inner", Identity.user("bob"))
            case _:
                desk.grant("PROJECT_READER", "p1", "bob", interval=Interval(desk.now() + timedelta(days=1), None))
        assert not self.redeem(desk, token)

    @pytest.mark.proves("R66")
    @pytest.mark.parametrize("how", ["revoked", "locked", "deleted"])
    def test_a_link_expires_with_the_right_of_its_issuer(self, desk: AccountsHarness, how: str) -> None:
        token = self.link(desk)
        match how:
            case "revoked":
                desk.execute(OPERATOR, assignments.revoke_roles, ["DESK"], SYSTEM, TIM)
            case "locked":
                desk.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, "user:tim", reason="x")
            case _:
                desk.execute(OPERATOR, registration.delete_users, ["tim"])
        assert not self.redeem(desk, token)

    @pytest.mark.proves("R77")
    @pytest.mark.parametrize(
        ("channel", "recently_authenticated", "is_valid"),
        [(Channel.KERNEL, False, False), (Channel.PANEL, False, False), (Channel.PANEL, True, True)],
    )
    def test_a_link_that_a_program_may_know_does_not_survive_a_promotion(
        self, desk: AccountsHarness, channel: Channel, recently_authenticated: bool, is_valid: bool
    ) -> None:
        actor_fields = {} if recently_authenticated else {"recent_login_until": None}
        token = self.link(desk, "admin", channel, **actor_fields)
        result = desk.execute(
            desk.actor("admin", Channel.KERNEL), assignments.grant_roles, ["AIZEN_ADMIN"], SYSTEM, Identity.user("bob"),
            in_file=True,
        )  # fmt: skip
        desk.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
        assert self.redeem(desk, token) is is_valid

    @pytest.mark.parametrize(
        "grant", [("PROJECT_CREATOR", SYSTEM), ("PROJECT_ADMIN", "p1"), ("PROJECT_EXECUTOR", "p1"), ("LISTER", "p1")]
    )
    def test_a_link_stays_valid_if_its_issuer_could_grant_the_new_role(
        self, desk: AccountsHarness, grant: tuple[str, str]
    ) -> None:
        desk.execute(OPERATOR, custom_roles.create_role, "LISTER", permissions=["list:users"])
        token = self.link(desk, "admin", Channel.CLI)
        desk.grant(*grant, "bob")
        assert self.redeem(desk, token)

    def test_new_users_who_are_admins_by_a_default_group_are_invited_immediately(
        self, make_harness: Callable[..., AccountsHarness]
    ) -> None:
        harness = make_harness()
        harness.execute(OPERATOR, management.create_group, "admins")
        harness.grant("AIZEN_ADMIN", SYSTEM, ADMINS)
        harness.execute(OPERATOR, management.set_default_group, "admins", True)
        result = harness.execute(harness.actor("admin", Channel.CLI), registration.create_user, "ben", provider="local")
        assert self.redeem(harness, result.data["activation"]["token"])


class TestGrantsToOneself:
    @pytest.mark.proves("R66", "R68")
    def test_through_an_account_with_a_credential_issued_by_the_actor(self, sandbox: AccountsHarness) -> None:
        sandbox.register_users("otto")
        sandbox.grant("AIZEN_ADMIN", SYSTEM, "otto")
        sandbox.execute("otto", service_account_management.create_service_account, "bot")
        sandbox.execute("admin", assignments.grant_roles, ["PROJECT_ADMIN"], "p1", BOT)
        sandbox.execute("admin", assignments.revoke_roles, ["PROJECT_ADMIN"], "p1", BOT)
        credential = sandbox.execute("admin", credentials.issue_credential, "bot")
        result = sandbox.execute("admin", assignments.grant_roles, ["PROJECT_ADMIN"], "p1", BOT)
        with pytest.raises(Escalation, match="yourself"):
            sandbox.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
        sandbox.execute("admin", management.create_group, "crew")
        sandbox.execute(OPERATOR, membership.add_member, "crew", BOT)
        with pytest.raises(Escalation, match="yourself"):
            sandbox.execute("admin", assignments.grant_roles, ["PROJECT_ADMIN"], "p1", CREW)
        sandbox.execute("admin", credentials.revoke_credential, "bot", credential.data["id"])
        sandbox.execute("admin", assignments.grant_roles, ["PROJECT_ADMIN"], "p1", BOT)

    @pytest.mark.proves("R66", "R68")
    def test_an_expired_credential_does_not_count(self, sandbox: AccountsHarness) -> None:
        sandbox.register_users("otto")
        sandbox.grant("AIZEN_ADMIN", SYSTEM, "otto")
        sandbox.execute("otto", service_account_management.create_service_account, "bot")
        sandbox.execute("admin", credentials.issue_credential, "bot")
        sandbox.execute(OPERATOR, lambda tx: tx.conn.execute(tables.credentials.update().values(expires=tx.now)))
        sandbox.execute("admin", assignments.grant_roles, ["PROJECT_ADMIN"], "p1", BOT)

    @pytest.mark.proves("R66")
    def test_the_confirming_user_counts_as_the_issuer(self, sandbox: AccountsHarness) -> None:
        sandbox.grant("AIZEN_ADMIN", SYSTEM, "olga")
        sandbox.execute(OPERATOR, service_account_management.create_service_account, "bot")
        result = sandbox.execute(sandbox.actor("olga", Channel.CLI), credentials.issue_credential, "bot")
        sandbox.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
        result = sandbox.execute("admin", assignments.grant_roles, ["PROJECT_ADMIN"], "p1", BOT)
        with pytest.raises(Escalation):
            sandbox.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
        sandbox.execute("olga", assignments.grant_roles, ["PROJECT_ADMIN"], "p1", BOT)

    @pytest.mark.proves("R66", "R67", "R68", "T-04")
    def test_through_a_group_that_a_directory_reports(self, sandbox: AccountsHarness) -> None:
        sandbox.execute(HUB, login_report.report_login, "ldap", "s-admin", "admin", "", None, ["platform"])
        with pytest.raises(Escalation):
            sandbox.execute("admin", mapping_rules.create_rule, "ldap", "platform", "PROJECT_ADMIN", "p1")
        sandbox.execute("admin", management.create_group, "platform", provider="ldap")
        with pytest.raises(Escalation, match="yourself"):
            sandbox.execute("admin", assignments.grant_roles, ["PROJECT_ADMIN"], "p1", Identity.group("platform"))
        sandbox.execute(HUB, login_report.report_login, "ldap", "s-admin", "admin", "", None, ["platform"])
        assert not can(sandbox, "admin", "execute:training", "p1")

    def test_a_local_group_or_one_of_another_provider_does_not_count(self, sandbox: AccountsHarness) -> None:
        sandbox.execute(HUB, login_report.report_login, "ldap", "s-admin", "admin", "", None, ["platform", "crew"])
        sandbox.execute("admin", management.create_group, "crew")
        sandbox.execute("admin", management.create_group, "platform", provider="idp")
        for name in ("platform", "crew"):
            sandbox.execute("admin", assignments.grant_roles, ["PROJECT_ADMIN"], "p1", Identity.group(name))

    @pytest.mark.proves("R66", "R67", "R68", "T-04")
    @pytest.mark.parametrize("through", [TIM, CREW])
    def test_by_making_a_temporary_right_permanent(self, sandbox: AccountsHarness, through: Identity) -> None:
        sandbox.execute(OPERATOR, management.create_group, "crew")
        sandbox.execute(OPERATOR, membership.add_member, "crew", TIM)
        more = ["manage:users", "read:audit"]
        sandbox.execute(OPERATOR, custom_roles.create_role, "KEEPER", permissions=["manage:roles"], scopes=["system"])
        sandbox.execute(OPERATOR, custom_roles.create_role, "TEMP", permissions=more, scopes=["system"])
        sandbox.grant("KEEPER", SYSTEM, through)
        sandbox.grant("TEMP", SYSTEM, "tim", interval=Interval(None, sandbox.now() + timedelta(days=1)))
        with pytest.raises(Escalation, match="for yourself"):
            sandbox.execute("tim", custom_roles.update_role, "KEEPER", permissions=["manage:roles", *more])
        assert not can(sandbox, "tim", "manage:users", later=timedelta(days=30))
        sandbox.execute(
            "tim", custom_roles.update_role, "KEEPER", permissions=["manage:roles"], description="another description"
        )


@PROGRAMS
@pytest.mark.proves("R66", "R77")
def test_enabling_an_account_with_a_protected_role_requires_confirmation(
    sandbox: AccountsHarness, channel: Channel
) -> None:
    sandbox.execute(OPERATOR, service_account_management.create_service_account, "bot")
    assert_immediate(sandbox, service_account_management.set_service_account_active, "bot", False)
    assert_immediate(sandbox, service_account_management.set_service_account_active, "bot", True)
    sandbox.grant("AIZEN_ADMIN", SYSTEM, BOT)
    assert_immediate(sandbox, service_account_management.set_service_account_active, "bot", False)
    assert_requires_confirmation(sandbox, channel, service_account_management.set_service_account_active, "bot", True)
    assert can(sandbox, BOT, "manage:users")


@pytest.mark.proves("R70")
def test_no_impersonated_user_decides_changes(sandbox: AccountsHarness) -> None:
    request_id = sandbox.execute("rita", access_requests.request_access, "PROJECT_EXECUTOR", "p1").data["request"]
    sandbox.execute(sandbox.actor("admin", Channel.KERNEL), service_account_management.create_service_account, "bot")
    pending_id = sandbox.execute(sandbox.actor("admin", Channel.KERNEL), credentials.issue_credential, "bot").pending_id
    agent = Identity.service_account("agent")
    for name, operation, change_id in (
        ("rita", access_requests.withdraw_request, request_id),
        ("admin", pending_changes.reject_change, pending_id),
    ):
        with pytest.raises(Denied, match="acting for another user"):
            sandbox.execute(Actor(Identity.user(name), Channel.KERNEL, acting=agent), operation, change_id)
        sandbox.execute(sandbox.actor(name, Channel.KERNEL), operation, change_id)
