"""Ways round confirmation and round the rule that nobody gives to themselves: all of them are shut."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.groups import mapping_rules as mappings
from aizen_hub.accounts.logins import logins
from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.accounts.roles import assignments, roles
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import users
from aizen_hub.problems import Denied, Escalation, NotAuthenticated, Problem
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from tests.accounts.harness import HUB, OPERATOR, House

TIM, OLGA = Identity.user("tim"), Identity.user("olga")
CREW, ADMINS = Identity.group("crew"), Identity.group("admins")
BOT = Identity.service_account("bot")
PROGRAMS = pytest.mark.parametrize("road", [Road.KERNEL, Road.CLI])
PASSWORD = "quite long, 7 words of it, unguessed"


def can(
    house: House, who: Identity | str, permission: str, scope: str = SYSTEM, later: timedelta | None = None
) -> bool:
    identity = Identity.user(who) if isinstance(who, str) else who
    with house.reading() as tx:
        asked = Request(Permission.parse(permission), scope)
        return decide(tx.rights(identity), asked, tx.now + (later or timedelta())).allowed


def waits(house: House, road: Road, act: Callable[..., Any], *args: Any, **more: Any) -> None:
    """See that an admin's act waits on a program's road, needs a fresh sign-in in the panel, and is done after it."""
    before = house.state()
    with pytest.raises(Denied) as caught:
        house.do(house.actor("admin", fresh_until=None), act, *args, **more)
    assert caught.value.more["reason"] == "fresh-login-required"
    held = house.do(house.actor("admin", road), act, *args, **more)
    assert held.pending
    after = house.state()
    assert {name for name in after if after[name] != before[name]} == {"pending"}
    house.do("admin", carry_out.confirm, held.pending)


def at_once(house: House, act: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """See that an admin's ordinary act is one step on every road."""
    for actor in (house.actor("admin", Road.KERNEL), house.actor("admin", Road.CLI)):
        with house.writing(actor) as tx:
            point = tx.conn.begin_nested()
            assert not getattr(act(tx, *args, **more), "pending", None)
            point.rollback()
            tx.change("taken-back", {}, ["*"])
    return house.do(house.actor("admin", fresh_until=None), act, *args, **more)


class TestClones:
    """A custom role that gives what only a confirmed role gives is worth as much as that role."""

    @PROGRAMS
    @pytest.mark.parametrize("permissions", [None, ["manage:users"], ["read:audit"]])
    @pytest.mark.proves("R67", "R77", "T-04")
    def test_it_waits_like_the_role_it_is_made_from(
        self, town: House, road: Road, permissions: list[str] | None
    ) -> None:
        if permissions is None:
            town.do("admin", roles.clone, "AIZEN_ADMIN", "HELPER")
        else:
            town.do(OPERATOR, roles.create, "HELPER", permissions=permissions, scopes=["system"])
        waits(town, road, assignments.grant, ["HELPER"], SYSTEM, TIM)
        assert town.roles_of("tim") == {"HELPER"}
        waits(town, road, assignments.revoke, ["HELPER"], SYSTEM, TIM)
        assert town.roles_of("tim") == set()

    @PROGRAMS
    @pytest.mark.proves("R67", "R77", "T-04")
    def test_neither_does_it_grow_where_it_is_assigned(self, town: House, road: Road) -> None:
        town.do(OPERATOR, roles.create, "HELPER", permissions=["list:users"], scopes=["system"])
        more = ["list:users", "manage:users"]
        at_once(town, roles.alter, "HELPER", permissions=["grant:roles", "list:users"])
        at_once(town, assignments.grant, ["HELPER"], SYSTEM, TIM)
        waits(town, road, roles.alter, "HELPER", permissions=more)
        assert can(town, "tim", "manage:users")
        waits(town, road, roles.alter, "HELPER", permissions=["list:users"])
        assert not can(town, "tim", "manage:users")
        at_once(town, roles.alter, "HELPER", description="other words")

    @pytest.mark.proves("R77")
    def test_a_changed_role_is_not_confirmed_as_it_was_meant_before(self, make_house: Callable[..., House]) -> None:
        # Not in a trial: a version is the revision of a transaction, and all of a trial is one.
        house = make_house()
        house.people("tim")
        house.do(OPERATOR, roles.create, "HELPER", permissions=["list:users"], scopes=["system"])
        house.give("HELPER", SYSTEM, "tim")
        held = house.do(house.actor("admin", Road.CLI), roles.alter, "HELPER", permissions=["manage:users"])
        house.do("admin", roles.alter, "HELPER", permissions=["list:roles"])
        with pytest.raises(Problem, match="changed in between"):
            house.do("admin", carry_out.confirm, held.pending)
        assert not can(house, "tim", "manage:users")
        assert can(house, "tim", "list:roles")

    def test_an_ordinary_custom_role_is_given_at_once(self, town: House) -> None:
        town.do("admin", roles.create, "READER", permissions=["list:users"], scopes=["system"])
        at_once(town, assignments.grant, ["READER"], SYSTEM, TIM)
        assert town.roles_of("tim") == {"READER"}

    @pytest.mark.proves("R70")
    def test_nobody_acts_for_its_holder(self, make_house: Callable[..., House]) -> None:
        from aizen_hub.accounts.sessions.impersonation import _need_harmless

        house = make_house()
        house.people("tim")
        house.do(OPERATOR, roles.clone, "AIZEN_ADMIN", "HELPER")
        house.do(OPERATOR, _need_harmless, TIM, "impersonate:users")
        house.give("HELPER", SYSTEM, "tim")
        with pytest.raises(Escalation, match="HELPER"):
            house.do(OPERATOR, _need_harmless, TIM, "impersonate:users")


