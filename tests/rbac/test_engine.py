"""The decision engine: truth table, agreement with a reference model, consistent listing and explanation."""

from __future__ import annotations

import inspect
from datetime import datetime
from types import MappingProxyType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aizen_hub.rbac import engine
from aizen_hub.rbac.assignment import ALWAYS, Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.decision import AuthorizationRequest, Reason
from aizen_hub.rbac.default_denials import DenialKey, any_covers
from aizen_hub.rbac.engine import PathVerdict, ScopeSet, allowed_scopes, decide, effective_permissions, explain
from aizen_hub.rbac.group_closure import Membership
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.messages import MESSAGES, deny
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind
from tests.rbac.reference_model import (
    EPOCH,
    SCOPES,
    SESSION,
    USERS,
    ReferenceModel,
    hour,
    instants,
    permissions,
    reference_models,
)

ME, OTHER = Identity.user("me"), Identity.user("other")
OPS, ALL = Identity.group("ops"), Identity.group("all")
READ, WRITE, ENTER = Permission("read", "model"), Permission("write", "model"), Permission("enter", "project")
ROLES = MappingProxyType(
    {
        "reader": Role("reader", frozenset({Permission("read")}), scopes=frozenset({ScopeKind.PROJECT}), built_in=True),
        "writer": Role("writer", frozenset({Permission("read"), Permission("write")}), built_in=True),
        "empty": Role("empty"),
        "admin": Role("admin", frozenset({Permission("manage")}), scopes=frozenset({ScopeKind.SYSTEM}), built_in=True),
    }
)


def model(
    *assignments: Assignment, memberships: tuple[Membership, ...] = (), locks: tuple[Lock, ...] = ()
) -> ReferenceModel:
    return ReferenceModel(ROLES, memberships, assignments, locks)


def assignment(role: str, scope: str, identity: Identity = ME, interval: Interval = ALWAYS) -> Assignment:
    return Assignment("1", role, scope, identity, interval)


def lock(target: LockTarget, name: str, interval: Interval = ALWAYS) -> Lock:
    return Lock("9", target, name, interval, "on holiday")


REQUEST = AuthorizationRequest(READ, "p1", SESSION)
IN_OPS, OPS_IN_ALL = Membership(ME, OPS), Membership(OPS, ALL)


@pytest.mark.proves("R59", "R61", "R62", "R64")
@pytest.mark.parametrize(
    ("state", "request_", "reason"),
    [
        pytest.param(model(assignment("reader", "p1")), REQUEST, Reason.GRANTED, id="held"),
        pytest.param(model(), REQUEST, Reason.NO_ASSIGNMENT, id="nothing held"),
        pytest.param(model(assignment("reader", "p2")), REQUEST, Reason.NO_ASSIGNMENT, id="held elsewhere"),
        pytest.param(model(assignment("reader", "p1", OTHER)), REQUEST, Reason.NO_ASSIGNMENT, id="held by another"),
        pytest.param(model(assignment("writer", SYSTEM)), REQUEST, Reason.GRANTED, id="the system is the parent"),
        pytest.param(
            model(assignment("writer", "p1")),
            AuthorizationRequest(READ, SYSTEM),
            Reason.NO_ASSIGNMENT,
            id="a project role does not apply in the system",
        ),
        pytest.param(
            model(assignment("reader", SYSTEM)), REQUEST, Reason.NO_ASSIGNMENT, id="a project role at the system"
        ),
        pytest.param(model(assignment("admin", "p1")), REQUEST, Reason.NO_ASSIGNMENT, id="a system role in a project"),
        pytest.param(
            model(assignment("reader", "p1")),
            AuthorizationRequest(WRITE, "p1"),
            Reason.NO_ASSIGNMENT,
            id="another verb",
        ),
        pytest.param(model(assignment("gone", "p1")), REQUEST, Reason.NO_ASSIGNMENT, id="a role that does not exist"),
        pytest.param(
            model(assignment("empty", "p1")),
            AuthorizationRequest(ENTER, "p1"),
            Reason.NO_ASSIGNMENT,
            id="a role without rights",
        ),
        pytest.param(
            model(assignment("reader", "p1")),
            AuthorizationRequest(ENTER, "p1"),
            Reason.GRANTED,
            id="a member can enter",
        ),
        pytest.param(
            model(assignment("writer", SYSTEM)),
            AuthorizationRequest(ENTER, "p1"),
            Reason.NO_ASSIGNMENT,
            id="not a member",
        ),
        pytest.param(model(), AuthorizationRequest(None, SYSTEM), Reason.OPEN, id="open to every registered user"),
        pytest.param(
            model(assignment("reader", "p1")),
            AuthorizationRequest(READ, None),
            Reason.PROJECT_REQUIRED,
            id="no project",
        ),
        pytest.param(
            model(assignment("writer", SYSTEM)),
            AuthorizationRequest(READ, "p9", scope_exists=False),
            Reason.UNKNOWN_PROJECT,
            id="no such project",
        ),
        pytest.param(model(assignment("reader", "p1", OPS)), REQUEST, Reason.NO_ASSIGNMENT, id="not in the group"),
        pytest.param(
            model(assignment("reader", "p1", ALL), memberships=(IN_OPS, OPS_IN_ALL)),
            REQUEST,
            Reason.GRANTED,
            id="nested groups",
        ),
        pytest.param(
            model(assignment("reader", "p1", Identity.group("me"))),
            REQUEST,
            Reason.NO_ASSIGNMENT,
            id="a group with the same name",
        ),
    ],
)
def test_the_truth_table(state: ReferenceModel, request_: AuthorizationRequest, reason: Reason) -> None:
    decision = decide(state.rights(ME), request_, EPOCH)
    assert decision.reason is reason
    assert decision.allowed is (reason in {Reason.GRANTED, Reason.OPEN})


