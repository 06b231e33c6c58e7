"""``aizen-hub request``: asking for a role, and deciding what others ask for."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from aizen_hub.cli.commands.grant import TIMES
from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_result
from aizen_hub.client.sync_client import SyncClient

until = click.option("--until", "ends", type=click.DateTime(TIMES), help="Not any more from then on, UTC.")


@click.group()
def request() -> None:
    """Ask for a role that you lack; whoever may grant it finds the request and decides."""


@request.command("list")
@connected
@click.option("--to-decide", is_flag=True, help="Those that you could grant, instead of your own.")
@output_option
def list_requests(client: SyncClient, to_decide: bool, output: str) -> int:
    """List your own requests and what became of them, or those that wait for somebody like you."""
    show_result(output, client.get(path("requests", which="to-decide" if to_decide else None)))
    return Outcome.DONE


@request.command()
@connected
@click.argument("role")
@click.option("--project", help="In this project; absent for a role of the system.")
@click.option("--reason", required=True, help="For whoever decides.")
@until
def ask(client: SyncClient, role: str, project: str | None, reason: str, ends: datetime | None) -> int:
    """Ask for ROLE."""
    body = {"role": role, "scope": project or "system", "reason": reason, **_until(ends)}
    say(client.post(path("requests"), body)["message"])
    return Outcome.DONE


@request.command()
@connected
@click.argument("number", metavar="REQUEST")
@click.option("--comment", default="", help="For whoever asked.")
@until
def approve(client: SyncClient, number: str, comment: str, ends: datetime | None) -> int:
    """Grant what REQUEST asks for, as your own grant; an earlier end than it asks for is fine."""
    say(client.post(path("requests", number, "approve"), {"comment": comment, **_until(ends)})["message"])
    return Outcome.DONE


@request.command()
@connected
@click.argument("number", metavar="REQUEST")
@click.option("--comment", required=True, help="For whoever asked: why not.")
def deny(client: SyncClient, number: str, comment: str) -> int:
    """Refuse REQUEST."""
    say(client.post(path("requests", number, "deny"), {"comment": comment})["message"])
    return Outcome.DONE


@request.command()
@connected
@click.argument("number", metavar="REQUEST")
def withdraw(client: SyncClient, number: str) -> int:
    """Take back your own REQUEST."""
    say(client.post(path("requests", number, "withdraw"), None)["message"])
    return Outcome.DONE


def _until(ends: datetime | None) -> dict[str, str]:
    return {} if ends is None else {"until": ends.replace(tzinfo=UTC).isoformat()}
