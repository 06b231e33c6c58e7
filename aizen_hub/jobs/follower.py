"""Following of one command at the core until its end, over interrupted streams, and its cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.core_event import CoreEvent
from aizen_hub.jobs.running_command import RunningCommand, unknown_end
from aizen_hub.problems import CoreFailed

_REATTACH_PAUSES = (0.2, 1.0, 3.0)
_CANCEL_PAUSES = (0.0, 0.5, 2.0)
_WAIT_FOR_STOP_SECONDS = 10.0


async def follow_command(client: CoreClient, running: RunningCommand, events: AsyncIterator[CoreEvent]) -> CoreEvent:
    """Publish the core's events of a command, and return its end.

    After an interrupted stream the client reattaches, up to ``len(_REATTACH_PAUSES)`` times in a row; a new event
    resets the count. The end is ``unknown`` if the core sends nothing more, or an invalid response.
    """
    pauses = iter(_REATTACH_PAUSES)
    last_progress: CoreEvent | None = None
    while True:
        # After a reattach the core repeats the last progress, which shows that it answers but not that it advances.
        repeated = last_progress
        try:
            async for event in events:
                if event.event == "end":
                    return event
                if event != repeated:
                    pauses = iter(_REATTACH_PAUSES)
                repeated = None
                if event.event == "progress":
                    last_progress = event
                running.publish(event)
            reason = "the core's response stopped before its end"
        except CoreFailed as problem:
            reason = problem.detail
            if _is_unknown_to_core(problem) or problem.extensions.get("core") == "invalid-response":
                return unknown_end(reason, unknown_to_core=_is_unknown_to_core(problem))
        pause = next(pauses, None)
        if pause is None:
            return unknown_end(f"{reason}; the command may still be running there")
        await asyncio.sleep(pause)
        events = client.reattach(running.command)


async def stop_command(
    client: CoreClient, command: CoreCommand, follow_task: asyncio.Task[CoreEvent], reason: str
) -> CoreEvent:
    """Cancel a command at the core that is no longer allowed, and return the end that the core reports.

    Parameters
    ----------
    follow_task : asyncio.Task
        The task of `follow_command`.
    reason : str
        Why it is no longer allowed, for the outcome.
    """
    reason = f"not allowed any longer: {reason}"
    failure: CoreFailed | None = None
    for pause in _CANCEL_PAUSES:
        await asyncio.sleep(pause)
        try:
            await client.cancel(command)
            break
        except CoreFailed as problem:
            failure = problem
    else:
        assert failure is not None
        return unknown_end(
            f"{reason}; the core did not stop it: {failure.detail}", unknown_to_core=_is_unknown_to_core(failure)
        )
    await asyncio.wait({follow_task}, timeout=_WAIT_FOR_STOP_SECONDS)
    if not follow_task.done():
        return unknown_end(f"{reason}; the core accepted the cancellation but did not confirm that it stopped")
    return replace(follow_task.result(), message=reason)


def _is_unknown_to_core(problem: CoreFailed) -> bool:
    return problem.extensions.get("core") == "unknown-command"
