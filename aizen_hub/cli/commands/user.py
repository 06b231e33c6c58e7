"""``aizen-hub user``: people."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from aizen_hub.cli.commands.grant import TIMES
from aizen_hub.cli.commands.linked_login import login
from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_json, show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def user() -> None:
    """Register people, list them, stop them, and delete them."""


user.add_command(login)


@user.command()
@connected
@click.argument("name")
@click.option("--provider", help="Who proves who they are; default: `default_provider` in aizen.yaml.")
@click.option("--display-name", help="The name to show.")
@click.option("--email", help="For alerts.")
@click.option("--role", "roles", multiple=True, help="A system role, with confirmation where it is protected.")
@click.option("--password", is_flag=True, help="Ask for a password here, instead of making an activation link.")
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

    A local account without a password gets an activation link, printed once and valid for 24 hours: send it to the
    person by a way that you trust. People of a directory or identity provider need none.
    """
    body: dict[str, object] = {"name": name, "roles": list(roles)}
    body |= {
        key: value
        for key, value in (("provider", provider), ("display_name", display_name), ("email", email))
        if value is not None
    }
    if password:
        body["password"] = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    answer = client.post(path("users"), body)
    _activation(client, output, answer, answer.get("activation"))
    return Outcome.DONE


@user.command("list")
@connected
@click.option("--project", help="Ask as somebody with a role in this project.")
@output_option
def list_users(client: SyncClient, project: str | None, output: str) -> int:
    """List the registered people; contact data and roles for those who manage users only."""
    show_result(output, client.get(path("users", project=project)))
    return Outcome.DONE


@user.command()
@connected
@click.argument("name")
@click.option("--display-name", help="The name to show.")
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
    """Change the contact data of NAME, your own or as an administrator; what is not given stays."""
    given = (("display_name", display_name), ("email", email), ("phone", phone))
    body: dict[str, object] = {key: value for key, value in given if value is not None}
    if ways := {key: value for key, value in (("email", alerts), ("phone", phone_alerts)) if value is not None}:
        body["alerts"] = ways
    if not body:
        raise click.UsageError("say what changes")
    say(client.call("PATCH", path("users", name), body)["message"])
    return Outcome.DONE


@user.command()
@connected
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(client: SyncClient, names: tuple[str, ...], yes: bool) -> int:
    """Delete people: registration, contact data, every role, session and lock. Their names stay reserved."""
    if not yes:
        click.confirm(f"Delete {', '.join(names)} with every role?", abort=True, err=True)
    for name in names:
        say(client.call("DELETE", path("users", name))["message"])
    return Outcome.DONE


@user.command()
@connected
@click.argument("name")
@click.option("--reason", required=True, help="For the audit.")
@click.option("--until", "ends", type=click.DateTime(TIMES), help="UTC; default: until the lock is removed.")
@output_option
def stop(client: SyncClient, name: str, reason: str, ends: datetime | None, output: str) -> int:
    """Stop NAME now: lock the account, end sessions and browser sign-ins, delete hub tokens, stop servers.

    `aizen-hub lock remove identity NAME` lets them in again; whoever does that needs every right that NAME holds, so
    give an end with --until where there will be one.
    """
    body: dict[str, object] = {"reason": reason}
    if ends is not None:
        body["ends"] = ends.replace(tzinfo=UTC).isoformat()
    show_result(output, client.post(path("users", name, "stop"), body))
    return Outcome.DONE


@user.command("activation-link")
@connected
@click.argument("name")
@output_option
def activation_link(client: SyncClient, name: str, output: str) -> int:
    """Make a new activation link for NAME; an earlier one is void.

    For somebody with a protected role it waits until an entitled person confirms it, who is then shown the link.
    """
    answer = client.post(path("users", name, "activation"), None)
    _activation(client, output, answer, answer["data"].get("activation"))
    return Outcome.DONE


@user.command()
@connected
@click.argument("name")
def release(client: SyncClient, name: str) -> int:
    """Free the name of a deleted person, after their hub user and files are gone."""
    say(client.post(path("users", name, "release"), None)["message"])
    return Outcome.DONE


def _activation(client: SyncClient, output: str, answer: dict[str, object], link: dict[str, str] | None) -> None:
    if output == "json":
        show_json(answer)
        return
    say(str(answer["message"]))
    if link is not None:
        # The client's address ends with the service's prefix, which the link begins with.
        click.echo(client.url.removesuffix("/services/aizen") + link["link"])
        say(f"valid until {link['expires']}, for one use")
