"""``aizen-hub can-i``, ``who-can``, ``what-if`` and ``whoami``: questions about access."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from aizen_hub.cli.commands.grant import TIMES
from aizen_hub.cli.commands.group import full
from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_json, show_object, show_result, show_rows
from aizen_hub.client.sync_client import SyncClient


@click.command("can-i")
@connected
@click.argument("what")
@click.option("--project", help="In this project; absent for the system.")
@click.option("--as", "identity", help="Ask about somebody else: a user's name, group:NAME or service-account:NAME.")
@click.option("--why", is_flag=True, help="Show every way that was tried, and who could give what is missing.")
@click.option("-q", "--quiet", is_flag=True, help="Only the exit code.")
@output_option
def can_i(
    client: SyncClient, what: str, project: str | None, identity: str | None, why: bool, quiet: bool, output: str
) -> int:
    """Ask whether WHAT is allowed: a command such as "start training churn", or a permission such as execute:training.

    Exit code 0 for yes, 3 for no; every other code means that there is no answer.
    """
    permission, scope = (what, project or "system") if ":" in what else _of_command(client, what, project)
    if permission is None:
        sentence = "allowed to everybody who is registered"
        _tell(output, quiet, {"allowed": True, "sentence": sentence}, sentence)
        return Outcome.DONE
    body = {"permission": permission, "scope": scope}
    if identity is not None:
        body["identity"] = full(identity)
    answer = client.post(path("questions", "why" if why else "can-i"), body)
    data = answer["data"]
    _tell(output, quiet, data if why or output == "json" else {}, answer["message"], allowed=data["allowed"])
    return Outcome.DONE if data["allowed"] else Outcome.DENIED


@click.command("who-can")
@connected
@click.argument("what")
@click.option("--project", help="In this project; absent for the system.")
@output_option
def who_can(client: SyncClient, what: str, project: str | None, output: str) -> int:
    """List who may do WHAT, a command or a permission, and by which role."""
    permission, scope = (what, project or "system") if ":" in what else _of_command(client, what, project)
    if permission is None:
        say("everybody who is registered")
        return Outcome.DONE
    show_result(output, client.post(path("questions", "who-can"), {"permission": permission, "scope": scope}))
    return Outcome.DONE


@click.command("what-if")
@connected
@click.argument("identity")
@click.argument("what")
@click.option("--project", help="In this project; absent for the system.")
@click.option("--role", "roles", multiple=True, help="Suppose that they had this role there.")
@click.option("--group", "groups", multiple=True, help="Suppose that they were in this group.")
@click.option("--at", type=click.DateTime(TIMES), help="Suppose that it was then, UTC.")
@output_option
def what_if(
    client: SyncClient,
    identity: str,
    what: str,
    project: str | None,
    roles: tuple[str, ...],
    groups: tuple[str, ...],
    at: datetime | None,
    output: str,
) -> int:
    """Ask whether IDENTITY could do WHAT if something were different; nothing changes.

    Exit code 0 for yes, 3 for no.
    """
    permission, scope = (what, project or "system") if ":" in what else _of_command(client, what, project)
    if permission is None:
        say("allowed to everybody who is registered")
        return Outcome.DONE
    whom = full(identity)
    body: dict[str, object] = {"permission": permission, "scope": scope, "identity": whom, "groups": list(groups)}
    body["assignments"] = [{"role": one, "scope": scope, "identity": whom} for one in roles]
    if at is not None:
        body["at"] = at.replace(tzinfo=UTC).isoformat()
    answer = client.post(path("questions", "what-if"), body)
    data = answer["data"]
    _tell(output, False, data if output == "json" else {}, answer["message"], allowed=data["allowed"])
    return Outcome.DONE if data["allowed"] else Outcome.DENIED


@click.command()
@connected
@output_option
def whoami(client: SyncClient, output: str) -> int:
    """Show who you are here, and the roles you hold."""
    me = client.get(path("me"))
    if output == "json":
        show_json(me)
        return Outcome.DONE
    say(f"{me['user']} ({me['display_name']})")
    show_rows(output, ("role", "scope", "via"), me["roles"])
    return Outcome.DONE


def _of_command(client: SyncClient, what: str, project: str | None) -> tuple[str | None, str]:
    """Return the permission that a command needs, and the scope to ask in; exact words only, as everywhere."""
    entries = {entry["command"]: entry for entry in client.get(path("catalog"))["commands"]}
    words = what.split()
    entry = next((entries[key] for size in (2, 1) if (key := " ".join(words[:size])) in entries), None)
    if entry is None:
        raise click.UsageError(f"there is no command `{what}`; ask about a command, or a permission such as read:model")
    if entry["scope"] == "project" and project is None:
        raise click.UsageError(f"`{entry['command']}` is a command of projects: say in which, with --project")
    return entry["permission"], "system" if entry["scope"] == "system" else project or "system"


def _tell(output: str, quiet: bool, data: Mapping[str, Any], sentence: str, *, allowed: bool = True) -> None:
    if quiet:
        return
    if output == "json":
        show_json(data)
        return
    click.echo("yes" if allowed else "no")
    say(sentence)
    if data:
        show_object(output, data)
