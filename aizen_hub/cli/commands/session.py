"""``aizen-hub session``: which servers run, and for which project."""

from __future__ import annotations

import click

from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def session() -> None:
    """A session is one start of one server, for one person and one project."""


@session.command("list")
@connected
@click.option("--user", help="Only those of one person; your own need no right.")
@output_option
def list_sessions(client: SyncClient, user: str | None, output: str) -> int:
    """List the live sessions, and servers that run without one."""
    result = client.get(path("sessions", user=user))
    show_result(output, result)
    lone = sum(row[0] is None for row in result.get("rows") or ())
    if lone:
        say(f"{lone} without a session: they began before this hub used aizen-hub, and have no rights until restarted")
    return Outcome.DONE


@session.command()
@connected
@click.argument("number", metavar="SESSION")
@click.option("--reason", help="For the audit.")
def end(client: SyncClient, number: str, reason: str | None) -> int:
    """End SESSION, your own or as an administrator; its tokens are void at once, its server stops in a moment."""
    body = {} if reason is None else {"reason": reason}
    say(client.post(path("sessions", number, "end"), body)["message"])
    return Outcome.DONE
