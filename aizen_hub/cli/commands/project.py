"""``aizen-hub project``: projects and their members."""

from __future__ import annotations

from pathlib import Path

import click

from aizen_hub.cli.commands.mapping_rule import dry_run, preference
from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_json, show_object, show_result, show_rows
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.validation import strict_json


@click.group()
def project() -> None:
    """Projects: scopes in which people have roles."""


@project.command("list")
@connected
@output_option
def list_projects(client: SyncClient, output: str) -> int:
    """List your projects, with your roles there."""
    show_result(output, client.get(path("projects")))
    return Outcome.DONE


@project.command()
@connected
@click.argument("name")
@click.option("--description", default="", help="What it is about.")
@click.option("--members", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A project users file.")
def create(client: SyncClient, name: str, description: str, members: Path | None) -> int:
    """Make the project NAME; you become its admin, and the people of the file get their roles in the same step."""
    body: dict[str, object] = {"name": name, "description": description}
    if members is not None:
        body["members"] = strict_json.loads(members.read_bytes())
    say(client.post(path("projects"), body)["message"])
    return Outcome.DONE


@project.command()
@connected
@click.argument("name")
@output_option
def show(client: SyncClient, name: str, output: str) -> int:
    """Show the project NAME, with its members for those who may see them."""
    result = client.get(path("projects", name))
    if output == "json":
        show_json(result)
        return Outcome.DONE
    data = dict(result["data"])
    members = data.pop("members", None)
    show_object(output, data)
    if members is not None:
        show_rows(output, ("id", "roles", "alerts"), members)
    return Outcome.DONE


@project.command()
@connected
@click.argument("name")
def export(client: SyncClient, name: str) -> int:
    """Print the configuration of the project NAME as JSON."""
    show_json(client.get(path("projects", name, "config"))["data"])
    return Outcome.DONE


@project.command()
@connected
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--version", help="Only if the project is still at this version, as `project show -o json` tells it.")
@dry_run
@output_option
def alter(client: SyncClient, name: str, file: Path, version: str | None, dry_run: bool, output: str) -> int:
    """Replace the users, roles and alerts of the project NAME by those in FILE, in their entirety."""
    headers = preference(dry_run) | ({} if version is None else {"If-Match": f'"{version}"'})
    body = {"members": strict_json.loads(file.read_bytes())}
    show_result(output, client.call("PUT", path("projects", name, "members"), body, headers))
    return Outcome.DONE


@project.command()
@connected
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for the name.")
def delete(client: SyncClient, name: str, yes: bool) -> int:
    """Delete the project NAME with every role, limit and session in it. The name stays reserved."""
    if not yes and click.prompt("Type the project's name to delete it", err=True) != name:
        say("that is not its name; nothing was deleted")
        return Outcome.ERROR
    say(client.call("DELETE", path("projects", name))["message"])
    return Outcome.DONE


@project.command()
@connected
@click.argument("name")
def release(client: SyncClient, name: str) -> int:
    """Free the name of a deleted project, so that another can have it and nothing of the old one is left."""
    say(client.post(path("projects", name, "release"), None)["message"])
    return Outcome.DONE
