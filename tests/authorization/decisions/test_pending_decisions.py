"""The court's waiting room: nobody waits longer than their deadline, and one timer is enough."""

from __future__ import annotations

import asyncio

import pytest

from aizen_hub.authorization.decisions.decision_service import Question
from aizen_hub.authorization.decisions.evaluation import clock
from aizen_hub.authorization.decisions.pending_decisions import Room, Waiting, settle
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Road

QUESTION = Question(Actor(Identity.user("ann"), Road.KERNEL), Request(None, "system"))


def enter(room: Room, seconds: float) -> Waiting:
    one = Waiting(room, QUESTION, None, clock() + seconds, None)
    room.enter(one)
    return one


async def refused(one: Waiting) -> None:
    with pytest.raises(Unavailable, match="in time"):
        await asyncio.wait_for(one.future, 10)


async def test_everybody_is_told_at_their_own_deadline() -> None:
    room = Room(asyncio.get_running_loop())
    late, early, middle = enter(room, 600), enter(room, 0.01), enter(room, 0.02)
    await refused(early)
    await refused(middle)
    assert not late.future.done()
    # Somebody comes whose deadline is before the one that is watched for.
    await refused(enter(room, 0.01))
    assert not late.future.done()


async def test_who_was_answered_is_left_alone() -> None:
    room = Room(asyncio.get_running_loop())
    gone, here, next_one = enter(room, 0.01), enter(room, 0.01), enter(room, 0.02)
    gone.future.cancel()
    problem = Unavailable("something else")
    settle([(one, problem) for one in (gone, here)])
    room.leave(gone)
    room.leave(here)
    await refused(next_one)
    assert gone.future.cancelled()
    assert here.future.exception() is problem


async def test_answers_for_a_loop_that_has_ended_are_dropped() -> None:
    loop = asyncio.new_event_loop()
    room = Room(loop)
    one = Waiting(room, QUESTION, None, clock() + 600, None)
    loop.close()
    room.call(settle, [(one, Unavailable("too late"))])
    assert not one.future.done()
