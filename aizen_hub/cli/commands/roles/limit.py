"""``aizen-hub limit``: limits of identities."""

from __future__ import annotations

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import qualified_identity
from aizen_hub.cli.output import Output, output_option, show_result
from aizen_hub.cli.values import SIZE
from aizen_hub.client.sync_client import SyncClient

KINDS = click.Choice(["projects", "jobs", "memory", "cpu"])


@click.group()
def limit() -> None:
    """Limits on projects, jobs, memory (bytes, or a size such as 8GiB) and cpu (cores); the strictest one applies."""


@limit.command("set")
@pass_sender
@click.argument("identity")
@click.argument("kind", type=KINDS)
@click.argument("value", type=SIZE)
@click.option("--project", help="In this project; default: system-wide, which covers every project.")
def set_limit(sender: ChangeSender, identity: str, kind: str, value: float, project: str | None) -> int:
    """Set a limit of IDENTITY (a user name, or group:NAME) to VALUE."""
    return _set(sender, identity, kind, value, project)


@limit.command()
@pass_sender
@click.argument("identity")
@click.argument("kind", type=KINDS)
@click.option("--project", help="In this project; default: system-wide.")
def clear(sender: ChangeSender, identity: str, kind: str, project: str | None) -> int:
    """Remove a limit of IDENTITY."""
    return _set(sender, identity, kind, None, project)


@limit.command()
@pass_client
@click.argument("identity")
@click.option("--project", help="In this project; default: system-wide.")
@output_option
def show(client: SyncClient, identity: str, project: str | None, output: Output) -> int:
    """Show the limits that apply to IDENTITY, and the source of each."""
    show_result(output, client.get(api_path("limits", identity=qualified_identity(identity), scope=project)))
    return ExitCode.DONE


def _set(sender: ChangeSender, identity: str, kind: str, value: float | None, project: str | None) -> int:
    body = {"identity": qualified_identity(identity), "scope": project or "system", "kind": kind, "value": value}
    return sender.finish("PUT", api_path("limits"), body)