@pytest.mark.proves("R64")
@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (hour(0.999), Reason.NOT_YET),
        (hour(1), Reason.GRANTED),  # `from` is inclusive
        (hour(1.999), Reason.GRANTED),
        (hour(2), Reason.EXPIRED),  # `until` is exclusive
        (hour(99), Reason.EXPIRED),
    ],
)
def test_an_assignment_is_in_force_in_its_interval(at: datetime, reason: Reason) -> None:
    decision = decide(model(assignment("reader", "p1", interval=Interval(hour(1), hour(2)))).rights(ME), REQUEST, at)
    assert decision.reason is reason
    assert (decision.assignment_id, decision.role) == ("1", "reader")


@pytest.mark.proves("R63")
def test_an_unconfirmed_directory_membership_has_no_effect() -> None:
    seen_until = Membership(ME, OPS, Interval(ends=hour(1)))
    rights = model(assignment("reader", "p1", OPS), memberships=(seen_until,)).rights(ME)
    assert decide(rights, REQUEST, hour(0.999)).allowed
    assert decide(rights, REQUEST, hour(1)).reason is Reason.EXPIRED


@pytest.mark.proves("R78")
@pytest.mark.parametrize(
    ("active_lock", "stopped"),
    [
        (lock(LockTarget.IDENTITY, "user:me"), True),
        (lock(LockTarget.IDENTITY, "group:ops"), True),
        (lock(LockTarget.IDENTITY, "group:me"), False),
        (lock(LockTarget.PROJECT, "p1"), True),
        (lock(LockTarget.PROJECT, "p2"), False),
        (lock(LockTarget.SESSION, SESSION), True),
        (lock(LockTarget.SESSION, "s2"), False),
        (lock(LockTarget.IDENTITY, "user:me", Interval(ends=EPOCH)), False),
        (lock(LockTarget.IDENTITY, "user:me", Interval(ends=hour(1))), True),
    ],
    ids=str,
)
def test_a_lock_overrides_roles(active_lock: Lock, stopped: bool) -> None:
    rights = model(assignment("reader", "p1", OPS), memberships=(IN_OPS,), locks=(active_lock,)).rights(ME)
    decision = decide(rights, REQUEST, EPOCH)
    assert decision.allowed is not stopped
    if stopped:
        assert decision.reason is Reason.LOCKED
        assert decision.sentence.endswith(": on holiday")


@pytest.mark.proves("R78")
@pytest.mark.parametrize("name", ["group:ops", "group:all"])
def test_a_lock_on_any_group_of_the_path_suspends_the_assignment(name: str) -> None:
    group_lock = lock(LockTarget.IDENTITY, name)
    rights = model(assignment("reader", "p1", ALL), memberships=(IN_OPS, OPS_IN_ALL), locks=(group_lock,)).rights(ME)
    assert decide(rights, REQUEST, EPOCH).reason is Reason.LOCKED


def test_a_locked_group_does_not_affect_a_direct_assignment() -> None:
    direct = Assignment("2", "reader", "p1", ME)
    state = model(
        assignment("reader", "p1", OPS), direct, memberships=(IN_OPS,), locks=(lock(LockTarget.IDENTITY, "group:ops"),)
    )
    assert decide(state.rights(ME), REQUEST, EPOCH).assignment_id == "2"


