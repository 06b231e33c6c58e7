"""Compiled rights: limits with their source, holders by kind, and a decision whose cost does not grow."""

from __future__ import annotations

import time
from datetime import datetime
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.rbac.assignment import Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.engine import decide, effective_limits
from aizen_hub.rbac.escalation import Lack, may_give
from aizen_hub.rbac.group_closure import Membership, reach
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.limit import ScopeLimit
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, LimitKind, Role, ScopeKind
from tests.rbac.worlds import EPOCH, SCOPES, USERS, World, hour, instants, worlds

ME, OPS = Identity.user("me"), Identity.group("ops")
READ = Permission("read", "model")


def test_the_strictest_limit_wins_and_tells_its_source() -> None:
    """The example of the reference: an own limit of 10 with a group's limit of 5 gives 5."""
    roles = {
        "ten": Role("ten", limits={LimitKind.JOBS: 10.0}),
        "five": Role("five", limits={LimitKind.JOBS: 5.0, LimitKind.CPU: 2.0}),
        "three": Role("three", limits={LimitKind.JOBS: 3.0}),
    }
    rights = compile_rights(
        ME,
        active=True,
        paths=reach(ME, [Membership(ME, OPS, Interval(ends=hour(5)))]),
        assignments=[
            Assignment("1", "ten", SYSTEM, ME),
            Assignment("2", "five", "p1", OPS),
            Assignment("3", "three", "p2", ME),
        ],
        roles=roles,
        limits=[ScopeLimit(ME, "p1", LimitKind.CPU, 1.0), ScopeLimit(OPS, SYSTEM, LimitKind.PROJECTS, 4.0)],
    )
    found = effective_limits(rights, "p1", EPOCH)
    assert {kind: limit.value for kind, limit in found.items()} == {"jobs": 5.0, "cpu": 1.0, "projects": 4.0}
    assert found[LimitKind.JOBS].source == "role five in p1, through group:ops"
    assert found[LimitKind.CPU].source == "a limit set in p1"
    assert effective_limits(rights, "p2", EPOCH)[LimitKind.JOBS].value == 3.0
    assert effective_limits(rights, SYSTEM, EPOCH)[LimitKind.JOBS].value == 10.0
    # To get 10 one must leave the stricter group.
    assert effective_limits(rights, "p1", hour(5))[LimitKind.JOBS].value == 10.0


def test_a_lock_on_a_group_does_not_lift_its_limits() -> None:
    roles = {"five": Role("five", limits={LimitKind.JOBS: 5.0})}
    rights = compile_rights(
        ME,
        active=True,
        paths=reach(ME, [Membership(ME, OPS)]),
        assignments=[Assignment("2", "five", "p1", OPS)],
        roles=roles,
        locks=[Lock("l", LockTarget.IDENTITY, "group:ops")],
    )
    assert effective_limits(rights, "p1", EPOCH)[LimitKind.JOBS].value == 5.0


@given(worlds(), st.sampled_from(USERS), st.sampled_from(SCOPES), instants)
@settings(max_examples=150, deadline=None)
def test_limits_by_definition(state: World, who: Identity, scope: str, now: datetime) -> None:
    holders = {who} | state.groups_at(who, now, unlocked=False)
    values: dict[LimitKind, list[float]] = {}
    for one in state.assignments:
        role = state.roles.get(one.role)
        kind = ScopeKind.SYSTEM if one.scope == SYSTEM else ScopeKind.PROJECT
        if role and kind in role.scopes and one.identity in holders and one.interval.holds(now):
            for limit, value in role.limits.items() if one.scope in (scope, SYSTEM) else ():
                values.setdefault(limit, []).append(value)
    found = effective_limits(state.rights(who), scope, now)
    assert {kind: limit.value for kind, limit in found.items()} == {kind: min(all_) for kind, all_ in values.items()}


@pytest.mark.proves("R70")
def test_a_role_for_service_accounts_gives_a_person_nothing() -> None:
    impersonate = Permission("impersonate", "users")
    role = Role("impersonator", frozenset({impersonate}), holders=frozenset({Kind.SERVICE_ACCOUNT}))
    roles = {"impersonator": role, "giver": Role("giver", frozenset({Permission("*")}))}
    robot, other_robot = Identity.service_account("robot"), Identity.service_account("other")

    def rights(identity: Identity) -> Rights:
        return compile_rights(
            identity,
            active=True,
            paths=reach(identity, [Membership(identity, OPS)]),
            assignments=[Assignment("1", "impersonator", SYSTEM, one) for one in (OPS, ME, robot)],
            roles=roles,
        )

    asked = Request(impersonate, SYSTEM)
    assert decide(rights(robot), asked, EPOCH).allowed
    assert not decide(rights(ME), asked, EPOCH).allowed
    assert not decide(rights(OPS), asked, EPOCH).allowed

    giver = compile_rights(ME, active=True, paths=(), assignments=[Assignment("2", "giver", SYSTEM, ME)], roles=roles)
    assert may_give(giver, role, SYSTEM, other_robot, EPOCH) == ()
    for person in (Identity.user("you"), OPS):
        (missing,) = may_give(giver, role, SYSTEM, person, EPOCH)
        assert missing.lack is Lack.HOLDER
        assert missing.sentence == "role impersonator is only for a service-account"


def rights_with(count: int) -> Rights:
    role = Role("r", frozenset({Permission("read")}), built_in=True)
    return compile_rights(
        ME,
        active=True,
        paths=(),
        assignments=[Assignment(str(i), "r", f"p{i}", ME) for i in range(count)],
        roles=MappingProxyType({"r": role}),
    )


def cost(rights: Rights, request: Request, rounds: int = 4_000) -> float:
    """The best time of one decision, in seconds of this process."""
    best = float("inf")
    for _ in range(7):
        started = time.process_time()
        for _ in range(rounds):
            decide(rights, request, EPOCH)
        best = min(best, (time.process_time() - started) / rounds)
    return best


def test_the_cost_of_a_decision_does_not_grow_with_what_one_holds() -> None:
    few, many = rights_with(1), rights_with(3_000)
    assert cost(many, Request(READ, "p0")) < 4 * cost(few, Request(READ, "p0")) + 1e-6
    assert cost(many, Request(READ, "p2999")) < 4 * cost(few, Request(READ, "p0")) + 1e-6
    assert cost(many, Request(READ, "nowhere"), 400) < 4 * cost(few, Request(READ, "nowhere"), 400) + 1e-6
