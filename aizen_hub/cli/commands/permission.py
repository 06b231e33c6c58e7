"""``aizen-hub permission``: built-in and custom permissions, of which roles are made."""

from __future__ import annotations

import click

from aizen_hub.cli.commands.role import parse_limit
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import dry_run_headers, dry_run_option
from aizen_hub.cli.output import output_option, show_message, show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def permission() -> None:
    """A permission is a right (verb:noun) or a limit with its value; roles are made of them."""


@permission.command("list")
@pass_client
@click.option("--role", help="Only those of this role.")
@click.option("--all", "show_all", is_flag=True, help="Also each permission that a single command requires.")
@output_option
def list_permissions(client: SyncClient, role: str | None, show_all: bool, output: str) -> int:
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
@pass_client
@click.argument("name")
@click.option("--allows", metavar="VERB:NOUN", help="The right that it gives, or a bare verb for every noun.")
@click.option("--limit", metavar="KIND=NUMBER", help="Or its limit: projects, jobs, memory (bytes) or cpu.")
@click.option("--description", default="", help="What it is for.")
def create(client: SyncClient, name: str, allows: str | None, limit: str | None, description: str) -> int:
    """Create the custom permission NAME, such as "5 Project Limit". It has no effect until a role has it."""
    if (allows is None) == (limit is None):
        raise click.UsageError("use either --allows or --limit")
    body: dict[str, object] = {"name": name, "description": description}
    if limit is None:
        body["permission"] = allows
    else:
        body["limit"], body["value"] = parse_limit(limit)
    show_message(client.post(api_path("permissions"), body)["message"])
    return ExitCode.DONE


@permission.command()
@pass_client
@click.argument("name")
@click.option("--role", required=True, help="The custom role.")
@dry_run_option
@output_option
def assign(client: SyncClient, name: str, role: str, dry_run: bool, output: str) -> int:
    """Assign NAME, a permission or verb:noun, to a custom role, for all its holders."""
    path = api_path("roles", role, "permissions")
    show_result(output, client.request("POST", path, {"permission": name}, dry_run_headers(dry_run)))
    return ExitCode.DONE


@permission.command()
@pass_client
@click.argument("name")
@click.option("--role", required=True, help="The custom role.")
@dry_run_option
@output_option
def remove(client: SyncClient, name: str, role: str, dry_run: bool, output: str) -> int:
    """Remove NAME, a permission or verb:noun, from a custom role, for all its holders."""
    path = api_path("roles", role, "permissions", "remove")
    show_result(output, client.request("POST", path, {"permission": name}, dry_run_headers(dry_run)))
    return ExitCode.DONE


@permission.command()
@pass_client
@click.argument("name")
def delete(client: SyncClient, name: str) -> int:
    """Delete the custom permission NAME, which must not be part of a role."""
    show_message(client.request("DELETE", api_path("permissions", name))["message"])
    return ExitCode.DONE
