"""``aizen-hub grant`` and ``revoke``: role assignments."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import TIME_FORMATS, qualified_identity
from aizen_hub.cli.output import show_message
from aizen_hub.client.sync_client import SyncClient


@click.command()
@pass_client
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True)
@click.option("--to", "identity", required=True, help="A user name, group:NAME or service-account:NAME.")
@click.option("--project", help="In this project; default: a system role.")
@click.option("--from", "starts", type=click.DateTime(TIME_FORMATS), help="Start of the assignment, UTC; default: now.")
@click.option("--until", "ends", type=click.DateTime(TIME_FORMATS), help="End of the assignment, UTC; default: no end.")
@click.option("--reason", default="", help="For the audit and for the user.")
def grant(
    client: SyncClient,
    roles: tuple[str, ...],
    identity: str,
    project: str | None,
    starts: datetime | None,
    ends: datetime | None,
    reason: str,
) -> int:
    """Grant ROLE (one or more) to a user, group or service account.

    Without --project the roles must be system roles. You can grant roles that you have or that your role may grant, but
    not to yourself; a denial names what is missing. A protected role takes effect when an authorized user confirms it.
    """
    body = {"roles": list(roles), "scope": project, "identity": qualified_identity(identity), "reason": reason}
    body |= {key: value.replace(tzinfo=UTC).isoformat() for key, value in (("starts", starts), ("ends", ends)) if value}
    show_message(client.post(api_path("assignments"), body)["message"])
    return ExitCode.DONE


@click.command()
@pass_client
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True)
@click.option("--from", "identity", required=True, help="A user name, group:NAME or service-account:NAME.")
@click.option("--project", help="In this project; default: a system role.")
@click.option("--reason", default="", help="For the audit and for the user.")
def revoke(client: SyncClient, roles: tuple[str, ...], identity: str, project: str | None, reason: str) -> int:
    """Revoke ROLE (one or more); effective with the next command, also in running kernels."""
    body = {"roles": list(roles), "scope": project, "identity": qualified_identity(identity), "reason": reason}
    show_message(client.post(api_path("assignments", "revoke"), body)["message"])
    return ExitCode.DONE