@pytest.mark.proves("R59")
def test_an_unregistered_identity_is_denied_everything() -> None:
    for rights in (model().rights(ME, active=False), model(assignment("reader", "p1")).rights(ME, active=False)):
        for request in (REQUEST, AuthorizationRequest(None, SYSTEM), AuthorizationRequest(READ, None)):
            assert decide(rights, request, EPOCH).reason is Reason.NOT_ACTIVE
        assert effective_permissions(rights, "p1", EPOCH) == frozenset()


@pytest.mark.parametrize(
    ("held", "requested", "covered"),
    [
        ("read", "read:model", True),
        ("read:*", "read:model", True),
        ("*", "read:model", True),
        ("*:model", "read:model", True),
        ("*:data", "read:model", False),
        ("read:model", "read:*", False),
        ("read", "read:*", True),
        ("*:model", "*:model", True),
        ("read:model", "read", False),
        ("rea", "read:model", False),
        ("read:models", "read:model", False),
    ],
)
def test_which_permission_covers_which(held: str, requested: str, covered: bool) -> None:
    held_permission, requested_permission = Permission.parse(held), Permission.parse(requested)
    assert held_permission.covers(requested_permission) is covered
    assert any_covers(frozenset({held_permission}), requested_permission) is covered
    roles = MappingProxyType({"r": Role("r", frozenset({held_permission}))})
    rights = ReferenceModel(roles, (), (Assignment("1", "r", "p1", ME),), ()).rights(ME)
    assert decide(rights, AuthorizationRequest(requested_permission, "p1"), EPOCH).allowed is covered


@pytest.mark.parametrize(
    "text", ["", ":", "Read", "read:", ":model", "read:model:x", "re ad", "read\n", "réad", "**", "-a"]
)
def test_invalid_permissions(text: str) -> None:
    with pytest.raises(ValueError, match="is not a verb or noun"):
        Permission.parse(text)


@given(
    reference_models(),
    st.sampled_from(USERS),
    permissions,
    st.sampled_from(SCOPES),
    instants,
    st.none() | st.just(SESSION),
)
@settings(max_examples=250, deadline=None)
@pytest.mark.proves("R59", "R61")
def test_decide_agrees_with_the_reference_model(
    state: ReferenceModel, identity: Identity, requested: Permission, scope: str, now: datetime, session: str | None
) -> None:
    decision = decide(state.rights(identity), AuthorizationRequest(requested, scope, session), now)
    assert decision.allowed is state.allows(identity, requested, scope, now, session)


@given(reference_models(), st.sampled_from(USERS), permissions, instants, st.none() | st.just(SESSION), st.booleans())
@settings(max_examples=120, deadline=None)
@pytest.mark.proves("R80", "R71")
def test_listing_checking_and_explaining_agree(
    state: ReferenceModel, identity: Identity, requested: Permission, now: datetime, session: str | None, active: bool
) -> None:
    rights = state.rights(identity, active=active)
    listed = allowed_scopes(rights, requested, now, session)
    for scope in (*SCOPES, "unknown"):
        request = AuthorizationRequest(requested, scope, session)
        decision = decide(rights, request, now)
        assert (scope in listed) is decision.allowed
        assert any_covers(effective_permissions(rights, scope, now, session), requested) is decision.allowed
        explanation = explain(rights, request, now)
        assert explanation.decision == decision
        assert (explanation.winning is not None) is decision.allowed
        assert len(explanation.others) + (explanation.winning is not None) == len(rights.held_roles)
        blocking = {Reason.NOT_ACTIVE, Reason.LOCKED, Reason.ARCHIVED}
        stopped = decision.reason in blocking and decision.assignment_id is None
        assert stopped or decision.allowed is any(
            path.verdict is PathVerdict.ALLOWS
            for path in (*explanation.others, explanation.winning)
            if path is not None
        )


def test_a_listing_excludes_locked_projects_and_ended_assignments() -> None:
    above = Assignment("1", "writer", SYSTEM, ME, Interval(ends=hour(1)))
    rights = model(above, locks=(lock(LockTarget.PROJECT, "p1"),)).rights(ME)
    listed = allowed_scopes(rights, READ, EPOCH)
    assert (listed.everywhere, listed.excluded) == (True, {"p1"})
    assert "p2" in listed
    assert "p1" not in listed
    assert allowed_scopes(rights, READ, hour(1)) == ScopeSet(False)
    assert effective_permissions(rights, "p2", EPOCH) == ROLES["writer"].permissions
    assert effective_permissions(rights, "p2", hour(1)) == effective_permissions(rights, "p1", EPOCH) == frozenset()


