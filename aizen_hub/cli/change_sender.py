"""Changes at the service: sent, or tried out with ``--dry-run``, and their results shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from aizen_hub.cli.connection import pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import dry_run_headers, dry_run_option
from aizen_hub.cli.output import Output, output_option, show_result
from aizen_hub.client.sync_client import SyncClient

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ChangeSender:
    """Sends the changes of one command.

    Attributes
    ----------
    client : SyncClient
    output : Output
    dry_run : bool
        Whether the changes are tried out only: the service shows who would gain and lose what.
    """

    client: SyncClient
    output: Output
    dry_run: bool

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        show: bool = True,
        repeat: bool = True,
    ) -> dict[str, Any]:
        """Send one change, show its result, and return it.

        Parameters
        ----------
        repeat : bool
            Whether the route takes an ``Idempotency-Key``, so that the change is sent again if the connection is lost.
        """
        sent = {**(headers or {}), **dry_run_headers(self.dry_run)}
        result: dict[str, Any] = self.client.request(method, path, body, sent, repeat=repeat)
        if show:
            show_result(self.output, result)
        return result

    def finish(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> int:
        """Send the only change of a command; return its exit code."""
        self.send(method, path, body, headers)
        return ExitCode.DONE

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before a change that cannot be undone.

        Raises
        ------
        click.Abort
            The user declined.
        """
        if not yes and not self.dry_run:
            click.confirm(question, abort=True, err=True)


def pass_sender(command: F) -> Callable[..., Any]:
    """Add the options of connection, dry run and output to a command, and pass it a `ChangeSender` first."""

    @pass_client
    @dry_run_option
    @output_option
    @functools.wraps(command)
    def with_sender(client: SyncClient, *args: Any, dry_run: bool, output: Output, **kwargs: Any) -> Any:
        return command(ChangeSender(client, output, dry_run), *args, **kwargs)

    return with_sender
