"""``aizen-hub lock``: stop somebody now, whatever their roles say."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from aizen_hub.cli.commands.grant import TIMES
from aizen_hub.cli.commands.group import full
from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_result
from aizen_hub.client.sync_client import SyncClient

TARGETS = click.Choice(["identity", "project", "session"])


@click.group()
def lock() -> None:
    """Lock a person, group, service account, project or session: its live sessions end, its commands are refused."""


@lock.command()
@connected
@click.argument("target", type=TARGETS)
@click.argument("name")
@click.option("--reason", required=True, help="For the audit, and shown in the refusal.")
@click.option("--until", "ends", type=click.DateTime(TIMES), help="UTC; default: until it is removed.")
def add(client: SyncClient, target: str, name: str, reason: str, ends: datetime | None) -> int:
    """Lock NAME; an identity is a user's name, group:NAME or service-account:NAME."""
    body: dict[str, object] = {"target": target, "name": _name(target, name), "reason": reason}
    if ends is not None:
        body["ends"] = ends.replace(tzinfo=UTC).isoformat()
    say(client.post(path("locks"), body)["message"])
    return Outcome.DONE


@lock.command()
@connected
@click.argument("target", type=TARGETS)
@click.argument("name")
def remove(client: SyncClient, target: str, name: str) -> int:
    """Unlock NAME."""
    say(client.post(path("locks", "remove"), {"target": target, "name": _name(target, name)})["message"])
    return Outcome.DONE


@lock.command("list")
@connected
@output_option
def list_locks(client: SyncClient, output: str) -> int:
    """List the locks."""
    show_result(output, client.get(path("locks")))
    return Outcome.DONE


def _name(target: str, name: str) -> str:
    return full(name) if target == "identity" else name
