"""``aizen-hub limit``: limits of identities."""

from __future__ import annotations

import click

from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import qualified_identity
from aizen_hub.cli.output import output_option, show_message, show_result
from aizen_hub.client.sync_client import SyncClient

KINDS = click.Choice(["projects", "jobs", "memory", "cpu"])


@click.group()
def limit() -> None:
    """Limits on projects, jobs, memory (bytes) and cpu (cores); the strictest one applies."""


@limit.command("set")
@pass_client
@click.argument("identity")
@click.argument("kind", type=KINDS)
@click.argument("value", type=click.FloatRange(min=0))
@click.option("--project", help="In this project; default: system-wide, which covers every project.")
def set_limit(client: SyncClient, identity: str, kind: str, value: float, project: str | None) -> int:
    """Set a limit of IDENTITY (a user name, or group:NAME) to VALUE."""
    return _set(client, identity, kind, value, project)


@limit.command()
@pass_client
@click.argument("identity")
@click.argument("kind", type=KINDS)
@click.option("--project", help="In this project; default: system-wide.")
def clear(client: SyncClient, identity: str, kind: str, project: str | None) -> int:
    """Remove a limit of IDENTITY."""
    return _set(client, identity, kind, None, project)


@limit.command()
@pass_client
@click.argument("identity")
@click.option("--project", help="In this project; default: system-wide.")
@output_option
def show(client: SyncClient, identity: str, project: str | None, output: str) -> int:
    """Show the limits that apply to IDENTITY, and the source of each."""
    show_result(output, client.get(api_path("limits", identity=qualified_identity(identity), scope=project)))
    return ExitCode.DONE


def _set(client: SyncClient, identity: str, kind: str, value: float | None, project: str | None) -> int:
    body = {"identity": qualified_identity(identity), "scope": project or "system", "kind": kind, "value": value}
    show_message(client.request("PUT", api_path("limits"), body)["message"])
    return ExitCode.DONE
