"""``aizen-hub request``: requests for a role, and decisions on them."""

from __future__ import annotations

from datetime import datetime

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Output, output_option, show_result
from aizen_hub.cli.short_ids import resolve_id
from aizen_hub.cli.values import end_options, local_timestamp
from aizen_hub.client.sync_client import SyncClient


@click.group()
def request() -> None:
    """Request a role that you do not have; users who can grant it see the request and decide."""


@request.command("list")
@pass_client
@click.option("--to-decide", "which", flag_value="to-decide", help="List only requests that wait for your decision.")
@click.option("--mine", "which", flag_value="mine", help="List only your own requests.")
@output_option
def list_requests(client: SyncClient, which: str | None, output: Output) -> int:
    """List the requests that wait for your decision, and your own requests with their outcome."""
    show_result(output, client.get(api_path("requests", which=which or "all")))
    return ExitCode.DONE


@request.command()
@pass_client
@click.argument("role")
@click.option("--project", help="In this project; default: a system role.")
@click.option("--reason", required=True, help="For the user who decides.")
@end_options()
@output_option
def ask(client: SyncClient, role: str, project: str | None, reason: str, ends: datetime | None, output: Output) -> int:
    """Request ROLE."""
    body = {"role": role, "scope": project or "system", "reason": reason, **_until_field(ends)}
    show_result(output, client.post(api_path("requests"), body))
    return ExitCode.DONE


@request.command()
@pass_sender
@click.argument("request_id", metavar="REQUEST")
@click.option("--comment", default="", help="For the requester.")
@end_options()
def approve(sender: ChangeSender, request_id: str, comment: str, ends: datetime | None) -> int:
    """Grant the role of REQUEST, as your own grant; you may set an earlier end than requested.

    The first characters of the id are enough, at least four.
    """
    return sender.finish(
        "POST",
        api_path("requests", _whole_id(sender, request_id), "approve"),
        {"comment": comment, **_until_field(ends)},
    )


@request.command()
@pass_sender
@click.argument("request_id", metavar="REQUEST")
@click.option("--comment", required=True, help="For the requester: the reason.")
def deny(sender: ChangeSender, request_id: str, comment: str) -> int:
    """Deny REQUEST."""
    return sender.finish("POST", api_path("requests", _whole_id(sender, request_id), "deny"), {"comment": comment})


@request.command()
@pass_sender
@click.argument("request_id", metavar="REQUEST")
def withdraw(sender: ChangeSender, request_id: str) -> int:
    """Withdraw your own REQUEST."""
    return sender.finish("POST", api_path("requests", _whole_id(sender, request_id), "withdraw"))


def _whole_id(sender: ChangeSender, text: str) -> str:
    return resolve_id(sender.client, api_path("requests", which="all"), text, "requests")


def _until_field(ends: datetime | None) -> dict[str, str]:
    return {} if ends is None else {"until": local_timestamp(ends)}
