"""Follows one command at the core to its end, over streams that break, and has it stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.core_event import CoreEvent
from aizen_hub.jobs.running_command import Running, unknown
from aizen_hub.problems import CoreFailed

_REATTACH_PAUSES = (0.2, 1.0, 3.0)
_CANCEL_PAUSES = (0.0, 0.5, 2.0)
_WAIT_FOR_STOP_SECONDS = 10.0


async def follow(client: CoreClient, running: Running, events: AsyncIterator[CoreEvent]) -> CoreEvent:
    """Publish what the core says of a command, and return its end.

    A stream that breaks is taken up again, a few times in a row; whatever is heard in between begins the count anew.
    The end is ``unknown`` where the core says nothing more, or nothing that can be understood.
    """
    pauses = iter(_REATTACH_PAUSES)
    last: CoreEvent | None = None
    while True:
        # Who comes back hears the last progress again: that says that the core answers, not that anything goes on.
        repeated = last
        try:
            async for event in events:
                if event.event == "end":
                    return event
                if event != repeated:
                    pauses = iter(_REATTACH_PAUSES)
                repeated = None
                if event.event == "progress":
                    last = event
                running.publish(event)
            reason = "the core's answer stopped before its end"
        except CoreFailed as problem:
            reason = problem.detail
            if _forgotten(problem) or problem.more.get("core") == "rubbish":
                return unknown(reason, forgotten=_forgotten(problem))
        pause = next(pauses, None)
        if pause is None:
            return unknown(f"{reason}; the command may still be running there")
        await asyncio.sleep(pause)
        events = client.reattach(running.order)


async def stop(client: CoreClient, order: Order, following: asyncio.Task[CoreEvent], why: str) -> CoreEvent:
    """Have the core stop a command that is not allowed any longer, and return the end that it says.

    Parameters
    ----------
    following : asyncio.Task
        Of `follow`.
    why : str
        The sentence for the outcome.
    """
    why = f"not allowed any longer: {why}"
    failure: CoreFailed | None = None
    for pause in _CANCEL_PAUSES:
        await asyncio.sleep(pause)
        try:
            await client.cancel(order)
            break
        except CoreFailed as problem:
            failure = problem
    else:
        assert failure is not None
        return unknown(f"{why}; the core did not stop it: {failure.detail}", forgotten=_forgotten(failure))
    await asyncio.wait({following}, timeout=_WAIT_FOR_STOP_SECONDS)
    if not following.done():
        return unknown(f"{why}; the core took the order to stop but did not say that it did")
    return replace(following.result(), message=why)


def _forgotten(problem: CoreFailed) -> bool:
    return problem.more.get("core") == "forgotten"
