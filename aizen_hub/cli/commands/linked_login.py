"""``aizen-hub user login``: by which logins a person signs in."""

from __future__ import annotations

import click

from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def login() -> None:
    """The logins of a person: the one of the registration, and further ones that were linked."""


@login.command("list")
@connected
@click.argument("name")
@output_option
def list_logins(client: SyncClient, name: str, output: str) -> int:
    """List the logins of NAME, with the numbers that `unlink` takes."""
    show_result(output, client.get(path("users", name, "logins")))
    return Outcome.DONE


@login.command()
@connected
@click.argument("name")
@click.argument("provider")
@click.argument("subject")
@output_option
def link(client: SyncClient, name: str, provider: str, subject: str, output: str) -> int:
    """Let SUBJECT of PROVIDER sign in as NAME too.

    SUBJECT is the immutable id at the provider (entryUUID, objectGUID, `sub`), never a name or mail address; the audit
    shows it where somebody was refused. Whoever signs in there gets every right of NAME, so you need them all yourself.
    """
    show_result(output, client.post(path("users", name, "logins"), {"provider": provider, "subject": subject}))
    return Outcome.DONE


@login.command()
@connected
@click.argument("name")
@click.argument("number", type=click.IntRange(1))
@click.option("--last", is_flag=True, help="Also if nobody can sign in as NAME afterwards.")
@output_option
def unlink(client: SyncClient, name: str, number: int, last: bool, output: str) -> int:
    """Take the further login NUMBER from NAME; what is signed in by any of their logins must sign in again."""
    asked = path("users", name, "logins", str(number), last="true" if last else None)
    show_result(output, client.call("DELETE", asked))
    return Outcome.DONE
