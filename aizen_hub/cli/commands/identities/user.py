"""``aizen-hub user``: registered users."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from aizen_hub.api_models.revocation import HUB_USER_EXISTS
from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.commands.identities.linked_login import login
from aizen_hub.cli.commands.identities.user_import import import_users
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Output, output_option, show_message, show_object, show_result, show_rows
from aizen_hub.cli.values import end_options, timestamp
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Conflict

_BRIEF = ("id", "username", "provider", "roles", "active", "last_seen")


@click.group()
def user() -> None:
    """Register, list, stop and delete users."""


user.add_command(login)
user.add_command(import_users)


@user.command()
@pass_sender
@click.argument("name")
@click.option("--provider", help="The identity provider of the user; default: `default_provider` in aizen.yaml.")
@click.option("--display-name", help="The displayed name.")
@click.option("--email", help="For alerts.")
@click.option("--role", "roles", multiple=True, help="A system role; a protected one needs confirmation.")
@click.option("--password", is_flag=True, help="Ask for a password, instead of creating an activation link.")
def create(
    sender: ChangeSender,
    name: str,
    provider: str | None,
    display_name: str | None,
    email: str | None,
    roles: tuple[str, ...],
    password: bool,
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
    if password and not sender.dry_run:
        body["password"] = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    result = sender.send("POST", api_path("users"), body, show=sender.dry_run, repeat=False)
    if not sender.dry_run:
        _show_activation(sender, result, result.get("activation"))
    return ExitCode.DONE


@user.command("list")
@pass_client
@click.option("--project", help="As an administrator of this project; default: system-wide.")
@click.option("--search", metavar="TEXT", help="Only users whose name, displayed name or address contains TEXT.")
@output_option
def list_users(client: SyncClient, project: str | None, search: str | None, output: Output) -> int:
    """List the registered users; contact data for administrators only."""
    show_result(output, client.get(api_path("users", project=project, search=search)), _BRIEF)
    return ExitCode.DONE


@user.command()
@pass_client
@click.argument("name")
@click.option("--project", help="As an administrator of this project; default: system-wide.")
@output_option
def show(client: SyncClient, name: str, project: str | None, output: Output) -> int:
    """Show the user NAME, and the roles and limits of NAME."""
    person: dict[str, Any] = client.get(api_path("users", name, project=project))["data"]
    if output.is_document or output.columns:
        show_object(output, person)
        return ExitCode.DONE
    roles = person.pop("assignments", [])
    show_object(output, person)
    if roles:
        click.echo()
        show_rows(output, ("role", "scope", "via", "until", "granted_by"), roles)
    return ExitCode.DONE


@user.command()
@pass_sender
@click.argument("name")
@click.option("--display-name", help="The displayed name.")
@click.option("--email", help="For alerts; empty to remove it.")
@click.option("--phone", help="For alerts; empty to remove it.")
@click.option("--alerts/--no-alerts", default=None, help="Whether to send alerts by mail.")
@click.option("--phone-alerts/--no-phone-alerts", default=None, help="Whether to send alerts to the phone.")
def alter(
    sender: ChangeSender,
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
    return sender.finish("PATCH", api_path("users", name), body)


@user.command()
@pass_sender
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(sender: ChangeSender, names: tuple[str, ...], yes: bool) -> int:
    """Delete users with contact data, roles, sessions and locks. Their names stay reserved."""
    sender.confirm(f"Delete {', '.join(names)} with all roles?", yes=yes)
    for name in names:
        sender.send("DELETE", api_path("users", name))
    return ExitCode.DONE


@user.command()
@pass_sender
@click.argument("name")
@click.option("--reason", required=True, help="For the audit.")
@end_options("the lock")
def stop(sender: ChangeSender, name: str, reason: str, ends: datetime | None) -> int:
    """Stop NAME now: lock the account, end sessions and browser logins, delete hub tokens, stop servers.

    `aizen-hub lock remove identity NAME --reason …` undoes the lock; what has ended does not come back. With --dry-run
    it lists the sessions and commands that would end.
    """
    body = {"reason": reason} | ({} if ends is None else {"ends": timestamp(ends)})
    sender.send("POST", api_path("users", name, "stop"), body, repeat=False)
    if not sender.dry_run and not sender.output.is_document:
        show_message(f"to undo the lock: aizen-hub lock remove identity {name} --reason …")
    return ExitCode.DONE


@user.command("activation-link")
@pass_sender
@click.argument("name")
@click.option("--mail", is_flag=True, help="Send it to the registered address of NAME, instead of printing it.")
def activation_link(sender: ChangeSender, name: str, mail: bool) -> int:
    """Create a new activation link for the local account NAME; an earlier one becomes invalid.

    It is printed for an account that was never activated, and for one of which you have every right; otherwise it is
    sent to the registered e-mail address of NAME. If NAME has a protected role, an authorized user has to confirm it,
    and is then shown the link.
    """
    path = api_path("users", name, "activation", delivery="mail" if mail else None)
    result = sender.send("POST", path, None, show=sender.dry_run, repeat=False)
    if not sender.dry_run:
        _show_activation(sender, result, result["data"].get("activation"))
    return ExitCode.DONE


@user.command()
@pass_sender
@click.argument("name")
@click.option("--yes", is_flag=True, help="Delete the hub's record of the user without asking for confirmation.")
def release(sender: ChangeSender, name: str, yes: bool) -> int:
    """Release the name of a deleted user, so that it can be used again.

    If the hub still has a record of the user, it is deleted after confirmation, with all tokens and servers. Move or
    delete the files first: a new user of that name gets what is left in the home directory. KubeSpawner deletes its
    volumes with the record.
    """
    path = api_path("users", name, "release")
    try:
        return sender.finish("POST", path, {"delete_hub_user": yes})
    except Conflict as problem:
        if problem.extensions.get("reason") != HUB_USER_EXISTS:
            raise
        show_message(f"{problem.detail}.")
    sender.confirm("Delete this record now, with all tokens and servers? Files in a home directory stay", yes=yes)
    return sender.finish("POST", path, {"delete_hub_user": True})


def _show_activation(sender: ChangeSender, result: dict[str, Any], link: dict[str, str] | None) -> None:
    if sender.output.is_document:
        sender.output.show_document(result)
        return
    show_message(str(result["message"]))
    if link is not None:
        # The client's address ends with the prefix with which the link begins.
        click.echo(sender.client.url.removesuffix("/services/aizen") + link["link"])
        show_message(f"valid until {link['expires']}, for one use")
