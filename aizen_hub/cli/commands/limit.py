"""``aizen-hub limit``: numbers that bind."""

from __future__ import annotations

import click

from aizen_hub.cli.commands.group import full
from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_result
from aizen_hub.client.sync_client import SyncClient

KINDS = click.Choice(["projects", "jobs", "memory", "cpu"])


@click.group()
def limit() -> None:
    """Limits on projects, jobs, memory (bytes) and cpu (cores); the strictest of own, groups' and roles' ones binds."""


@limit.command("set")
@connected
@click.argument("identity")
@click.argument("kind", type=KINDS)
@click.argument("value", type=click.FloatRange(min=0))
@click.option("--project", help="In this project; absent for the system, which covers every project.")
def put(client: SyncClient, identity: str, kind: str, value: float, project: str | None) -> int:
    """Bind IDENTITY (a user's name, or group:NAME) to VALUE."""
    return _set(client, identity, kind, value, project)


@limit.command()
@connected
@click.argument("identity")
@click.argument("kind", type=KINDS)
@click.option("--project", help="In this project; absent for the system.")
def clear(client: SyncClient, identity: str, kind: str, project: str | None) -> int:
    """Take a limit on IDENTITY away."""
    return _set(client, identity, kind, None, project)


@limit.command()
@connected
@click.argument("identity")
@click.option("--project", help="In this project; absent for the system.")
@output_option
def show(client: SyncClient, identity: str, project: str | None, output: str) -> int:
    """Show the limits that bind IDENTITY, and where each comes from."""
    show_result(output, client.get(path("limits", identity=full(identity), scope=project)))
    return Outcome.DONE


def _set(client: SyncClient, identity: str, kind: str, value: float | None, project: str | None) -> int:
    body = {"identity": full(identity), "scope": project or "system", "kind": kind, "value": value}
    say(client.call("PUT", path("limits"), body)["message"])
    return Outcome.DONE