@pytest.fixture
def crews(town: House) -> House:
    """The town with the empty group `crew`, and `inner`, in which nobody is, inside `admins`, which has AIZEN_ADMIN."""
    for name in ("crew", "inner", "admins"):
        town.do(OPERATOR, groups.create, name)
    town.do(OPERATOR, groups.add_member, "admins", Identity.group("inner"))
    town.give("AIZEN_ADMIN", SYSTEM, ADMINS)
    return town


class TestGroups:
    """A membership hands on what the group holds."""

    @PROGRAMS
    @pytest.mark.parametrize("group", ["admins", "inner"])
    @pytest.mark.proves("R66", "R77", "T-04")
    def test_joining_and_leaving_wait_where_the_group_is_confirmed(self, crews: House, road: Road, group: str) -> None:
        waits(crews, road, groups.add_member, group, TIM)
        assert crews.roles_of("tim") == {"AIZEN_ADMIN"}
        waits(crews, road, groups.remove_member, group, TIM)
        assert crews.roles_of("tim") == set()
        waits(crews, road, groups.add_member, group, CREW)

    @PROGRAMS
    @pytest.mark.proves("R66", "R77")
    def test_a_default_group_waits(self, crews: House, road: Road) -> None:
        waits(crews, road, groups.set_default, "admins", True)
        with crews.reading() as tx:
            assert groups.row_of(tx, "admins").is_default
        at_once(crews, groups.set_default, "admins", False)

    def test_an_ordinary_group_is_one_step(self, crews: House) -> None:
        crews.do(OPERATOR, roles.create, "LISTER", permissions=["list:users"], scopes=["system"])
        crews.give("LISTER", SYSTEM, CREW)
        at_once(crews, groups.add_member, "crew", TIM)
        at_once(crews, groups.remove_member, "crew", TIM)
        at_once(crews, groups.set_default, "crew", True)

    def test_without_confirmation_nothing_waits(self, make_house: Callable[..., House]) -> None:
        house = make_house(confirm_protected=False)
        house.people("tim")
        house.do(OPERATOR, groups.create, "admins")
        house.give("AIZEN_ADMIN", SYSTEM, ADMINS)
        assert not house.do(house.actor("admin", Road.CLI), groups.add_member, "admins", TIM).pending
        assert house.roles_of("tim") == {"AIZEN_ADMIN"}


