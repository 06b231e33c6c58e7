"""Group closure: nesting, cycles, the depth limit, and the interval of each path."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.group_closure import MAX_DEPTH, Membership, MembershipPath, group_closure
from aizen_hub.rbac.identity import Identity, IdentityKind
from tests.rbac.reference_model import GROUPS, USERS, ReferenceModel, hour, instants, intervals, reference_models

ME = Identity.user("me")


def group(number: int) -> Identity:
    return Identity.group(f"g{number:03}")


def test_nested_groups_are_found_with_their_paths() -> None:
    steps = [Membership(ME, group(0)), Membership(group(0), group(1)), Membership(ME, group(2))]
    assert group_closure(ME, steps) == (
        MembershipPath((group(0),)),
        MembershipPath((group(2),)),
        MembershipPath((group(0), group(1))),
    )


@pytest.mark.proves("R20")
def test_cycles_are_harmless() -> None:
    ring = [Membership(group(i), group((i + 1) % 3)) for i in range(3)]
    paths = group_closure(ME, [Membership(ME, group(0)), *ring, Membership(group(0), group(0))])
    assert [chain.groups[-1] for chain in paths] == [group(0), group(1), group(2)]
    assert {chain.groups[-1] for chain in group_closure(group(0), ring)} == {group(1), group(2)}


@pytest.mark.proves("R20")
def test_nesting_ends_at_the_depth_limit() -> None:
    ladder = [Membership(ME, group(0)), *(Membership(group(i), group(i + 1)) for i in range(40))]
    assert len(group_closure(ME, ladder)) == MAX_DEPTH
    assert len(group_closure(ME, ladder, max_depth=3)) == 3


def test_the_number_of_paths_does_not_explode() -> None:
    layers = [[group(layer * 8 + i) for i in range(8)] for layer in range(12)]
    steps = [Membership(ME, member_group) for member_group in layers[0]]
    steps += [Membership(low, high) for lower, upper in pairwise(layers) for low in lower for high in upper]
    assert len(group_closure(ME, steps)) == 96  # and not 8 to the power of 12


@pytest.mark.proves("R63")
def test_the_shortest_path_does_not_hide_one_that_is_valid_longer() -> None:
    seen = Interval(ends=hour(1))
    steps = [Membership(ME, group(9), seen), Membership(ME, group(1)), Membership(group(1), group(9))]
    paths = [chain for chain in group_closure(ME, steps) if chain.groups[-1] == group(9)]
    assert [chain.interval for chain in paths] == [seen, ALWAYS]


@given(reference_models(), st.sampled_from(USERS + GROUPS), instants)
@settings(max_examples=150, deadline=None)
@pytest.mark.proves("R63")
def test_a_path_is_valid_exactly_while_all_its_memberships_are(
    state: ReferenceModel, identity: Identity, now: datetime
) -> None:
    groups = {chain.groups[-1] for chain in group_closure(identity, state.memberships) if chain.interval.includes(now)}
    assert groups == state.groups_at(identity, now, skip_locked=False)


@given(intervals, intervals, instants)
def test_interval_intersection_and_containment(left: Interval, right: Interval, now: datetime) -> None:
    in_both = left.includes(now) and right.includes(now)
    intersection = left.intersect(right)
    assert (intersection is not None and intersection.includes(now)) is in_both
    if left.contains(right) and right.includes(now):
        assert left.includes(now)


@pytest.mark.proves("R30")
def test_the_three_namespaces_are_separate() -> None:
    alices = {Identity.user("alice"), Identity.group("alice"), Identity.service_account("alice")}
    assert len(alices) == 3
    assert {Identity.parse(str(identity)) for identity in alices} == alices
    assert Identity.parse("user:a:b") == Identity(IdentityKind.USER, "a:b")


@pytest.mark.parametrize("text", ["", "alice", "user:", ":alice", "User:alice", "robot:alice", "group", "user alice"])
def test_invalid_identities(text: str) -> None:
    with pytest.raises(ValueError, match="write user:NAME, group:NAME or service-account:NAME"):
        Identity.parse(text)
