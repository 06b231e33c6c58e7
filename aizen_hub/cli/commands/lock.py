"""``aizen-hub lock``: locks, which override all roles."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import TIME_FORMATS, dry_run_headers, dry_run_option, qualified_identity
from aizen_hub.cli.output import output_option, show_message, show_result
from aizen_hub.client.sync_client import SyncClient

TARGETS = click.Choice(["identity", "project", "session"])


@click.group()
def lock() -> None:
    """Lock a user, group, service account, project or session: sessions end and commands are denied."""


@lock.command()
@pass_client
@click.argument("target", type=TARGETS)
@click.argument("name")
@click.option("--reason", required=True, help="For the audit, and shown in denials.")
@click.option(
    "--until", "ends", type=click.DateTime(TIME_FORMATS), help="End of the lock, UTC; default: until it is removed."
)
def add(client: SyncClient, target: str, name: str, reason: str, ends: datetime | None) -> int:
    """Lock NAME; an identity is a user name, group:NAME or service-account:NAME."""
    body: dict[str, object] = {"target": target, "name": _target_name(target, name), "reason": reason}
    if ends is not None:
        body["ends"] = ends.replace(tzinfo=UTC).isoformat()
    show_message(client.post(api_path("locks"), body)["message"])
    return ExitCode.DONE


@lock.command()
@pass_client
@click.argument("target", type=TARGETS)
@click.argument("name")
@click.option("--reason", required=True, help="For the audit, and for the user.")
@click.option(
    "--until", "ends", type=click.DateTime(TIME_FORMATS), help="When the lock ends (UTC); without it, at once."
)
@dry_run_option
@output_option
def remove(
    client: SyncClient, target: str, name: str, reason: str, ends: datetime | None, dry_run: bool, output: str
) -> int:
    """Unlock NAME, or give a lock without an end one.

    A user who may lock may unlock others. It waits until a user who may confirms it in the panel after signing
    in again, which can be you: the panel shows what returns.
    """
    body: dict[str, object] = {"target": target, "name": _target_name(target, name), "reason": reason}
    if ends is not None:
        body["ends"] = ends.replace(tzinfo=UTC).isoformat()
    result = client.request("POST", api_path("locks", "remove"), body, dry_run_headers(dry_run))
    show_result(output, result)
    return ExitCode.DONE


@lock.command("list")
@pass_client
@output_option
def list_locks(client: SyncClient, output: str) -> int:
    """List the locks."""
    show_result(output, client.get(api_path("locks")))
    return ExitCode.DONE


def _target_name(target: str, name: str) -> str:
    return qualified_identity(name) if target == "identity" else name
