"""Deciding, listing and explaining: by definition, by table, and always in agreement."""

from __future__ import annotations

import inspect
from datetime import datetime
from types import MappingProxyType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aizen_hub.rbac import engine as module
from aizen_hub.rbac.assignment import ALWAYS, Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.decision import Reason, Request
from aizen_hub.rbac.default_denials import covers
from aizen_hub.rbac.engine import Scopes, Verdict, allowed_scopes, decide, effective, explain
from aizen_hub.rbac.group_closure import Membership
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.messages import SENTENCES, denied
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind
from tests.rbac.worlds import EPOCH, SCOPES, SESSION, USERS, World, hour, instants, permissions, worlds

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


def world(*assignments: Assignment, memberships: tuple[Membership, ...] = (), locks: tuple[Lock, ...] = ()) -> World:
    return World(ROLES, memberships, assignments, locks)


def holds(role: str, scope: str, identity: Identity = ME, interval: Interval = ALWAYS) -> Assignment:
    return Assignment("1", role, scope, identity, interval)


def lock(target: LockTarget, name: str, interval: Interval = ALWAYS) -> Lock:
    return Lock("9", target, name, interval, "on holiday")


ASKED = Request(READ, "p1", SESSION)
IN_OPS, OPS_IN_ALL = Membership(ME, OPS), Membership(OPS, ALL)


@pytest.mark.proves("R59", "R61", "R62", "R64")
@pytest.mark.parametrize(
    ("state", "request_", "reason"),
    [
        pytest.param(world(holds("reader", "p1")), ASKED, Reason.GRANTED, id="held"),
        pytest.param(world(), ASKED, Reason.NO_ASSIGNMENT, id="nothing held"),
        pytest.param(world(holds("reader", "p2")), ASKED, Reason.NO_ASSIGNMENT, id="held elsewhere"),
        pytest.param(world(holds("reader", "p1", OTHER)), ASKED, Reason.NO_ASSIGNMENT, id="held by another"),
        pytest.param(world(holds("writer", SYSTEM)), ASKED, Reason.GRANTED, id="the system is the parent"),
        pytest.param(world(holds("writer", "p1")), Request(READ, SYSTEM), Reason.NO_ASSIGNMENT, id="never upwards"),
        pytest.param(world(holds("reader", SYSTEM)), ASKED, Reason.NO_ASSIGNMENT, id="a project role at the system"),
        pytest.param(world(holds("admin", "p1")), ASKED, Reason.NO_ASSIGNMENT, id="a system role in a project"),
        pytest.param(world(holds("reader", "p1")), Request(WRITE, "p1"), Reason.NO_ASSIGNMENT, id="another verb"),
        pytest.param(world(holds("gone", "p1")), ASKED, Reason.NO_ASSIGNMENT, id="a role that does not exist"),
        pytest.param(
            world(holds("empty", "p1")), Request(ENTER, "p1"), Reason.NO_ASSIGNMENT, id="a role without rights"
        ),
        pytest.param(world(holds("reader", "p1")), Request(ENTER, "p1"), Reason.GRANTED, id="a member enters"),
        pytest.param(world(holds("writer", SYSTEM)), Request(ENTER, "p1"), Reason.NO_ASSIGNMENT, id="no member of it"),
        pytest.param(world(), Request(None, SYSTEM), Reason.OPEN, id="open to everybody"),
        pytest.param(world(holds("reader", "p1")), Request(READ, None), Reason.PROJECT_REQUIRED, id="no project"),
        pytest.param(
            world(holds("writer", SYSTEM)),
            Request(READ, "p9", exists=False),
            Reason.UNKNOWN_PROJECT,
            id="no such project",
        ),
        pytest.param(world(holds("reader", "p1", OPS)), ASKED, Reason.NO_ASSIGNMENT, id="a group one is not in"),
        pytest.param(
            world(holds("reader", "p1", ALL), memberships=(IN_OPS, OPS_IN_ALL)),
            ASKED,
            Reason.GRANTED,
            id="nested groups",
        ),
        pytest.param(
            world(holds("reader", "p1", Identity.group("me"))), ASKED, Reason.NO_ASSIGNMENT, id="a group of one's name"
        ),
    ],
)
def test_the_truth_table(state: World, request_: Request, reason: Reason) -> None:
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
def test_an_assignment_with_an_interval(at: datetime, reason: Reason) -> None:
    decision = decide(world(holds("reader", "p1", interval=Interval(hour(1), hour(2)))).rights(ME), ASKED, at)
    assert decision.reason is reason
    assert (decision.assignment, decision.role) == ("1", "reader")


