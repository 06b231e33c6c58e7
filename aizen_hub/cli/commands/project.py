"""``aizen-hub project``: projects and their members."""

from __future__ import annotations

from pathlib import Path

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Output, output_option, show_json, show_message, show_object, show_result, show_rows
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Denied
from aizen_hub.validation import strict_json


@click.group()
def project() -> None:
    """Projects: scopes in which users have roles."""


@project.command("list")
@pass_client
@output_option
def list_projects(client: SyncClient, output: Output) -> int:
    """List your projects, with your roles there."""
    show_result(output, client.get(api_path("projects")))
    return ExitCode.DONE


@project.command()
@pass_sender
@click.argument("name")
@click.option("--description", default="", help="The purpose of the project.")
@click.option("--members", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A project users file.")
def create(sender: ChangeSender, name: str, description: str, members: Path | None) -> int:
    """Create the project NAME; you become its admin, and the users in the file get their roles in the same step."""
    body: dict[str, object] = {"name": name, "description": description}
    if members is not None:
        body["members"] = strict_json.loads(members.read_bytes())
    return sender.finish("POST", api_path("projects"), body)


@project.command()
@pass_client
@click.argument("name")
@output_option
def show(client: SyncClient, name: str, output: Output) -> int:
    """Show the project NAME, and its members if you may see them."""
    result = client.get(api_path("projects", name))
    if output.is_document:
        output.show_document(result["data"])
        return ExitCode.DONE
    data = dict(result["data"])
    members = data.pop("members", None)
    show_object(output, data)
    if members is not None:
        show_rows(output, ("id", "roles", "alerts"), members)
    return ExitCode.DONE


@project.command()
@pass_client
@click.argument("name")
@output_option
def members(client: SyncClient, name: str, output: Output) -> int:
    """List the users of the project NAME with their roles."""
    found = client.get(api_path("projects", name))["data"].get("members")
    if found is None:
        raise Denied(
            f"you may not see who works in `{name}`",
            remedy=f"ask an administrator of `{name}` for a role that may",
        )
    show_rows(output, ("id", "roles", "alerts"), found)
    return ExitCode.DONE


@project.command()
@pass_client
@click.argument("name")
def export(client: SyncClient, name: str) -> int:
    """Print the configuration of the project NAME as JSON."""
    show_json(client.get(api_path("projects", name, "config"))["data"])
    return ExitCode.DONE


@project.command()
@pass_sender
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--version", help="Only if the project still has this version, as shown by `project show -o json`.")
def alter(sender: ChangeSender, name: str, file: Path, version: str | None) -> int:
    """Replace all users, roles and alerts of the project NAME by those in FILE."""
    headers = None if version is None else {"If-Match": f'"{version}"'}
    body = {"members": strict_json.loads(file.read_bytes())}
    return sender.finish("PUT", api_path("projects", name, "members"), body, headers)


@project.command()
@pass_sender
@click.argument("name")
@click.option("--reason", required=True, help="For the audit, and shown in refusals.")
def archive(sender: ChangeSender, name: str, reason: str) -> int:
    """Archive the project NAME: its members can go on reading, and everything that changes it is refused.

    No role is granted or revoked there by command or request, and no server starts for it. Groups and mapping rules
    span projects and stay in effect: users who join or leave a group with a role there get or lose it. Running servers
    go on, and can read.
    """
    return sender.finish("POST", api_path("locks"), {"target": "archive", "name": name, "reason": reason})


@project.command()
@pass_sender
@click.argument("name")
@click.option("--reason", required=True, help="For the audit.")
def restore(sender: ChangeSender, name: str, reason: str) -> int:
    """Let the archived project NAME be used again, by everyone with a role there.

    It waits until a user who may confirms it in the panel after signing in again, which can be you.
    """
    return sender.finish("POST", api_path("locks", "remove"), {"target": "archive", "name": name, "reason": reason})


@project.command()
@pass_sender
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(sender: ChangeSender, name: str, yes: bool) -> int:
    """Delete the project NAME with its roles, limits and sessions. The name stays reserved.

    Your own servers of the project go on without a project. Others stop after `session.project_end_grace_seconds`, and
    their notebooks say why.
    """
    if not yes and not sender.dry_run and click.prompt("Type the name of the project to delete it", err=True) != name:
        show_message("the name does not match; nothing was deleted")
        return ExitCode.ERROR
    return sender.finish("DELETE", api_path("projects", name))


@project.command()
@pass_sender
@click.argument("name")
def release(sender: ChangeSender, name: str) -> int:
    """Release the name of a deleted project, so that it can be used again."""
    return sender.finish("POST", api_path("projects", name, "release"))
