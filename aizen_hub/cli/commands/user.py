"""``aizen-hub user``: registered users."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from aizen_hub.api_models.revocation import HUB_USER_EXISTS
from aizen_hub.cli.commands.linked_login import login
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import TIME_FORMATS, dry_run_headers
from aizen_hub.cli.output import output_option, show_json, show_message, show_result
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Conflict


@click.group()
def user() -> None:
    """Register, list, stop and delete users."""


user.add_command(login)


@user.command()
@pass_client
@click.argument("name")
@click.option("--provider", help="The identity provider of the user; default: `default_provider` in aizen.yaml.")
@click.option("--display-name", help="The displayed name.")
@click.option("--email", help="For alerts.")
@click.option("--role", "roles", multiple=True, help="A system role; a protected one needs confirmation.")
@click.option("--password", is_flag=True, help="Ask for a password, instead of creating an activation link.")
@output_option
def create(
    client: SyncClient,
    name: str,
    provider: str | None,
    display_name: str | None,
    email: str | None,
    roles: tuple[str, ...],
    password: bool,
    output: str,
) -> int:
    """Register NAME.

    A local account without a password gets an activation link, printed once and valid for 24 hours: send it to the user
    through a trusted channel. Users of a directory or identity provider need no link.
    """
    body: dict[str, object] = {"name": name, "roles": list(roles)}
    body |= {
        key: value
        for key, value in (("provider", provider), ("display_name", display_name), ("email", email))
        if value is not None
    }
    if password:
        body["password"] = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    result = client.post(api_path("users"), body)
    _show_activation(client, output, result, result.get("activation"))
    return ExitCode.DONE


@user.command("list")
@pass_client
@click.option("--project", help="Authorize the query with your roles in this project.")
@output_option
def list_users(client: SyncClient, project: str | None, output: str) -> int:
    """List the registered users; contact data and roles are shown to user managers only."""
    show_result(output, client.get(api_path("users", project=project)))
    return ExitCode.DONE


@user.command()
@pass_client
@click.argument("name")
@click.option("--display-name", help="The displayed name.")
@click.option("--email", help="For alerts; empty to remove it.")
@click.option("--phone", help="For alerts; empty to remove it.")
@click.option("--alerts/--no-alerts", default=None, help="Whether to send alerts by mail.")
@click.option("--phone-alerts/--no-phone-alerts", default=None, help="Whether to send alerts to the phone.")
def alter(
    client: SyncClient,
    name: str,
    display_name: str | None,
    email: str | None,
    phone: str | None,
    alerts: bool | None,
    phone_alerts: bool | None,
) -> int:
    """Change the contact data of NAME, your own or as an administrator; options that are not given stay unchanged."""
    values = (("display_name", display_name), ("email", email), ("phone", phone))
    body: dict[str, object] = {key: value for key, value in values if value is not None}
    if channels := {key: value for key, value in (("email", alerts), ("phone", phone_alerts)) if value is not None}:
        body["alerts"] = channels
    if not body:
        raise click.UsageError("nothing to change: set at least one option")
    show_message(client.request("PATCH", api_path("users", name), body)["message"])
    return ExitCode.DONE


@user.command()
@pass_client
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(client: SyncClient, names: tuple[str, ...], yes: bool) -> int:
    """Delete users with contact data, roles, sessions and locks. Their names stay reserved."""
    if not yes:
        click.confirm(f"Delete {', '.join(names)} with all roles?", abort=True, err=True)
    for name in names:
        show_message(client.request("DELETE", api_path("users", name))["message"])
    return ExitCode.DONE


@user.command()
@pass_client
@click.argument("name")
@click.option("--reason", required=True, help="For the audit.")
@click.option(
    "--until", "ends", type=click.DateTime(TIME_FORMATS), help="End of the lock, UTC; default: until it is removed."
)
@click.option("--dry-run", is_flag=True, help="Show which sessions and commands would end; change nothing.")
@output_option
def stop(client: SyncClient, name: str, reason: str, ends: datetime | None, dry_run: bool, output: str) -> int:
    """Stop NAME now: lock the account, end sessions and browser logins, delete hub tokens, stop servers.

    `aizen-hub lock remove identity NAME --reason …` undoes the lock; what has ended does not come back.
    """
    body: dict[str, object] = {"reason": reason}
    if ends is not None:
        body["ends"] = ends.replace(tzinfo=UTC).isoformat()
    show_result(output, client.request("POST", api_path("users", name, "stop"), body, dry_run_headers(dry_run)))
    if not dry_run and output != "json":
        show_message(f"to undo the lock: aizen-hub lock remove identity {name} --reason …")
    return ExitCode.DONE


@user.command("activation-link")
@pass_client
@click.argument("name")
@click.option("--mail", is_flag=True, help="Send it to the registered address of NAME, instead of printing it.")
@output_option
def activation_link(client: SyncClient, name: str, mail: bool, output: str) -> int:
    """Create a new activation link for the local account NAME; an earlier one becomes invalid.

    It is printed for an account that was never activated, and for one of which you have every right; otherwise it is
    sent to the registered e-mail address of NAME. If NAME has a protected role, an authorized user has to confirm it,
    and is then shown the link.
    """
    result = client.post(api_path("users", name, "activation", delivery="mail" if mail else None), None)
    _show_activation(client, output, result, result["data"].get("activation"))
    return ExitCode.DONE


@user.command()
@pass_client
@click.argument("name")
@click.option("--yes", is_flag=True, help="Delete the hub's record of the user without asking for confirmation.")
def release(client: SyncClient, name: str, yes: bool) -> int:
    """Release the name of a deleted user, so that it can be used again.

    If the hub still has a record of the user, it is deleted after confirmation, with all tokens and servers. Move or
    delete the files first: a new user of that name gets what is left in the home directory. KubeSpawner deletes its
    volumes with the record.
    """
    path = api_path("users", name, "release")
    try:
        result = client.post(path, {"delete_hub_user": yes})
    except Conflict as problem:
        if problem.extensions.get("reason") != HUB_USER_EXISTS:
            raise
        show_message(f"{problem.detail}.")
        click.confirm(
            "Delete this record now, with all tokens and servers? Files in a home directory stay", abort=True, err=True
        )
        result = client.post(path, {"delete_hub_user": True})
    show_message(result["message"])
    return ExitCode.DONE


def _show_activation(client: SyncClient, output: str, result: dict[str, object], link: dict[str, str] | None) -> None:
    if output == "json":
        show_json(result)
        return
    show_message(str(result["message"]))
    if link is not None:
        # The client's address ends with the prefix with which the link begins.
        click.echo(client.url.removesuffix("/services/aizen") + link["link"])
        show_message(f"valid until {link['expires']}, for one use")