class TestLocks:
    @pytest.fixture
    def locker(self, crews: House) -> House:
        """`tim` may lock and unlock, and holds nothing else of his own; he is in the crew, which is admin of `p1`."""
        crews.do(OPERATOR, roles.create, "LOCKER", permissions=["manage:locks"], scopes=["system"])
        crews.give("LOCKER", SYSTEM, "tim")
        crews.give("PROJECT_ADMIN", "p1", CREW)
        crews.do(OPERATOR, groups.add_member, "crew", TIM)
        return crews

    @pytest.mark.proves("R78", "R66")
    def test_a_lock_is_never_shortened(self, locker: House) -> None:
        target, soon = (LockTarget.IDENTITY, "user:carl"), locker.now() + timedelta(seconds=1)
        for ends in (None, locker.now() + timedelta(days=2)):
            locker.do(OPERATOR, locks.lock, *target, reason="stolen laptop", ends=ends)
            with pytest.raises(Escalation):
                locker.do("tim", locks.unlock, *target)
            for who in ("tim", "admin"):
                locker.do(who, locks.lock, *target, reason="x", ends=soon)
                with locker.reading() as tx:
                    (row,) = tx.conn.execute(tables.locks.select()).all()
                assert row.ends == ends
            locker.do(OPERATOR, locks.unlock, *target)
        locker.do("tim", locks.lock, *target, reason="x", ends=soon)
        locker.do("tim", locks.lock, *target, reason="x", ends=soon + timedelta(days=1))
        with locker.reading() as tx:
            (row,) = tx.conn.execute(tables.locks.select()).all()
        assert row.ends == soon + timedelta(days=1), "a longer one takes its place"

    @pytest.mark.proves("R78", "R66", "R68")
    @pytest.mark.parametrize("target", [CREW, Identity.group("above"), BOT])
    def test_nobody_unlocks_what_is_their_own(self, locker: House, target: Identity) -> None:
        if target == BOT:
            locker.do(OPERATOR, service_accounts.create, "bot")
            accounts = tables.service_accounts
            locker.do(OPERATOR, lambda tx: tx.conn.execute(accounts.update().values(controller="user:tim")))
            locker.give("PROJECT_READER", "p1", BOT)
        elif target != CREW:
            locker.do(OPERATOR, groups.create, target.name)
            locker.give("PROJECT_READER", "p1", target)
            locker.do(OPERATOR, groups.add_member, target.name, CREW)
        locker.do(OPERATOR, locks.lock, LockTarget.IDENTITY, str(target), reason="incident")
        with pytest.raises(Escalation):
            locker.do("tim", locks.unlock, LockTarget.IDENTITY, str(target))
        assert not can(locker, target, "read:training", "p1")

    @pytest.mark.proves("R78", "R68")
    def test_what_comes_back_with_the_lock_does_not_speak_for_the_actor(self, locker: House) -> None:
        locker.do(OPERATOR, groups.add_member, "crew", OLGA)
        locker.give("PROJECT_ADMIN", "p1", "rita")
        locker.do(OPERATOR, locks.lock, LockTarget.IDENTITY, str(CREW), reason="incident")
        locker.do(OPERATOR, locks.lock, LockTarget.IDENTITY, "user:rita", reason="incident")
        with pytest.raises(Escalation):
            locker.do("tim", locks.unlock, LockTarget.IDENTITY, "user:rita")
        assert not can(locker, "tim", "grant:project", "p1")

    @PROGRAMS
    @pytest.mark.proves("R78", "R77")
    def test_an_admin_is_let_in_again_with_confirmation(self, crews: House, road: Road) -> None:
        crews.do(OPERATOR, groups.add_member, "inner", TIM)
        crews.give("AIZEN_ADMIN", SYSTEM, "zoe")
        for one in ("user:zoe", "user:tim", "group:admins"):
            crews.do(OPERATOR, locks.lock, LockTarget.IDENTITY, one, reason="x")
            waits(crews, road, locks.unlock, LockTarget.IDENTITY, one)
            with crews.reading() as tx:
                assert not locks.locked_names(tx, LockTarget.IDENTITY)

    def test_anybody_else_is_let_in_at_once(self, crews: House) -> None:
        for one in ("user:tim", "group:crew"):
            crews.do("admin", locks.lock, LockTarget.IDENTITY, one, reason="x")
            at_once(crews, locks.unlock, LockTarget.IDENTITY, one)

    def test_a_lock_that_has_ended_is_cleared_away_by_anybody_who_may(self, locker: House) -> None:
        locker.do(OPERATOR, locks.lock, LockTarget.IDENTITY, str(CREW), reason="x")
        locker.do(OPERATOR, lambda tx: tx.conn.execute(tables.locks.update().values(ends=tx.now)))
        locker.do("tim", locks.unlock, LockTarget.IDENTITY, str(CREW))