@given(reference_models(), st.sampled_from(USERS), permissions, st.sampled_from(SCOPES), instants)
@settings(max_examples=100, deadline=None)
def test_a_denial_names_the_nearest_assignment(
    state: ReferenceModel, identity: Identity, requested: Permission, scope: str, now: datetime
) -> None:
    rights = state.rights(identity)
    decision = decide(rights, AuthorizationRequest(requested, scope), now)
    assert decision.sentence == decision.sentence.rstrip(". ")
    # An identity may have one assignment through several paths, each with its own interval.
    held_roles = [held for held in rights.held_roles if held.assignment_id == decision.assignment_id]
    match decision.reason:
        case Reason.GRANTED:
            assert any(held.is_effective(now) for held in held_roles)
        case Reason.NOT_YET | Reason.EXPIRED:
            assert any(not held.interval.includes(now) for held in held_roles)
        case Reason.NO_ASSIGNMENT:
            assert decision.assignment_id is None
            if decision.role is not None:
                in_scope = Assignment("new", decision.role, scope, identity)
                in_system = Assignment("new", decision.role, SYSTEM, identity)
                assert any(
                    decide(
                        ReferenceModel(state.roles, (), (assignment_,), ()).rights(identity),
                        AuthorizationRequest(requested, scope),
                        now,
                    ).allowed
                    for assignment_ in (in_scope, in_system)
                )


@given(reference_models(), st.sampled_from(USERS), permissions, st.sampled_from(SCOPES), instants)
@settings(max_examples=100, deadline=None)
def test_rights_only_grow_with_assignments_and_shrink_with_locks(
    state: ReferenceModel, identity: Identity, requested: Permission, scope: str, now: datetime
) -> None:
    before = decide(state.rights(identity), AuthorizationRequest(requested, scope), now).allowed
    fewer = ReferenceModel(state.roles, state.memberships, state.assignments[1:], state.locks)
    free = ReferenceModel(state.roles, state.memberships, state.assignments, ())
    assert before or not decide(fewer.rights(identity), AuthorizationRequest(requested, scope), now).allowed
    assert not before or decide(free.rights(identity), AuthorizationRequest(requested, scope), now).allowed


@given(reference_models(), st.sampled_from(USERS))
def test_rights_list_their_dependencies(state: ReferenceModel, identity: Identity) -> None:
    rights = state.rights(identity)
    assert str(identity) in rights.dependencies
    for held in rights.held_roles:
        assert f"role:{held.role}" in rights.dependencies
        assert ("project:*" if held.scope == SYSTEM else f"project:{held.scope}") in rights.dependencies
        assert {str(group) for group in held.via} <= rights.dependencies


@given(st.sampled_from(Reason))
@example(Reason.ESCALATION)
def test_every_reason_has_a_message(reason: Reason) -> None:
    assert not MESSAGES[reason].endswith(".")


def test_a_message_without_its_arguments_is_an_error() -> None:
    with pytest.raises(KeyError):
        deny(Reason.NOT_ACTIVE)


@pytest.mark.proves("R61")
def test_the_engine_uses_no_clock_and_no_io() -> None:
    source = inspect.getsource(engine)
    assert not any(word in source for word in ("now()", "time.", "open(", "import os"))


def test_the_winning_path_is_the_nearest() -> None:
    direct, indirect = Assignment("2", "writer", "p1", ME), Assignment("1", "writer", "p1", OPS)
    rights: Rights = model(indirect, direct, memberships=(IN_OPS,)).rights(ME)
    explanation = explain(rights, AuthorizationRequest(READ, "p1"), EPOCH)
    assert explanation.winning is not None
    assert explanation.winning.held_role.assignment_id == "2"
    assert [path.sentence for path in explanation.others] == ["role writer in `p1` through `group:ops` allows it"]


def test_the_denial_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aizen_hub.rbac.default_denials.MAX_ENTRIES", 3)
    rights = model().rights(ME, active=False)
    keys = [DenialKey(scope, "read", noun) for scope in ("p1", "p2", SYSTEM) for noun in ("x", "y", "z")]
    first = [rights.denials[key] for key in keys]
    assert len(rights.denials) <= 3
    assert [rights.denials[key] for key in keys] == first
