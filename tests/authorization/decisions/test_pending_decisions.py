"""Pending decisions: no request waits longer than its deadline, and one timer is enough."""

from __future__ import annotations

import asyncio

import pytest

from aizen_hub.authorization.decisions.batch_item import DecisionItem
from aizen_hub.authorization.decisions.decision_service import DecisionRequest
from aizen_hub.authorization.decisions.evaluation import boottime
from aizen_hub.authorization.decisions.pending_decisions import PendingDecision, PendingDecisions, resolve
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Channel

ITEM = DecisionItem(DecisionRequest(Actor(Identity.user("ann"), Channel.KERNEL), AuthorizationRequest(None, "system")))


def add(queue: PendingDecisions, seconds: float) -> PendingDecision:
    pending = PendingDecision(queue, ITEM, boottime() + seconds)
    queue.add(pending)
    return pending


async def assert_timeout(pending: PendingDecision) -> None:
    with pytest.raises(Unavailable, match="in time"):
        await asyncio.wait_for(pending.future, 10)


async def test_each_request_times_out_at_its_own_deadline() -> None:
    queue = PendingDecisions(asyncio.get_running_loop())
    late, early, middle = add(queue, 600), add(queue, 0.01), add(queue, 0.02)
    await assert_timeout(early)
    await assert_timeout(middle)
    assert not late.future.done()
    # A new request has an earlier deadline than the one the timer is set for.
    await assert_timeout(add(queue, 0.01))
    assert not late.future.done()


async def test_answered_and_cancelled_requests_do_not_time_out() -> None:
    queue = PendingDecisions(asyncio.get_running_loop())
    cancelled, answered, waiting = add(queue, 0.01), add(queue, 0.01), add(queue, 0.02)
    cancelled.future.cancel()
    problem = Unavailable("something else")
    resolve([(pending, problem) for pending in (cancelled, answered)])
    queue.discard(cancelled)
    queue.discard(answered)
    await assert_timeout(waiting)
    assert cancelled.future.cancelled()
    assert answered.future.exception() is problem


async def test_outcomes_for_a_closed_loop_are_dropped() -> None:
    loop = asyncio.new_event_loop()
    queue = PendingDecisions(loop)
    pending = PendingDecision(queue, ITEM, boottime() + 600)
    loop.close()
    queue.call_soon_threadsafe(resolve, [(pending, Unavailable("too late"))])
    assert not pending.future.done()
