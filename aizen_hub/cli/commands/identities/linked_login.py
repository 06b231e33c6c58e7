"""``aizen-hub user login``: the logins of a user."""

from __future__ import annotations

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Output, output_option, show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def login() -> None:
    """The logins of a user: the one of the registration, and linked ones."""


@login.command("list")
@pass_client
@click.argument("name")
@output_option
def list_logins(client: SyncClient, name: str, output: Output) -> int:
    """List the logins of NAME, with the ids for `unlink`."""
    show_result(output, client.get(api_path("users", name, "logins")))
    return ExitCode.DONE


@login.command()
@pass_sender
@click.argument("name")
@click.argument("provider")
@click.argument("subject")
def link(sender: ChangeSender, name: str, provider: str, subject: str) -> int:
    """Allow SUBJECT of PROVIDER to sign in as NAME.

    SUBJECT is the immutable id at the provider (entryUUID, objectGUID, `sub`), not a name or mail address; the audit
    shows it for rejected logins. The linked login gets every right of NAME, so you need all of them yourself.
    """
    return sender.finish("POST", api_path("users", name, "logins"), {"provider": provider, "subject": subject})


@login.command()
@pass_sender
@click.argument("name")
@click.argument("login_id", metavar="LOGIN", type=click.IntRange(1))
@click.option("--last", is_flag=True, help="Also remove the only login of NAME.")
def unlink(sender: ChangeSender, name: str, login_id: int, last: bool) -> int:
    """Remove the linked login LOGIN of NAME; all sessions of NAME have to sign in again."""
    url_path = api_path("users", name, "logins", str(login_id), last="true" if last else None)
    return sender.finish("DELETE", url_path)