class TestActivationLinks:
    @pytest.fixture
    def desk(self, crews: House) -> House:
        """`tim` manages users; `bob` and `root2` have local accounts, and `root2` is an admin through a group."""
        crews.do(OPERATOR, roles.create, "DESK", permissions=["manage:users"], scopes=["system"])
        crews.give("DESK", SYSTEM, "tim")
        for name in ("bob", "root2"):
            crews.do(OPERATOR, users.create, name, provider="local", password=PASSWORD)
        crews.do(OPERATOR, groups.add_member, "inner", Identity.user("root2"))
        return crews

    def redeem(self, desk: House, token: str) -> bool:
        try:
            return bool(desk.do(HUB, activation.redeem, token, f"{PASSWORD} {token[:5]}"))
        except NotAuthenticated:
            return False

    def link(self, desk: House, who: str = "tim", road: Road = Road.PANEL, **more: Any) -> str:
        made = desk.do(desk.actor(who, road, **more), activation.reissue, "bob")
        return str(made.data["activation"]["token"])

    @PROGRAMS
    @pytest.mark.proves("R66", "R77")
    def test_that_of_an_admin_waits(self, desk: House, road: Road) -> None:
        waits(desk, road, activation.reissue, "root2")
        with desk.reading() as tx:
            assert tx.conn.execute(tables.activations.select()).first() is not None

    def test_what_is_confirmed_is_shown_to_who_confirms(self, desk: House) -> None:
        held = desk.do(desk.actor("admin", Road.KERNEL), activation.reissue, "root2")
        assert "activation" not in held.data
        (shown,) = desk.do("admin", carry_out.confirm, held.pending).data["activations"]
        assert shown["user"] == "root2"
        assert self.redeem(desk, shown["token"])

    @pytest.mark.parametrize("road", [Road.KERNEL, Road.CLI, Road.SERVICE_ACCOUNT])
    @pytest.mark.parametrize("confirm", [True, False])
    @pytest.mark.proves("R77")
    def test_no_program_takes_over_the_account_it_runs_for(
        self, make_house: Callable[..., House], road: Road, confirm: bool
    ) -> None:
        house = make_house(admin_user="local:root", confirm_protected=confirm)
        house.do(OPERATOR, users.create, "root", provider="local", password=PASSWORD)
        house.give("AIZEN_ADMIN", SYSTEM, "root")
        with pytest.raises(Denied, match="in the panel"):
            house.do(house.actor("root", road), activation.reissue, "root")
        with pytest.raises(Denied, match="fresh sign-in"):
            house.do(house.actor("root", fresh_until=None), activation.reissue, "root")
        assert house.do("root", activation.reissue, "root").data["activation"]

    def test_that_of_anybody_else_is_one_step(self, desk: House) -> None:
        assert at_once(desk, activation.reissue, "bob").data["activation"]
        assert at_once(desk, users.create, "ben", provider="local", roles=["PROJECT_CREATOR"]).data["activation"]

    @pytest.mark.proves("R66", "R67")
    @pytest.mark.parametrize("how", ["role", "group", "project role"])
    def test_it_dies_when_the_account_gets_what_its_maker_lacks(self, desk: House, how: str) -> None:
        token = self.link(desk)
        match how:
            case "role":
                desk.give("AIZEN_ADMIN", SYSTEM, "bob")
            case "group":
                desk.do(OPERATOR, groups.add_member, "inner", Identity.user("bob"))
            case _:
                desk.give("PROJECT_READER", "p1", "bob", interval=Interval(desk.now() + timedelta(days=1), None))
        assert not self.redeem(desk, token)

    @pytest.mark.proves("R66")
    @pytest.mark.parametrize("how", ["revoked", "locked", "deleted"])
    def test_it_dies_with_its_maker_s_right_to_make_it(self, desk: House, how: str) -> None:
        token = self.link(desk)
        match how:
            case "revoked":
                desk.do(OPERATOR, assignments.revoke, ["DESK"], SYSTEM, TIM)
            case "locked":
                desk.do(OPERATOR, locks.lock, LockTarget.IDENTITY, "user:tim", reason="x")
            case _:
                desk.do(OPERATOR, users.remove, ["tim"])
        assert not self.redeem(desk, token)

    @pytest.mark.proves("R77")
    @pytest.mark.parametrize(
        ("road", "fresh", "good"), [(Road.KERNEL, False, False), (Road.PANEL, False, False), (Road.PANEL, True, True)]
    )
    def test_one_that_a_program_may_have_does_not_outlive_a_promotion(
        self, desk: House, road: Road, fresh: bool, good: bool
    ) -> None:
        more = {} if fresh else {"fresh_until": None}
        token = self.link(desk, "admin", road, **more)
        held = desk.do(
            desk.actor("admin", Road.KERNEL), assignments.grant, ["AIZEN_ADMIN"], SYSTEM, Identity.user("bob"),
            in_file=True,
        )  # fmt: skip
        desk.do("admin", carry_out.confirm, held.pending)
        assert self.redeem(desk, token) is good

    @pytest.mark.parametrize(
        "place", [("PROJECT_CREATOR", SYSTEM), ("PROJECT_ADMIN", "p1"), ("PROJECT_EXECUTOR", "p1"), ("LISTER", "p1")]
    )
    def test_what_its_maker_might_give_leaves_it_good(self, desk: House, place: tuple[str, str]) -> None:
        desk.do(OPERATOR, roles.create, "LISTER", permissions=["list:users"])
        token = self.link(desk, "admin", Road.CLI)
        desk.give(*place, "bob")
        assert self.redeem(desk, token)

    def test_new_users_who_are_admins_by_a_default_group_are_invited_at_once(
        self, make_house: Callable[..., House]
    ) -> None:
        house = make_house()
        house.do(OPERATOR, groups.create, "admins")
        house.give("AIZEN_ADMIN", SYSTEM, ADMINS)
        house.do(OPERATOR, groups.set_default, "admins", True)
        made = house.do(house.actor("admin", Road.CLI), users.create, "ben", provider="local")
        assert self.redeem(house, made.data["activation"]["token"])


