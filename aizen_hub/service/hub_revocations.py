"""Requests to the hubs to end everything that they gave a user: browser sessions, tokens and servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from aizen_hub.commands.result import Result
from aizen_hub.problems import Problem
from aizen_hub.service.auth.hub_connection import HubConnection

log = logging.getLogger(__name__)


class HubRevocations:
    """Revocation at all hubs of a service.

    Parameters
    ----------
    hubs : sequence of HubConnection
    """

    def __init__(self, hubs: Sequence[HubConnection]) -> None:
        self._hubs = hubs
        self._running: dict[tuple[str, str], asyncio.Task[dict[str, int] | None]] = {}

    async def revoke_everywhere(self, name: str) -> dict[str, dict[str, int] | None]:
        """Have every hub end everything of a user; return what each has ended, by its id, as `revoke_at` does."""
        counts = await asyncio.gather(*(self.revoke_at(hub, name) for hub in self._hubs))
        return {hub.id: ended for hub, ended in zip(self._hubs, counts, strict=True)}

    async def revoke_at(self, hub: HubConnection, name: str) -> dict[str, int] | None:
        """Have a hub end everything of a user; None where it does not answer (`RevocationWorker` tries again).

        Concurrent calls for the same user share one request and its result.
        """
        if not hub.api.is_configured:
            return None
        key = (hub.id, name)
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(hub.api.revoke_user(name, hub.secret))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        try:
            counts = await asyncio.shield(task)
        except Problem as error:
            log_failure(hub, error)
            return None
        return counts or {"tokens": 0, "servers": 0}


def with_hub_results(result: Result, ended_at: Mapping[str, dict[str, int] | None]) -> str:
    """Return one sentence about a lock's result and what the hubs ended; None stands for one that does not answer."""
    answers = [counts for counts in ended_at.values() if counts is not None]
    silent = [f"`{hub}`" for hub, counts in ended_at.items() if counts is None]
    sentence = f"{result.message}; {_count(result.data.get('sessions_ended', 0), 'session')} ended"
    if answers:
        servers, tokens = (sum(counts[what] for counts in answers) for what in ("servers", "tokens"))
        sentence += f", {_count(servers, 'server')} stopped, {_count(tokens, 'token')} deleted"
    if not silent:
        return f"{sentence}, signed out everywhere"
    if len(ended_at) == 1:
        who = "the hub does"
    else:
        who = f"the hub {silent[0]} does" if len(silent) == 1 else f"the hubs {' and '.join(silent)} do"
    return f"{sentence}; {who} not answer, servers and tokens there end as soon as {_pronoun(silent)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _pronoun(hubs: Sequence[str]) -> str:
    return "it does" if len(hubs) == 1 else "they do"


def log_failure(hub: HubConnection, error: Problem) -> None:
    """Log that a hub has not revoked."""
    log.warning("revocation at a hub failed", extra={"data": {"hub": hub.id, "why": error.detail}})
