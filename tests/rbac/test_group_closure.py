"""Groups: nested ones are reached, cycles are harmless, deep nesting ends, and each chain has its time."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.group_closure import MAX_DEPTH, Chain, Membership, reach
from aizen_hub.rbac.identity import Identity, Kind
from tests.rbac.worlds import GROUPS, USERS, World, hour, instants, intervals, worlds

ME = Identity.user("me")


def group(number: int) -> Identity:
    return Identity.group(f"g{number:03}")


def test_nested_groups_are_reached_and_the_way_is_told() -> None:
    steps = [Membership(ME, group(0)), Membership(group(0), group(1)), Membership(ME, group(2))]
    assert reach(ME, steps) == (
        Chain((group(0),)),
        Chain((group(2),)),
        Chain((group(0), group(1))),
    )


@pytest.mark.proves("R20")
def test_cycles_are_harmless() -> None:
    ring = [Membership(group(i), group((i + 1) % 3)) for i in range(3)]
    found = reach(ME, [Membership(ME, group(0)), *ring, Membership(group(0), group(0))])
    assert [chain.groups[-1] for chain in found] == [group(0), group(1), group(2)]
    assert {chain.groups[-1] for chain in reach(group(0), ring)} == {group(1), group(2)}


@pytest.mark.proves("R20")
def test_nesting_ends_at_the_depth_limit() -> None:
    ladder = [Membership(ME, group(0)), *(Membership(group(i), group(i + 1)) for i in range(40))]
    assert len(reach(ME, ladder)) == MAX_DEPTH
    assert len(reach(ME, ladder, max_depth=3)) == 3


def test_the_number_of_chains_does_not_explode() -> None:
    layers = [[group(layer * 8 + i) for i in range(8)] for layer in range(12)]
    steps = [Membership(ME, one) for one in layers[0]]
    steps += [Membership(low, high) for lower, upper in pairwise(layers) for low in lower for high in upper]
    assert len(reach(ME, steps)) == 96  # and not 8 to the power of 12


@pytest.mark.proves("R63")
def test_the_shortest_chain_does_not_hide_one_that_holds_longer() -> None:
    seen = Interval(ends=hour(1))
    steps = [Membership(ME, group(9), seen), Membership(ME, group(1)), Membership(group(1), group(9))]
    chains = [chain for chain in reach(ME, steps) if chain.groups[-1] == group(9)]
    assert [chain.interval for chain in chains] == [seen, ALWAYS]


@given(worlds(), st.sampled_from(USERS + GROUPS), instants)
@settings(max_examples=150, deadline=None)
@pytest.mark.proves("R63")
def test_a_chain_holds_exactly_while_all_its_memberships_do(state: World, who: Identity, now: datetime) -> None:
    found = {chain.groups[-1] for chain in reach(who, state.memberships) if chain.interval.holds(now)}
    assert found == state.groups_at(who, now, unlocked=False)


@given(intervals, intervals, instants)
def test_intervals_meet_and_contain(one: Interval, other: Interval, now: datetime) -> None:
    both = one.holds(now) and other.holds(now)
    met = one.meet(other)
    assert (met is not None and met.holds(now)) is both
    if one.contains(other) and other.holds(now):
        assert one.holds(now)


@pytest.mark.proves("R30")
def test_the_three_name_spaces_are_apart() -> None:
    alices = {Identity.user("alice"), Identity.group("alice"), Identity.service_account("alice")}
    assert len(alices) == 3
    assert {Identity.parse(str(one)) for one in alices} == alices
    assert Identity.parse("user:a:b") == Identity(Kind.USER, "a:b")


@pytest.mark.parametrize("text", ["", "alice", "user:", ":alice", "User:alice", "robot:alice", "group", "user alice"])
def test_what_is_not_an_identity(text: str) -> None:
    with pytest.raises(ValueError, match="write user:NAME, group:NAME or service-account:NAME"):
        Identity.parse(text)