class TestGivingToOneself:
    @pytest.mark.proves("R66", "R68")
    def test_through_an_account_for_which_one_made_a_credential(self, town: House) -> None:
        town.people("otto")
        town.give("AIZEN_ADMIN", SYSTEM, "otto")
        town.do("otto", service_accounts.create, "bot")
        town.do("admin", assignments.grant, ["PROJECT_ADMIN"], "p1", BOT)
        town.do("admin", assignments.revoke, ["PROJECT_ADMIN"], "p1", BOT)
        made = town.do("admin", service_accounts.issue, "bot")
        with pytest.raises(Escalation, match="themselves"):
            town.do("admin", assignments.grant, ["PROJECT_ADMIN"], "p1", BOT)
        town.do("admin", groups.create, "crew")
        town.do(OPERATOR, groups.add_member, "crew", BOT)
        with pytest.raises(Escalation, match="themselves"):
            town.do("admin", assignments.grant, ["PROJECT_ADMIN"], "p1", CREW)
        town.do("admin", service_accounts.revoke, "bot", made.data["id"])
        town.do("admin", assignments.grant, ["PROJECT_ADMIN"], "p1", BOT)

    @pytest.mark.proves("R66", "R68")
    def test_a_credential_that_has_ended_counts_no_more(self, town: House) -> None:
        town.people("otto")
        town.give("AIZEN_ADMIN", SYSTEM, "otto")
        town.do("otto", service_accounts.create, "bot")
        town.do("admin", service_accounts.issue, "bot")
        town.do(OPERATOR, lambda tx: tx.conn.execute(tables.credentials.update().values(expires=tx.now)))
        town.do("admin", assignments.grant, ["PROJECT_ADMIN"], "p1", BOT)

    @pytest.mark.proves("R66")
    def test_who_confirms_is_who_made_it(self, town: House) -> None:
        town.give("AIZEN_ADMIN", SYSTEM, "olga")
        town.do(OPERATOR, service_accounts.create, "bot")
        held = town.do(town.actor("olga", Road.CLI), service_accounts.issue, "bot")
        town.do("admin", carry_out.confirm, held.pending)
        with pytest.raises(Escalation):
            town.do("admin", assignments.grant, ["PROJECT_ADMIN"], "p1", BOT)
        town.do("olga", assignments.grant, ["PROJECT_ADMIN"], "p1", BOT)

    @pytest.mark.proves("R66", "R67", "R68", "T-04")
    def test_through_a_group_that_a_directory_reports(self, town: House) -> None:
        town.do(HUB, logins.report, "ldap", "s-admin", "admin", "", None, ["platform"])
        with pytest.raises(Escalation):
            town.do("admin", mappings.put, "ldap", "platform", "PROJECT_ADMIN", "p1")
        town.do("admin", groups.create, "platform", provider="ldap")
        with pytest.raises(Escalation, match="themselves"):
            town.do("admin", assignments.grant, ["PROJECT_ADMIN"], "p1", Identity.group("platform"))
        town.do(HUB, logins.report, "ldap", "s-admin", "admin", "", None, ["platform"])
        assert not can(town, "admin", "execute:training", "p1")

    def test_a_group_of_another_provider_or_of_ours_is_no_group_of_theirs(self, town: House) -> None:
        town.do(HUB, logins.report, "ldap", "s-admin", "admin", "", None, ["platform", "crew"])
        town.do("admin", groups.create, "crew")
        town.do("admin", groups.create, "platform", provider="idp")
        for name in ("platform", "crew"):
            town.do("admin", assignments.grant, ["PROJECT_ADMIN"], "p1", Identity.group(name))

    @pytest.mark.proves("R66", "R67", "R68", "T-04")
    @pytest.mark.parametrize("through", [TIM, CREW])
    def test_by_making_for_good_what_one_holds_for_a_day(self, town: House, through: Identity) -> None:
        town.do(OPERATOR, groups.create, "crew")
        town.do(OPERATOR, groups.add_member, "crew", TIM)
        more = ["manage:users", "read:audit"]
        town.do(OPERATOR, roles.create, "KEEPER", permissions=["manage:roles"], scopes=["system"])
        town.do(OPERATOR, roles.create, "TEMP", permissions=more, scopes=["system"])
        town.give("KEEPER", SYSTEM, through)
        town.give("TEMP", SYSTEM, "tim", interval=Interval(None, town.now() + timedelta(days=1)))
        with pytest.raises(Escalation, match="for yourself"):
            town.do("tim", roles.alter, "KEEPER", permissions=["manage:roles", *more])
        assert not can(town, "tim", "manage:users", later=timedelta(days=30))
        town.do("tim", roles.alter, "KEEPER", permissions=["manage:roles"], description="other words")


