"""``aizen-hub can-i``, ``who-can``, ``what-if`` and ``whoami``: access queries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import qualified_identity
from aizen_hub.cli.output import Output, output_option, show_message, show_object, show_result, show_rows
from aizen_hub.cli.values import START, timestamp
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Denied

_LISTED = ("command", "scope", "role", "until", "description")


@click.command("can-i")
@pass_client
@click.argument("what", required=False)
@click.option("--list", "list_all", is_flag=True, help="List all commands that are allowed, and by which role.")
@click.option("--project", help="In this project; default: system-wide.")
@click.option("--as", "identity", help="Check for another identity: a user name, group:NAME or service-account:NAME.")
@click.option("--why", is_flag=True, help="Show every role that was considered, and who can grant what is missing.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; only set the exit code.")
@output_option
def can_i(
    client: SyncClient,
    what: str | None,
    list_all: bool,
    project: str | None,
    identity: str | None,
    why: bool,
    quiet: bool,
    output: Output,
) -> int:
    """Check whether WHAT is allowed: a command, as "start training churn", or a permission, as execute:training.

    Exit code 0 for yes, 3 for no; every other code is an error. With --list instead of WHAT it lists the commands that
    are allowed.
    """
    if list_all == (what is not None):
        raise click.UsageError('ask about one command, as in can-i "start training", or list all with --list')
    if what is None:
        subject = None if identity is None else qualified_identity(identity)
        show_rows(output, _LISTED, _allowed_commands(client, subject, project))
        return ExitCode.DONE
    body = _question(what, project)
    if identity is not None:
        body["identity"] = qualified_identity(identity)
    result = client.post(api_path("access-queries", "why" if why else "can-i"), body)
    data = result["data"]
    _show_decision(output, quiet, data if why or output.is_document else {}, result["message"], allowed=data["allowed"])
    return ExitCode.DONE if data["allowed"] else ExitCode.DENIED


@click.command("who-can")
@pass_client
@click.argument("what")
@click.option("--project", help="In this project; default: system-wide.")
@output_option
def who_can(client: SyncClient, what: str, project: str | None, output: Output) -> int:
    """List who may do WHAT, a command or a permission, and through which role."""
    permission, scope = (what, project or "system") if ":" in what else _required_permission(client, what, project)
    if permission is None:
        show_message("every registered user")
        return ExitCode.DONE
    show_result(output, client.post(api_path("access-queries", "who-can"), {"permission": permission, "scope": scope}))
    return ExitCode.DONE


@click.command("what-if")
@pass_client
@click.argument("identity")
@click.argument("what")
@click.option("--project", help="In this project; default: system-wide.")
@click.option("--role", "roles", multiple=True, help="Assume that IDENTITY has this role there.")
@click.option("--group", "groups", multiple=True, help="Assume that IDENTITY is a member of this group.")
@click.option("--at", type=START, help="Assume this time: a day, a duration ahead such as 7d, or a time.")
@output_option
def what_if(
    client: SyncClient,
    identity: str,
    what: str,
    project: str | None,
    roles: tuple[str, ...],
    groups: tuple[str, ...],
    at: datetime | None,
    output: Output,
) -> int:
    """Check whether IDENTITY could do WHAT under the given assumptions; nothing changes.

    Exit code 0 for yes, 3 for no.
    """
    subject = qualified_identity(identity)
    body: dict[str, object] = {**_question(what, project), "identity": subject, "groups": list(groups)}
    body["assignments"] = [{"role": role, "scope": project or "system", "identity": subject} for role in roles]
    if at is not None:
        body["at"] = timestamp(at)
    result = client.post(api_path("access-queries", "what-if"), body)
    data = result["data"]
    _show_decision(output, False, data if output.is_document else {}, result["message"], allowed=data["allowed"])
    return ExitCode.DONE if data["allowed"] else ExitCode.DENIED


@click.command()
@pass_client
@click.option("--as", "user", help="Show another user, as an administrator.")
@click.option("--project", help="With --as: as an administrator of this project; default: system-wide.")
@output_option
def whoami(client: SyncClient, user: str | None, project: str | None, output: Output) -> int:
    """Show your user name and your roles with their ends."""
    if project is not None and user is None:
        raise click.UsageError("--project goes with --as: your own roles are shown in all projects")
    me = client.get(api_path("me")) if user is None else _find_person(client, user, project)
    if output.is_document:
        output.show_document(me)
        return ExitCode.DONE
    show_message(f"{me['user']} ({me['display_name']})")
    show_rows(output, ("role", "scope", "until", "via"), me["roles"])
    return ExitCode.DONE


def _find_person(client: SyncClient, name: str, project: str | None) -> dict[str, Any]:
    """Return another user in the form of one's own; raises Denied to those who may not see the roles."""
    data = client.get(api_path("users", name, project=project))["data"]
    if "assignments" not in data:
        raise Denied(
            f"you may see that `{name}` exists, and not which roles `{name}` has",
            remedy="ask about one project that you administer with --project" if project is None else None,
        )
    return {"user": data["id"], "display_name": data["username"], "roles": data["assignments"]}


def _question(what: str, project: str | None) -> dict[str, str]:
    """Return WHAT as the service reads it: a permission, or a command in a project or in the system."""
    return {"permission" if ":" in what.partition(" ")[0] else "command": what, "scope": project or "system"}


def _allowed_commands(client: SyncClient, identity: str | None, project: str | None) -> list[dict[str, Any]]:
    if identity is None:
        commands: list[dict[str, Any]] = client.get(api_path("session", "commands", project=project))["commands"]
        return commands
    result = client.get(api_path("access-queries", "commands", identity=identity, scope=project))
    return [dict(zip(result["columns"], row, strict=True)) for row in result["rows"]]


def _required_permission(client: SyncClient, command: str, project: str | None) -> tuple[str | None, str]:
    """Return the permission that a command requires and the scope to check it in.

    The permission is None for a command that every registered user may give. Only exact command words match.
    """
    entries = {entry["command"]: entry for entry in client.get(api_path("catalog"))["commands"]}
    words = command.split()
    entry = next((entries[key] for size in (2, 1) if (key := " ".join(words[:size])) in entries), None)
    if entry is None:
        raise click.UsageError(
            f"there is no command `{command}`; ask about a command, or a permission such as read:model"
        )
    if entry["scope"] == "project" and project is None:
        raise click.UsageError(f"`{entry['command']}` needs a project: set --project")
    return entry["permission"], "system" if entry["scope"] == "system" else project or "system"


def _show_decision(
    output: Output, quiet: bool, data: Mapping[str, Any], sentence: str, *, allowed: bool = True
) -> None:
    if quiet:
        return
    if output.is_document:
        output.show_document(data)
        return
    click.echo("yes" if allowed else "no")
    show_message(sentence)
    if data:
        show_object(output, data)
