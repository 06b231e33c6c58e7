"""``aizen-hub session``: active sessions and their servers."""

from __future__ import annotations

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Output, output_option, show_message, show_result
from aizen_hub.cli.short_ids import resolve_id
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Denied


@click.group()
def session() -> None:
    """A session is one start of one server, for one user and one project."""


@session.command("list")
@pass_client
@click.option("--user", help="Only sessions of this user; your own need no permission.")
@output_option
def list_sessions(client: SyncClient, user: str | None, output: Output) -> int:
    """List the active sessions, and servers without a session."""
    result = client.get(api_path("sessions", user=user))
    show_result(output, result)
    without_session = sum(row[0] is None for row in result.get("rows") or ())
    if without_session:
        show_message(
            f"{without_session} servers have no session: they started before this hub used aizen-hub "
            "and have no rights until they are restarted"
        )
    return ExitCode.DONE


@session.command()
@pass_sender
@click.argument("session_id", metavar="SESSION")
@click.option("--reason", help="For the audit.")
def end(sender: ChangeSender, session_id: str, reason: str | None) -> int:
    """End SESSION, your own or as an administrator; its tokens are revoked at once, its server stops shortly after."""
    body = {} if reason is None else {"reason": reason}
    session_id = resolve_id(sender.client, _list_path(sender.client), session_id, "sessions")
    return sender.finish("POST", api_path("sessions", session_id, "end"), body)


def _list_path(client: SyncClient) -> str:
    """Return the path of all sessions for administrators, and of the own ones for others."""
    try:
        client.get(api_path("sessions"))
    except Denied:
        return api_path("sessions", user=client.get(api_path("me"))["user"])
    return api_path("sessions")
