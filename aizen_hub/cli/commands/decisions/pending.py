"""``aizen-hub pending``: changes that wait until an entitled user confirms them in the panel."""

from __future__ import annotations

import webbrowser

import click

from aizen_hub.cli.browser_sign_in import can_open_browser
from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Output, output_option, show_message, show_result
from aizen_hub.cli.short_ids import resolve_id
from aizen_hub.client.sync_client import SyncClient

_LIST = api_path("pending")


@click.group()
def pending() -> None:
    """Changes that wait, such as the grant of a protected role, until an entitled user confirms them."""


@pending.command("list")
@pass_client
@output_option
def list_changes(client: SyncClient, output: Output) -> int:
    """List the changes that wait."""
    show_result(output, client.get(_LIST))
    return ExitCode.DONE


@pending.command()
@pass_client
@click.argument("change")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def confirm(client: SyncClient, change: str, no_browser: bool) -> int:
    """Open the page of CHANGE in the panel, which shows what it does and asks to sign in again before it confirms.

    A program cannot confirm: the page is what tells a person from a program that has a token of that person.
    """
    address = f"{client.url}/changes/{resolve_id(client, _LIST, change, 'changes')}"
    click.echo(address)
    if not no_browser and can_open_browser():
        webbrowser.open(address)
    else:
        show_message("open this address in a browser to confirm the change")
    return ExitCode.DONE


@pending.command()
@pass_sender
@click.argument("change")
@click.option("--comment", default="", help="For the user who asked for it.")
def reject(sender: ChangeSender, change: str, comment: str) -> int:
    """Reject CHANGE, so that it is never made; your own, or as a user who may confirm it."""
    change_id = resolve_id(sender.client, _LIST, change, "changes")
    return sender.finish("POST", api_path("pending", change_id, "reject"), {"comment": comment})
