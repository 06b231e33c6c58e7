"""``aizen-hub group``: groups of the store."""

from __future__ import annotations

import click

from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def group() -> None:
    """Groups hold roles for their members, groups among them. Groups of a directory are filled by it."""


@group.command("list")
@connected
@output_option
def list_groups(client: SyncClient, output: str) -> int:
    """List the groups."""
    show_result(output, client.get(path("groups")))
    return Outcome.DONE


@group.command()
@connected
@click.argument("name")
@click.option("--description", default="", help="What it is for.")
@click.option("--provider", help="The provider that fills it; absent for a local group.")
def create(client: SyncClient, name: str, description: str, provider: str | None) -> int:
    """Make the group NAME."""
    body = {"name": name, "description": description} | ({"provider": provider} if provider else {})
    say(client.post(path("groups"), body)["message"])
    return Outcome.DONE


@group.command()
@connected
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(client: SyncClient, name: str, yes: bool) -> int:
    """Delete the group NAME, and with it what its members held through it."""
    if not yes:
        click.confirm(f"Delete the group {name} with every role?", abort=True, err=True)
    say(client.call("DELETE", path("groups", name))["message"])
    return Outcome.DONE


@group.command()
@connected
@click.argument("name")
@output_option
def members(client: SyncClient, name: str, output: str) -> int:
    """List the members of the group NAME."""
    show_result(output, client.get(path("groups", name, "members")))
    return Outcome.DONE


@group.command()
@connected
@click.argument("name")
@click.argument("identity")
def add(client: SyncClient, name: str, identity: str) -> int:
    """Put IDENTITY (a user's name, or group:NAME) into the group NAME."""
    say(client.call("PUT", path("groups", name, "members", full(identity)))["message"])
    return Outcome.DONE


@group.command()
@connected
@click.argument("name")
@click.argument("identity")
def remove(client: SyncClient, name: str, identity: str) -> int:
    """Take IDENTITY (a user's name, or group:NAME) out of the group NAME."""
    say(client.call("DELETE", path("groups", name, "members", full(identity)))["message"])
    return Outcome.DONE


@group.command()
@connected
@click.argument("name")
@click.option("--description", help="What it is for.")
@click.option("--default/--no-default", default=None, help="Whether every new user joins it.")
def alter(client: SyncClient, name: str, description: str | None, default: bool | None) -> int:
    """Change the group NAME; what is not given stays."""
    given = (("description", description), ("joined_by_everybody", default))
    body = {key: value for key, value in given if value is not None}
    if not body:
        raise click.UsageError("say what changes")
    say(client.call("PATCH", path("groups", name), body)["message"])
    return Outcome.DONE


@group.command()
@connected
@click.argument("name")
def release(client: SyncClient, name: str) -> int:
    """Free the name of a deleted group, so that another can have it."""
    say(client.post(path("groups", name, "release"), None)["message"])
    return Outcome.DONE


def full(identity: str) -> str:
    """Return ``user:NAME`` for a bare name; names hold no colon."""
    return identity if ":" in identity else f"user:{identity}"
