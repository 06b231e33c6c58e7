"""Interfaces through which the runner has commands authorized and recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.core_event import CoreEvent


class Authorizer(Protocol):
    """Re-authorizes commands on the current state. Both methods may raise Problem: then nothing is decided."""

    async def authorize_start(self, command: CoreCommand) -> str | None:
        """Decide a command that was not sent yet, by all conditions of a new command (R47, R48).

        Returns
        -------
        str or None
            None if it is allowed, else the reason.
        """

    async def reauthorize(self, commands: Collection[CoreCommand]) -> Mapping[str, str | None]:
        """Decide running commands by rights and locks only; their token and session may have ended.

        Returns
        -------
        mapping of str to str or None
            None or the reason of the denial, by command id; ids that could not be decided are missing.
        """


class CommandLogProtocol(Protocol):
    """Records commands. All methods but ``drop`` are called in a worker thread; each is one transaction."""

    def start(self, command: CoreCommand) -> None:
        """Write the intent row and count the job that the command starts; a Problem rejects the command."""

    def finish(self, command: CoreCommand, end: CoreEvent) -> None:
        """Write the outcome row and uncount a job that ended; idempotent."""

    def release(self, commands: Collection[CoreCommand]) -> None:
        """Release the leases, so that another process can follow; called at shutdown, never fails."""

    def drop(self, command: CoreCommand) -> None:
        """Drop the in-memory state of a command that the runner has finished with."""
