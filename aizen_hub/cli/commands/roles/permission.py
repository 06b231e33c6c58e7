"""``aizen-hub permission``: built-in and custom permissions, of which roles are made."""

from __future__ import annotations

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.commands.roles.role import parse_limit
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Output, output_option, show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def permission() -> None:
    """A permission is a right (verb:noun) or a limit with its value; roles are made of them."""


@permission.command("list")
@pass_client
@click.option("--role", help="Only those of this role.")
@click.option("--all", "show_all", is_flag=True, help="Also each permission that a single command requires.")
@output_option
def list_permissions(client: SyncClient, role: str | None, show_all: bool, output: Output) -> int:
    """List the permissions that have a name, and the roles that give them."""
    if role is not None:
        show_result(output, client.get(api_path("roles", role)))
        return ExitCode.DONE
    result = client.get(api_path("permissions"))
    origin = (result.get("columns") or []).index("origin") if not show_all and result.get("columns") else None
    if origin is not None:
        result["rows"] = [row for row in result["rows"] if row[origin] != "command"]
    show_result(output, result)
    return ExitCode.DONE


@permission.command()
@pass_sender
@click.argument("name")
@click.option("--allows", metavar="VERB:NOUN", help="The right that it gives, or a bare verb for every noun.")
@click.option("--limit", metavar="KIND=NUMBER", help="Or its limit: projects, jobs, memory or cpu.")
@click.option("--description", default="", help="What it is for.")
def create(sender: ChangeSender, name: str, allows: str | None, limit: str | None, description: str) -> int:
    """Create the custom permission NAME, such as "5 Project Limit". It has no effect until a role has it."""
    if (allows is None) == (limit is None):
        raise click.UsageError("use either --allows or --limit")
    body: dict[str, object] = {"name": name, "description": description}
    if limit is None:
        body["permission"] = allows
    else:
        body["limit"], body["value"] = parse_limit(limit)
    return sender.finish("POST", api_path("permissions"), body)


@permission.command()
@pass_sender
@click.argument("name")
@click.option("--role", required=True, help="The custom role.")
def assign(sender: ChangeSender, name: str, role: str) -> int:
    """Assign NAME, a permission or verb:noun, to a custom role, for all its holders."""
    path = api_path("roles", role, "permissions")
    return sender.finish("POST", path, {"permission": name})


@permission.command()
@pass_sender
@click.argument("name")
@click.option("--role", required=True, help="The custom role.")
def remove(sender: ChangeSender, name: str, role: str) -> int:
    """Remove NAME, a permission or verb:noun, from a custom role, for all its holders."""
    path = api_path("roles", role, "permissions", "remove")
    return sender.finish("POST", path, {"permission": name})


@permission.command()
@pass_sender
@click.argument("name")
def delete(sender: ChangeSender, name: str) -> int:
    """Delete the custom permission NAME, which must not be part of a role."""
    return sender.finish("DELETE", api_path("permissions", name))
