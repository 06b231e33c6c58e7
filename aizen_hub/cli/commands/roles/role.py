"""``aizen-hub role``: built-in and custom roles, and their assignments."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import qualified_identity
from aizen_hub.cli.output import Output, output_option, show_result
from aizen_hub.cli.values import end_options, local_timestamp, parse_size
from aizen_hub.client.sync_client import SyncClient

BRIEF = ("role", "scope", "identity", "until", "granted_by")


@click.group()
def role() -> None:
    """A role is a named set of permissions (verb:noun) and limits. Built-in roles never change."""


@role.command("list")
@pass_client
@output_option
def list_roles(client: SyncClient, output: Output) -> int:
    """List all roles with their permissions and limits."""
    show_result(output, client.get(api_path("roles")))
    return ExitCode.DONE


@role.command()
@pass_sender
@click.argument("name")
@click.option(
    "-p",
    "--permission",
    "permissions",
    multiple=True,
    help="verb:noun, a bare verb for every noun, or the name of a permission.",
)
@click.option("--limit", "limits", multiple=True, metavar="KIND=NUMBER", help="projects, jobs, memory or cpu.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["system", "project"]),
    help="Where it can be granted; default: as the built-in roles if they are all alike, else in projects.",
)
@click.option("--description", default="", help="The purpose of the role.")
@click.option("--category", default="", help="The category to list it under.")
def create(
    sender: ChangeSender,
    name: str,
    permissions: tuple[str, ...],
    limits: tuple[str, ...],
    scopes: tuple[str, ...],
    description: str,
    category: str,
) -> int:
    """Create the custom role NAME."""
    body: dict[str, object] = {
        "name": name,
        "permissions": list(permissions),
        "limits": _parse_limits(limits),
        "description": description,
        "category": category,
    }
    if scopes:
        body["scopes"] = list(scopes)
    return sender.finish("POST", api_path("roles"), body)


@role.command()
@pass_sender
@click.argument("name")
@click.option(
    "-p", "--permission", "permissions", multiple=True, help="The new permissions, which replace all existing ones."
)
@click.option(
    "--limit", "limits", multiple=True, metavar="KIND=NUMBER", help="The new limits, which replace all existing ones."
)
@click.option("--no-permissions", is_flag=True, help="Remove all permissions.")
@click.option("--no-limits", is_flag=True, help="Remove all limits.")
@click.option("--description", help="The purpose of the role.")
@click.option("--category", help="The category to list it under.")
def alter(
    sender: ChangeSender,
    name: str,
    permissions: tuple[str, ...],
    limits: tuple[str, ...],
    no_permissions: bool,
    no_limits: bool,
    description: str | None,
    category: str | None,
) -> int:
    """Change the custom role NAME for all its holders; options that are not given stay unchanged."""
    body: dict[str, object] = {"description": description, "category": category}
    for option, values, clear in (("permission", permissions, no_permissions), ("limit", limits, no_limits)):
        if values and clear:
            raise click.UsageError(f"use either --{option} or --no-{option}s")
    body |= {"permissions": list(permissions) if permissions or no_permissions else None}
    body |= {"limits": _parse_limits(limits) if limits or no_limits else None}
    body = {key: value for key, value in body.items() if value is not None}
    if not body:
        raise click.UsageError("nothing to change: set at least one option")
    return sender.finish("PATCH", api_path("roles", name), body)


@role.command()
@pass_sender
@click.argument("name")
@click.argument("as_name", metavar="NEW-NAME")
def clone(sender: ChangeSender, name: str, as_name: str) -> int:
    """Create a custom role with the permissions and limits of NAME."""
    return sender.finish("POST", api_path("roles", name, "clone"), {"name": as_name})


@role.command()
@pass_sender
@click.argument("name")
def delete(sender: ChangeSender, name: str) -> int:
    """Delete the custom role NAME, which must not be assigned."""
    return sender.finish("DELETE", api_path("roles", name))


@role.command()
@pass_client
@click.argument("name")
@output_option
def show(client: SyncClient, name: str, output: Output) -> int:
    """Show the role NAME with its permissions: rights and limits."""
    show_result(output, client.get(api_path("roles", name)))
    return ExitCode.DONE


@role.command()
@pass_sender
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True)
@click.option("--user", help="To this user.")
@click.option("--group", help="To this group.")
@click.option("--service-account", help="To this service account.")
@click.option("--project", help="In this project; default: a system role.")
@end_options()
@click.option("--reason", default="", help="For the audit and for the user.")
def assign(
    sender: ChangeSender,
    roles: tuple[str, ...],
    user: str | None,
    group: str | None,
    service_account: str | None,
    project: str | None,
    ends: datetime | None,
    reason: str,
) -> int:
    """Assign ROLE (one or more), as `aizen-hub grant` does, which can also set a start."""
    named = (("user", user), ("group", group), ("service-account", service_account))
    identities = [f"{kind}:{name}" for kind, name in named if name]
    if len(identities) != 1:
        raise click.UsageError("use exactly one of --user, --group and --service-account")
    body: dict[str, Any] = {"roles": list(roles), "scope": project, "identity": identities[0], "reason": reason}
    body |= {} if ends is None else {"ends": local_timestamp(ends)}
    return sender.finish("POST", api_path("assignments"), body)


@role.group()
def assignment() -> None:
    """Role assignments: who has which role, and where."""


@assignment.command("list")
@pass_client
@click.option("--user", help="Only of this user.")
@click.option("--group", help="Only of this group.")
@click.option("--service-account", help="Only of this service account.")
@click.option("--project", help="Only in this project.")
@click.option("--role", "name", help="Only of this role.")
@output_option
def list_assignments(
    client: SyncClient,
    user: str | None,
    group: str | None,
    service_account: str | None,
    project: str | None,
    name: str | None,
    output: Output,
) -> int:
    """List role assignments: identity, role, scope, start and grantor."""
    named = (("user", user), ("group", group), ("service-account", service_account))
    identities = [f"{kind}:{given}" for kind, given in named if given]
    if len(identities) > 1:
        raise click.UsageError("use at most one of --user, --group and --service-account")
    identity = identities[0] if identities else None
    show_result(output, client.get(api_path("assignments", identity=identity, scope=project, role=name)), BRIEF)
    return ExitCode.DONE


@role.command()
@pass_client
@click.option("--identity", help="Only of this user, group:NAME or service-account:NAME.")
@click.option("--project", help="Only in this project.")
@click.option("--role", "name", help="Only of this role.")
@output_option
def holders(client: SyncClient, identity: str | None, project: str | None, name: str | None, output: Output) -> int:
    """List role assignments: identity, role, scope, start and grantor."""
    query = api_path("assignments", identity=identity and qualified_identity(identity), scope=project, role=name)
    show_result(output, client.get(query), BRIEF)
    return ExitCode.DONE


@role.command()
@pass_sender
@click.argument("name")
def release(sender: ChangeSender, name: str) -> int:
    """Release the name of a deleted custom role, so that it can be used again."""
    return sender.finish("POST", api_path("roles", name, "release"))


def _parse_limits(arguments: tuple[str, ...]) -> dict[str, float]:
    limits: dict[str, float] = {}
    for kind, value in map(parse_limit, arguments):
        if limits.setdefault(kind, value) != value:
            raise click.UsageError(f"a role has one limit of each kind: --limit {kind} is given twice")
    return limits


def parse_limit(argument: str) -> tuple[str, float]:
    """Parse ``KIND=NUMBER``; raises click.BadParameter."""
    kind, _, value = argument.partition("=")
    try:
        return kind, parse_size(value)
    except ValueError:
        raise click.BadParameter(f"`{argument}` is not KIND=NUMBER, for example jobs=1 or memory=8GiB") from None
