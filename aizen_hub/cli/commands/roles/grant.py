"""``aizen-hub grant`` and ``revoke``: role assignments."""

from __future__ import annotations

from datetime import datetime

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path
from aizen_hub.cli.options import qualified_identity
from aizen_hub.cli.values import START, TIME_HELP, end_options, local_timestamp


@click.command()
@pass_sender
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True)
@click.option("--to", "identity", required=True, help="A user name, group:NAME or service-account:NAME.")
@click.option("--project", help="In this project; default: a system role.")
@click.option("--from", "starts", type=START, help=f"Start of the assignment: a day or {TIME_HELP}; default: now.")
@end_options()
@click.option("--reason", default="", help="For the audit and for the user.")
def grant(
    sender: ChangeSender,
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
    body |= {key: local_timestamp(value) for key, value in (("starts", starts), ("ends", ends)) if value}
    return sender.finish("POST", api_path("assignments"), body)


@click.command()
@pass_sender
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True)
@click.option("--from", "identity", required=True, help="A user name, group:NAME or service-account:NAME.")
@click.option("--project", help="In this project; default: a system role.")
@click.option("--reason", default="", help="For the audit and for the user.")
def revoke(
    sender: ChangeSender,
    roles: tuple[str, ...],
    identity: str,
    project: str | None,
    reason: str,
) -> int:
    """Revoke ROLE (one or more); effective with the next command, also in running kernels."""
    body = {"roles": list(roles), "scope": project, "identity": qualified_identity(identity), "reason": reason}
    return sender.finish("POST", api_path("assignments", "revoke"), body)
