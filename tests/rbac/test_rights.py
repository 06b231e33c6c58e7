"""Compiled rights: limits with their source, roles by identity kind, and the cost of a decision."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.rbac.assignment import Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide, effective_limits
from aizen_hub.rbac.escalation import MissingRightKind, missing_to_grant
from aizen_hub.rbac.group_closure import Membership, group_closure
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.limit import IdentityLimit
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, LimitKind, Role, ScopeKind
from tests.fixtures.timing import cpu_seconds
from tests.rbac.reference_model import EPOCH, SCOPES, USERS, ReferenceModel, hour, instants, reference_models

ME, OPS = Identity.user("me"), Identity.group("ops")
READ = Permission("read", "model")


def test_the_strictest_limit_wins_and_has_its_source() -> None:
    """The example of the reference: an own limit of 10 with a group's limit of 5 gives 5."""
    roles = {
        "ten": Role("ten", limits={LimitKind.JOBS: 10.0}),
        "five": Role("five", limits={LimitKind.JOBS: 5.0, LimitKind.CPU: 2.0}),
        "three": Role("three", limits={LimitKind.JOBS: 3.0}),
    }
    rights = compile_rights(
        ME,
        active=True,
        paths=group_closure(ME, [Membership(ME, OPS, Interval(ends=hour(5)))]),
        assignments=[
            Assignment("1", "ten", SYSTEM, ME),
            Assignment("2", "five", "p1", OPS),
            Assignment("3", "three", "p2", ME),
        ],
        roles=roles,
        limits=[IdentityLimit(ME, "p1", LimitKind.CPU, 1.0), IdentityLimit(OPS, SYSTEM, LimitKind.PROJECTS, 4.0)],
    )
    limits = effective_limits(rights, "p1", EPOCH)
    assert {kind: limit.value for kind, limit in limits.items()} == {"jobs": 5.0, "cpu": 1.0, "projects": 4.0}
    assert limits[LimitKind.JOBS].source == "role five in p1, through group:ops"
    assert limits[LimitKind.CPU].source == "a limit set in p1"
    assert effective_limits(rights, "p2", EPOCH)[LimitKind.JOBS].value == 3.0
    assert effective_limits(rights, SYSTEM, EPOCH)[LimitKind.JOBS].value == 10.0
    # The limit of 10 applies after leaving the stricter group.
    assert effective_limits(rights, "p1", hour(5))[LimitKind.JOBS].value == 10.0


def test_a_lock_on_a_group_does_not_lift_its_limits() -> None:
    roles = {"five": Role("five", limits={LimitKind.JOBS: 5.0})}
    rights = compile_rights(
        ME,
        active=True,
        paths=group_closure(ME, [Membership(ME, OPS)]),
        assignments=[Assignment("2", "five", "p1", OPS)],
        roles=roles,
        locks=[Lock("l", LockTarget.IDENTITY, "group:ops")],
    )
    assert effective_limits(rights, "p1", EPOCH)[LimitKind.JOBS].value == 5.0


@given(reference_models(), st.sampled_from(USERS), st.sampled_from(SCOPES), instants)
@settings(max_examples=150, deadline=None)
def test_limits_agree_with_the_reference_model(
    state: ReferenceModel, identity: Identity, scope: str, now: datetime
) -> None:
    holders = {identity} | state.groups_at(identity, now, skip_locked=False)
    values: dict[LimitKind, list[float]] = {}
    for assignment in state.assignments:
        role = state.roles.get(assignment.role)
        kind = ScopeKind.SYSTEM if assignment.scope == SYSTEM else ScopeKind.PROJECT
        if role and kind in role.scopes and assignment.identity in holders and assignment.interval.includes(now):
            for limit, value in role.limits.items() if assignment.scope in (scope, SYSTEM) else ():
                values.setdefault(limit, []).append(value)
    limits = effective_limits(state.rights(identity), scope, now)
    assert {kind: limit.value for kind, limit in limits.items()} == {kind: min(all_) for kind, all_ in values.items()}


@pytest.mark.proves("R70")
def test_a_role_for_service_accounts_has_no_effect_for_users() -> None:
    impersonate = Permission("impersonate", "users")
    role = Role("impersonator", frozenset({impersonate}), assignable_to=frozenset({IdentityKind.SERVICE_ACCOUNT}))
    roles = {"impersonator": role, "grantor": Role("grantor", frozenset({Permission("*")}))}
    robot, other_robot = Identity.service_account("robot"), Identity.service_account("other")

    def rights(identity: Identity) -> Rights:
        return compile_rights(
            identity,
            active=True,
            paths=group_closure(identity, [Membership(identity, OPS)]),
            assignments=[Assignment("1", "impersonator", SYSTEM, holder) for holder in (OPS, ME, robot)],
            roles=roles,
        )

    request = AuthorizationRequest(impersonate, SYSTEM)
    assert decide(rights(robot), request, EPOCH).allowed
    assert not decide(rights(ME), request, EPOCH).allowed
    assert not decide(rights(OPS), request, EPOCH).allowed

    grantor = compile_rights(
        ME, active=True, paths=(), assignments=[Assignment("2", "grantor", SYSTEM, ME)], roles=roles
    )
    assert missing_to_grant(grantor, role, SYSTEM, other_robot, EPOCH) == ()
    for identity in (Identity.user("you"), OPS):
        (missing,) = missing_to_grant(grantor, role, SYSTEM, identity, EPOCH)
        assert missing.kind is MissingRightKind.IDENTITY_KIND
        assert missing.sentence == "role impersonator can be assigned only to a service-account"


def rights_with(count: int) -> Rights:
    role = Role("r", frozenset({Permission("read")}), built_in=True)
    return compile_rights(
        ME,
        active=True,
        paths=(),
        assignments=[Assignment(str(i), "r", f"p{i}", ME) for i in range(count)],
        roles=MappingProxyType({"r": role}),
    )


def cost(rights: Rights, request: AuthorizationRequest, rounds: int = 4_000) -> float:
    """The CPU time of many decisions."""

    def decide_repeatedly() -> None:
        for _ in range(rounds):
            decide(rights, request, EPOCH)

    return cpu_seconds(decide_repeatedly, repeat=7)


def test_the_cost_of_a_decision_does_not_grow_with_the_assignments() -> None:
    few, many = rights_with(1), rights_with(3_000)
    # A cost that grew with them would be 3,000 times as high.
    assert cost(many, AuthorizationRequest(READ, "p0")) < 20 * cost(few, AuthorizationRequest(READ, "p0"))
    assert cost(many, AuthorizationRequest(READ, "p2999")) < 20 * cost(few, AuthorizationRequest(READ, "p0"))
    absent = AuthorizationRequest(READ, "nowhere")
    assert cost(many, absent, 400) < 20 * cost(few, absent, 400)