@pytest.mark.proves("R63")
def test_a_membership_that_the_directory_no_longer_confirms_gives_nothing() -> None:
    seen_until = Membership(ME, OPS, Interval(ends=hour(1)))
    rights = world(holds("reader", "p1", OPS), memberships=(seen_until,)).rights(ME)
    assert decide(rights, ASKED, hour(0.999)).allowed
    assert decide(rights, ASKED, hour(1)).reason is Reason.EXPIRED


@pytest.mark.proves("R78")
@pytest.mark.parametrize(
    ("found", "stopped"),
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
def test_a_lock_stops_whatever_roles_say(found: Lock, stopped: bool) -> None:
    rights = world(holds("reader", "p1", OPS), memberships=(IN_OPS,), locks=(found,)).rights(ME)
    decision = decide(rights, ASKED, EPOCH)
    assert decision.allowed is not stopped
    if stopped:
        assert decision.reason is Reason.LOCKED
        assert decision.sentence.endswith(": on holiday")


@pytest.mark.proves("R78")
@pytest.mark.parametrize("name", ["group:ops", "group:all"])
def test_a_lock_on_any_group_of_the_way_stops_what_comes_through_it(name: str) -> None:
    found = lock(LockTarget.IDENTITY, name)
    rights = world(holds("reader", "p1", ALL), memberships=(IN_OPS, OPS_IN_ALL), locks=(found,)).rights(ME)
    assert decide(rights, ASKED, EPOCH).reason is Reason.LOCKED


def test_a_locked_group_does_not_stop_what_comes_another_way() -> None:
    own = Assignment("2", "reader", "p1", ME)
    state = world(
        holds("reader", "p1", OPS), own, memberships=(IN_OPS,), locks=(lock(LockTarget.IDENTITY, "group:ops"),)
    )
    assert decide(state.rights(ME), ASKED, EPOCH).assignment == "2"


@pytest.mark.proves("R59")
def test_who_is_not_registered_may_nothing_not_even_what_is_open() -> None:
    for rights in (world().rights(ME, active=False), world(holds("reader", "p1")).rights(ME, active=False)):
        for asked in (ASKED, Request(None, SYSTEM), Request(READ, None)):
            assert decide(rights, asked, EPOCH).reason is Reason.NOT_ACTIVE
        assert effective(rights, "p1", EPOCH) == frozenset()


@pytest.mark.parametrize(
    ("held", "asked", "covered"),
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
def test_what_covers_what(held: str, asked: str, covered: bool) -> None:
    one, other = Permission.parse(held), Permission.parse(asked)
    assert one.covers(other) is covered
    assert covers(frozenset({one}), other) is covered
    role = MappingProxyType({"r": Role("r", frozenset({one}))})
    rights = World(role, (), (Assignment("1", "r", "p1", ME),), ()).rights(ME)
    assert decide(rights, Request(other, "p1"), EPOCH).allowed is covered


@pytest.mark.parametrize(
    "text", ["", ":", "Read", "read:", ":model", "read:model:x", "re ad", "read\n", "réad", "**", "-a"]
)
def test_what_is_not_a_permission(text: str) -> None:
    with pytest.raises(ValueError, match="is not a verb or noun"):
        Permission.parse(text)


@given(worlds(), st.sampled_from(USERS), permissions, st.sampled_from(SCOPES), instants, st.none() | st.just(SESSION))
@settings(max_examples=250, deadline=None)
@pytest.mark.proves("R59", "R61")
def test_decide_is_the_definition(
    state: World, who: Identity, asked: Permission, scope: str, now: datetime, session: str | None
) -> None:
    decision = decide(state.rights(who), Request(asked, scope, session), now)
    assert decision.allowed is state.allows(who, asked, scope, now, session)


@given(worlds(), st.sampled_from(USERS), permissions, instants, st.none() | st.just(SESSION), st.booleans())
@settings(max_examples=120, deadline=None)
@pytest.mark.proves("R80", "R71")
def test_list_and_check_and_why_agree(
    state: World, who: Identity, asked: Permission, now: datetime, session: str | None, active: bool
) -> None:
    rights = state.rights(who, active=active)
    listed = allowed_scopes(rights, asked, now, session)
    for scope in (*SCOPES, "never-heard-of"):
        request = Request(asked, scope, session)
        decision = decide(rights, request, now)
        assert (scope in listed) is decision.allowed
        assert covers(effective(rights, scope, now, session), asked) is decision.allowed
        why = explain(rights, request, now)
        assert why.decision == decision
        assert (why.winning is not None) is decision.allowed
        assert len(why.others) + (why.winning is not None) == len(rights.held)
        stopped = decision.reason in {Reason.NOT_ACTIVE, Reason.LOCKED} and decision.assignment is None
        assert stopped or decision.allowed is any(
            path.verdict is Verdict.GIVES for path in (*why.others, why.winning) if path is not None
        )


def test_a_listing_leaves_out_what_is_locked_and_what_is_over() -> None:
    above = Assignment("1", "writer", SYSTEM, ME, Interval(ends=hour(1)))
    rights = world(above, locks=(lock(LockTarget.PROJECT, "p1"),)).rights(ME)
    listed = allowed_scopes(rights, READ, EPOCH)
    assert (listed.everywhere, listed.excepted) == (True, {"p1"})
    assert "p2" in listed
    assert "p1" not in listed
    assert allowed_scopes(rights, READ, hour(1)) == Scopes(False)
    assert effective(rights, "p2", EPOCH) == ROLES["writer"].permissions
    assert effective(rights, "p2", hour(1)) == effective(rights, "p1", EPOCH) == frozenset()


@given(worlds(), st.sampled_from(USERS), permissions, st.sampled_from(SCOPES), instants)
@settings(max_examples=100, deadline=None)
def test_a_denial_names_what_came_nearest(
    state: World, who: Identity, asked: Permission, scope: str, now: datetime
) -> None:
    rights = state.rights(who)
    decision = decide(rights, Request(asked, scope), now)
    assert decision.sentence == decision.sentence.rstrip(". ")
    # One assignment may reach a person by several ways, each with its own time.
    ways = [held for held in rights.held if held.assignment == decision.assignment]
    match decision.reason:
        case Reason.GRANTED:
            assert any(held.gives(now) for held in ways)
        case Reason.NOT_YET | Reason.EXPIRED:
            assert any(not held.interval.holds(now) for held in ways)
        case Reason.NO_ASSIGNMENT:
            assert decision.assignment is None
            if decision.role is not None:
                with_it = Assignment("new", decision.role, scope, who)
                above = Assignment("new", decision.role, SYSTEM, who)
                assert any(
                    decide(World(state.roles, (), (one,), ()).rights(who), Request(asked, scope), now).allowed
                    for one in (with_it, above)
                )


@given(worlds(), st.sampled_from(USERS), permissions, st.sampled_from(SCOPES), instants)
@settings(max_examples=100, deadline=None)
def test_rights_only_grow_with_assignments_and_shrink_with_locks(
    state: World, who: Identity, asked: Permission, scope: str, now: datetime
) -> None:
    before = decide(state.rights(who), Request(asked, scope), now).allowed
    fewer = World(state.roles, state.memberships, state.assignments[1:], state.locks)
    free = World(state.roles, state.memberships, state.assignments, ())
    assert before or not decide(fewer.rights(who), Request(asked, scope), now).allowed
    assert not before or decide(free.rights(who), Request(asked, scope), now).allowed


@given(worlds(), st.sampled_from(USERS))
def test_rights_name_all_that_they_were_made_from(state: World, who: Identity) -> None:
    rights = state.rights(who)
    assert str(who) in rights.uses
    for held in rights.held:
        assert f"role:{held.role}" in rights.uses
        assert ("project:*" if held.scope == SYSTEM else f"project:{held.scope}") in rights.uses
        assert {str(group) for group in held.via} <= rights.uses


@given(st.sampled_from(Reason))
@example(Reason.ESCALATION)
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    assert not SENTENCES[reason].endswith(".")


def test_a_sentence_without_its_facts_is_a_mistake_not_a_gap() -> None:
    with pytest.raises(KeyError):
        denied(Reason.NOT_ACTIVE)


@pytest.mark.proves("R61")
def test_deciding_reads_no_clock_and_no_file() -> None:
    source = inspect.getsource(module)
    assert not any(word in source for word in ("now()", "time.", "open(", "import os"))


def test_the_winner_is_the_nearest_path() -> None:
    mine, through = Assignment("2", "writer", "p1", ME), Assignment("1", "writer", "p1", OPS)
    rights: Rights = world(through, mine, memberships=(IN_OPS,)).rights(ME)
    why = explain(rights, Request(READ, "p1"), EPOCH)
    assert why.winning is not None
    assert why.winning.held.assignment == "2"
    assert [path.sentence for path in why.others] == ["role writer in `p1` through `group:ops` gives it"]


def test_the_memory_of_denials_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aizen_hub.rbac.default_denials.MAX_ENTRIES", 3)
    rights = world().rights(ME, active=False)
    asked = [(scope, "read", noun) for scope in ("p1", "p2", SYSTEM) for noun in ("x", "y", "z")]
    first = [rights.denials[one] for one in asked]
    assert len(rights.denials) <= 3
    assert [rights.denials[one] for one in asked] == first
