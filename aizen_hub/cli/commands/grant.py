"""``aizen-hub grant`` and ``revoke``: roles change hands."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from aizen_hub.cli.commands.group import full
from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import say
from aizen_hub.client.sync_client import SyncClient

TIMES = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]


@click.command()
@connected
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True)
@click.option("--to", "identity", required=True, help="A user's name, group:NAME or service-account:NAME.")
@click.option("--project", help="In this project; absent for a role of the system.")
@click.option("--from", "starts", type=click.DateTime(TIMES), help="From then on, UTC; default: now.")
@click.option("--until", "ends", type=click.DateTime(TIMES), help="Not any more from then on, UTC; default: no end.")
@click.option("--reason", default="", help="For the audit and for the person.")
def grant(
    client: SyncClient,
    roles: tuple[str, ...],
    identity: str,
    project: str | None,
    starts: datetime | None,
    ends: datetime | None,
    reason: str,
) -> int:
    """Give ROLE (one or more) to a user, group or service account.

    Without --project the roles must be roles of the system. You can give what you hold or what your role may give,
    never to yourself; a refusal names what is missing. A protected role waits until an entitled person confirms it.
    """
    body = {"roles": list(roles), "scope": project, "identity": full(identity), "reason": reason}
    body |= {key: value.replace(tzinfo=UTC).isoformat() for key, value in (("starts", starts), ("ends", ends)) if value}
    say(client.post(path("assignments"), body)["message"])
    return Outcome.DONE


@click.command()
@connected
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True)
@click.option("--from", "identity", required=True, help="A user's name, group:NAME or service-account:NAME.")
@click.option("--project", help="In this project; absent for a role of the system.")
@click.option("--reason", default="", help="For the audit and for the person.")
def revoke(client: SyncClient, roles: tuple[str, ...], identity: str, project: str | None, reason: str) -> int:
    """Take ROLE (one or more) away; it is gone at the next command, in running kernels too."""
    body = {"roles": list(roles), "scope": project, "identity": full(identity), "reason": reason}
    say(client.post(path("assignments", "revoke"), body)["message"])
    return Outcome.DONE