@PROGRAMS
@pytest.mark.proves("R66", "R77")
def test_an_account_with_a_confirmed_role_is_switched_on_with_confirmation(town: House, road: Road) -> None:
    town.do(OPERATOR, service_accounts.create, "bot")
    at_once(town, service_accounts.set_active, "bot", False)
    at_once(town, service_accounts.set_active, "bot", True)
    town.give("AIZEN_ADMIN", SYSTEM, BOT)
    at_once(town, service_accounts.set_active, "bot", False)
    waits(town, road, service_accounts.set_active, "bot", True)
    assert can(town, BOT, "manage:users")


@pytest.mark.proves("R70")
def test_nobody_decides_in_another_s_name(town: House) -> None:
    asked = town.do("rita", requests.ask, "PROJECT_EXECUTOR", "p1").data["request"]
    held = town.do(town.actor("admin", Road.KERNEL), service_accounts.create, "bot")
    held = town.do(town.actor("admin", Road.KERNEL), service_accounts.issue, "bot").pending
    agent = Identity.service_account("agent")
    for who, act, number in (("rita", requests.withdraw, asked), ("admin", pending.reject, held)):
        with pytest.raises(Denied, match="acts for somebody else"):
            town.do(Actor(Identity.user(who), Road.KERNEL, acting=agent), act, number)
        town.do(town.actor(who, Road.KERNEL), act, number)
