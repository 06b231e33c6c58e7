"""``aizen-hub group``: groups and their members."""

from __future__ import annotations

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import qualified_identity
from aizen_hub.cli.output import Output, output_option, show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def group() -> None:
    """Groups have roles for their members, which may be groups. A directory fills its own groups."""


@group.command("list")
@pass_client
@output_option
def list_groups(client: SyncClient, output: Output) -> int:
    """List the groups."""
    show_result(output, client.get(api_path("groups")))
    return ExitCode.DONE


@group.command()
@pass_sender
@click.argument("name")
@click.option("--description", default="", help="The purpose of the group.")
@click.option("--provider", help="The provider that fills the group; default: a local group.")
def create(sender: ChangeSender, name: str, description: str, provider: str | None) -> int:
    """Create the group NAME."""
    body = {"name": name, "description": description} | ({"provider": provider} if provider else {})
    return sender.finish("POST", api_path("groups"), body)


@group.command()
@pass_sender
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(sender: ChangeSender, name: str, yes: bool) -> int:
    """Delete the group NAME; its members lose the roles of the group."""
    sender.confirm(f"Delete the group {name} with all its roles?", yes=yes)
    return sender.finish("DELETE", api_path("groups", name))


@group.command()
@pass_client
@click.argument("name")
@output_option
def members(client: SyncClient, name: str, output: Output) -> int:
    """List the members of the group NAME."""
    show_result(output, client.get(api_path("groups", name, "members")))
    return ExitCode.DONE


@group.command()
@pass_sender
@click.argument("name")
@click.argument("identity")
def add(sender: ChangeSender, name: str, identity: str) -> int:
    """Add IDENTITY (a user name, or group:NAME) to the group NAME."""
    return sender.finish("PUT", api_path("groups", name, "members", qualified_identity(identity)))


@group.command()
@pass_sender
@click.argument("name")
@click.argument("identity")
def remove(sender: ChangeSender, name: str, identity: str) -> int:
    """Remove IDENTITY (a user name, or group:NAME) from the group NAME."""
    return sender.finish("DELETE", api_path("groups", name, "members", qualified_identity(identity)))


@group.command()
@pass_sender
@click.argument("name")
@click.option("--description", help="The purpose of the group.")
@click.option("--default/--no-default", default=None, help="Whether every new user becomes a member.")
def alter(sender: ChangeSender, name: str, description: str | None, default: bool | None) -> int:
    """Change the group NAME; options that are not given stay unchanged."""
    values = (("description", description), ("joined_by_new_users", default))
    body = {key: value for key, value in values if value is not None}
    if not body:
        raise click.UsageError("nothing to change: set at least one option")
    return sender.finish("PATCH", api_path("groups", name), body)


@group.command()
@pass_sender
@click.argument("name")
def release(sender: ChangeSender, name: str) -> int:
    """Release the name of a deleted group, so that it can be used again."""
    return sender.finish("POST", api_path("groups", name, "release"))
