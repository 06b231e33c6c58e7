"""``aizen-hub tokens``: end the role tokens that were issued so far."""

from __future__ import annotations

import click

from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def tokens() -> None:
    """A role token lets one running server send commands for a few minutes; the server renews it by itself."""


@tokens.command()
@connected
@click.option("--user", metavar="NAME", help="Those of one person; your own need no right.")
@click.option("--project", metavar="NAME", help="Those of everybody in one project.")
@click.option("--all", "every", is_flag=True, help="Those of everybody; an entitled person confirms it in the panel.")
@click.option("--reason", default="", help="For the audit.")
def revoke(client: SyncClient, user: str | None, project: str | None, every: bool, reason: str) -> int:
    """End role tokens issued so far, for example after one of them was seen where it should not be.

    From the answer on every replica refuses them. Nobody is signed out and no server stops: servers that run get new
    tokens by themselves, as long as their people may be here. To keep somebody out use `lock add` or `user stop`;
    against a signing key in the wrong hands use `keys withdraw`.
    """
    chosen = [(what, name) for what, name in (("user", user), ("project", project)) if name is not None]
    if len(chosen) + every != 1:
        raise click.UsageError("give one of --user, --project and --all")
    body = {"target": "all"} if every else dict(zip(("target", "name"), chosen[0], strict=True))
    show_result("table", client.post(path("tokens", "revoke"), {**body, "reason": reason}))
    return Outcome.DONE
