"""``aizen-hub tokens``: revocation of role tokens."""

from __future__ import annotations

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path


@click.group()
def tokens() -> None:
    """A role token authorizes the commands of one running server for a few minutes; the server renews it by itself."""


@tokens.command()
@pass_sender
@click.option("--user", metavar="NAME", help="Tokens of one user; your own need no permission.")
@click.option("--project", metavar="NAME", help="Tokens of all users in one project.")
@click.option(
    "--all", "revoke_all", is_flag=True, help="All tokens; an authorized user has to confirm it in the panel."
)
@click.option("--reason", default="", help="For the audit.")
def revoke(sender: ChangeSender, user: str | None, project: str | None, revoke_all: bool, reason: str) -> int:
    """Revoke role tokens, for example after one of them leaked.

    Once the command returns, every replica rejects them. No user is signed out and no server stops: running servers get
    new tokens by themselves, as long as their users are allowed to use the project. To block a user use `lock add` or
    `user stop`; if a signing key leaked use `keys withdraw`.
    """
    targets = [(target, name) for target, name in (("user", user), ("project", project)) if name is not None]
    if len(targets) + revoke_all != 1:
        raise click.UsageError("set exactly one of --user, --project and --all")
    body = {"target": "all"} if revoke_all else dict(zip(("target", "name"), targets[0], strict=True))
    return sender.finish("POST", api_path("tokens", "revoke"), {**body, "reason": reason})
