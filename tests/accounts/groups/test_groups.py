"""Groups and service accounts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.roles import assignments, limits
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, NotFound, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.group_closure import MAX_DEPTH
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Road
from tests.accounts.harness import OPERATOR, House

TIM = Identity.user("tim")
CREW = Identity.group("crew")
ROBOT = Identity.service_account("robot")


@pytest.fixture
def crew(town: House) -> House:
    town.do("admin", groups.create, "crew")
    town.do("admin", service_accounts.create, "robot", description="nightly")
    return town


def test_a_role_reaches_through_nested_groups_and_goes_with_the_membership(crew: House) -> None:
    crew.do("admin", groups.create, "inner")
    crew.do("admin", groups.add_member, "crew", Identity.group("inner"))
    crew.do("admin", groups.add_member, "inner", TIM)
    crew.do("paul", assignments.grant, ["PROJECT_READER"], "p1", CREW)
    assert crew.roles_of("tim", "p1") == {"PROJECT_READER"}
    crew.do("admin", groups.remove_member, "inner", TIM)
    assert crew.roles_of("tim", "p1") == set()
    with pytest.raises(NotFound):
        crew.do("admin", groups.remove_member, "inner", TIM)


def test_a_group_is_never_inside_itself(crew: House) -> None:
    crew.do("admin", groups.create, "inner")
    crew.do("admin", groups.add_member, "crew", Identity.group("inner"))
    for group, member in (("crew", "crew"), ("inner", "crew")):
        with pytest.raises(Conflict, match="inside itself"):
            crew.do("admin", groups.add_member, group, Identity.group(member))


def test_what_is_nested_is_never_too_deep_to_work(crew: House) -> None:
    crew.do("paul", assignments.grant, ["PROJECT_READER"], "p1", CREW)
    outer, depth = "crew", 1
    for number in range(MAX_DEPTH + 2):
        inner = f"level{number}"
        crew.do(OPERATOR, groups.create, inner)
        try:
            crew.do(OPERATOR, groups.add_member, outer, Identity.group(inner))
        except Conflict:
            break
        outer, depth = inner, depth + 1
    assert depth >= MAX_DEPTH - 2
    crew.do(OPERATOR, groups.add_member, outer, TIM)
    assert crew.roles_of("tim", "p1") == {"PROJECT_READER"}


@pytest.mark.parametrize("who", ["carl", "paul", "emma", "zoe"])
def test_groups_are_managed_by_who_may(crew: House, who: str) -> None:
    for work, args in (
        (groups.create, ("mine",)),
        (groups.add_member, ("crew", TIM)),
        (groups.set_default, ("crew", True)),
        (groups.remove, ("crew",)),
        (groups.list_groups, ()),
        (groups.members, ("crew",)),
        (service_accounts.create, ("mine",)),
        (service_accounts.issue, ("robot",)),
        (service_accounts.remove, ("robot",)),
    ):
        with pytest.raises(Denied):
            crew.do(who, work, *args)


def test_a_directory_feeds_its_own_groups(crew: House) -> None:
    crew.do("admin", groups.create, "/Projects/Ops", provider="ldap")
    with pytest.raises(Conflict, match="come from ldap"):
        crew.do("admin", groups.add_member, "/projects/ops", TIM)
    with pytest.raises(BadInput):
        crew.do("admin", groups.create, "x1", provider="local")
    with pytest.raises(BadInput):
        crew.do("admin", groups.create, "x1", provider="nowhere")


@pytest.mark.proves("R77")
def test_a_group_mapping_waits_for_confirmation(crew: House) -> None:
    for road in (Road.CLI, Road.KERNEL):
        answer = crew.do(crew.actor("admin", road), groups.create, f"ops-{road}", provider="ldap")
        assert answer.pending
        crew.do("admin", carry_out.confirm, answer.pending)
        with crew.reading() as tx:
            assert groups.row_of(tx, f"ops-{road}").provider == "ldap"
    with pytest.raises(Denied, match="fresh"):
        crew.do(crew.actor("admin", fresh_until=None), groups.create, "later", provider="ldap")


def test_nobody_leaves_a_group_whose_limits_bind_them(crew: House) -> None:
    admin = Identity.user("admin")
    crew.do(OPERATOR, groups.add_member, "crew", admin)
    crew.do(OPERATOR, limits.put, CREW, SYSTEM, "jobs", 1)
    with pytest.raises(Escalation):
        crew.do("admin", groups.remove_member, "crew", admin)
    with pytest.raises(Escalation):
        crew.do("admin", groups.remove, "crew")
    with pytest.raises(Escalation):
        crew.do("admin", limits.put, CREW, SYSTEM, "jobs", None)
    crew.do("admin", limits.put, CREW, SYSTEM, "jobs", 0)  # stricter is fine


def test_deleting_a_group_takes_what_came_through_it(crew: House) -> None:
    crew.do("admin", groups.add_member, "crew", TIM)
    crew.do("paul", assignments.grant, ["PROJECT_READER"], "p1", CREW)
    crew.do("admin", groups.remove, "crew")
    assert crew.roles_of("tim", "p1") == set()
    with pytest.raises(Conflict):
        crew.do("admin", groups.create, "crew")


def test_a_credential_is_shown_once_and_works_until_it_ends(crew: House) -> None:
    answer = crew.do("admin", service_accounts.issue, "robot", timedelta(hours=1))
    secret, number = answer.data["credential"], answer.data["id"]
    other = crew.do("admin", service_accounts.issue, "robot").data["credential"]

    def name(credential: str) -> str | None:
        with crew.reading() as tx:
            held = service_accounts.authenticate(tx, credential)
            return None if held is None else held.account

    assert (name(secret), name(other), name(secret + "x"), name("")) == ("robot", "robot", None, None)
    assert secret not in repr(crew.state())
    assert secret not in repr(crew.do("admin", service_accounts.credentials, "robot"))
    crew.do("admin", service_accounts.revoke, "robot", number)
    assert (name(secret), name(other)) == (None, "robot")
    crew.do(OPERATOR, lambda tx: tx.conn.execute(update(tables.credentials).values(expires=tx.now)))
    assert name(other) is None


@pytest.mark.parametrize("how", ["off", "locked", "deleted"])
def test_a_stopped_account_does_not_sign_in(crew: House, how: str) -> None:
    secret = crew.do("admin", service_accounts.issue, "robot").data["credential"]
    match how:
        case "off":
            crew.do("admin", service_accounts.set_active, "robot", False)
        case "locked":
            crew.do("admin", locks.lock, LockTarget.IDENTITY, str(ROBOT), reason="x")
        case _:
            crew.do("admin", service_accounts.remove, "robot")
    with crew.reading() as tx:
        assert service_accounts.authenticate(tx, secret) is None


@pytest.mark.proves("R67")
def test_switching_an_account_on_needs_its_rights(crew: House) -> None:
    crew.do("paul", assignments.grant, ["PROJECT_EXECUTOR"], "p1", ROBOT)
    crew.do("admin", service_accounts.set_active, "robot", False)
    with pytest.raises(Escalation):
        crew.do("admin", service_accounts.set_active, "robot", True)
    crew.do(OPERATOR, service_accounts.set_active, "robot", True)


@pytest.mark.proves("R77")
@pytest.mark.parametrize("road", [Road.CLI, Road.KERNEL])
def test_a_credential_waits_for_confirmation_and_is_shown_to_who_confirms(crew: House, road: Road) -> None:
    answer = crew.do(crew.actor("admin", road), service_accounts.issue, "robot")
    assert answer.pending
    assert "credential" not in answer.data
    assert crew.do("admin", carry_out.confirm, answer.pending).data["credential"].startswith("aizen-sa-")


@pytest.mark.parametrize("life", [timedelta(), timedelta(days=400), timedelta(seconds=-1)])
def test_a_credential_lives_a_bounded_time(crew: House, life: timedelta) -> None:
    with pytest.raises(BadInput):
        crew.do("admin", service_accounts.issue, "robot", life)


def test_deleting_who_controls_an_account_leaves_it_without_control(crew: House) -> None:
    crew.give("AIZEN_ADMIN", SYSTEM, "tim")
    crew.do("tim", service_accounts.create, "daemon")
    crew.run("admin", "delete user tim")
    with crew.reading() as tx:
        assert service_accounts.row_of(tx, "daemon").controller is None


def test_built_in_ones_stay(crew: House) -> None:
    for table in (tables.groups, tables.service_accounts):
        crew.do(OPERATOR, lambda tx, t=table: tx.conn.execute(update(t).values(built_in=True)))
    with pytest.raises(Problem, match="built in"):
        crew.do("admin", groups.remove, "crew")
    with pytest.raises(Problem, match="built in"):
        crew.do("admin", service_accounts.remove, "robot")
