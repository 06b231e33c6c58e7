"""``aizen-hub lock``: locks, which override all roles."""

from __future__ import annotations

from datetime import datetime

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import dry_run_headers, dry_run_option, qualified_identity
from aizen_hub.cli.output import Output, output_option, show_result
from aizen_hub.cli.values import end_options, timestamp
from aizen_hub.client.sync_client import SyncClient

TARGETS = click.Choice(["identity", "project", "session"])


@click.group()
def lock() -> None:
    """Lock a user, group, service account, project or session: sessions end and commands are denied."""


@lock.command()
@pass_sender
@click.argument("target", type=TARGETS)
@click.argument("name")
@click.option("--reason", required=True, help="For the audit, and shown in denials.")
@end_options("the lock")
def add(sender: ChangeSender, target: str, name: str, reason: str, ends: datetime | None) -> int:
    """Lock NAME; an identity is a user name, group:NAME or service-account:NAME."""
    body: dict[str, object] = {"target": target, "name": _target_name(target, name), "reason": reason}
    if ends is not None:
        body["ends"] = timestamp(ends)
    return sender.finish("POST", api_path("locks"), body)


@lock.command()
@pass_client
@click.argument("target", type=TARGETS)
@click.argument("name")
@click.option("--reason", required=True, help="For the audit, and for the user.")
@end_options("the lock, which without it ends at once")
@dry_run_option
@output_option
def remove(
    client: SyncClient, target: str, name: str, reason: str, ends: datetime | None, dry_run: bool, output: Output
) -> int:
    """Unlock NAME, or give a lock without an end one.

    A user who may lock may unlock others. It waits until a user who may confirms it in the panel after signing
    in again, which can be you: the panel shows what returns.
    """
    body: dict[str, object] = {"target": target, "name": _target_name(target, name), "reason": reason}
    if ends is not None:
        body["ends"] = timestamp(ends)
    result = client.request("POST", api_path("locks", "remove"), body, dry_run_headers(dry_run))
    show_result(output, result)
    return ExitCode.DONE


@lock.command("list")
@pass_client
@output_option
def list_locks(client: SyncClient, output: Output) -> int:
    """List the locks."""
    show_result(output, client.get(api_path("locks")))
    return ExitCode.DONE


def _target_name(target: str, name: str) -> str:
    return qualified_identity(name) if target == "identity" else name
