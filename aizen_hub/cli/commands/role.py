"""``aizen-hub role``: built-in and custom roles, and who holds them."""

from __future__ import annotations

import click

from aizen_hub.cli.commands.group import full
from aizen_hub.cli.commands.mapping_rule import dry_run, preference
from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def role() -> None:
    """Roles are named containers of permissions (verb:noun) and limits. Built-in ones never change."""


@role.command("list")
@connected
@output_option
def list_roles(client: SyncClient, output: str) -> int:
    """List all roles with their permissions and limits."""
    show_result(output, client.get(path("roles")))
    return Outcome.DONE


@role.command()
@connected
@click.argument("name")
@click.option("-p", "--permission", "permissions", multiple=True, help="verb:noun, or a bare verb for every noun.")
@click.option("--limit", "limits", multiple=True, metavar="KIND=NUMBER", help="projects, jobs, memory (bytes) or cpu.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(["system", "project"]), default=["project"])
@click.option("--description", default="", help="What it is for.")
@click.option("--category", default="", help="A heading to list it under.")
def create(
    client: SyncClient,
    name: str,
    permissions: tuple[str, ...],
    limits: tuple[str, ...],
    scopes: tuple[str, ...],
    description: str,
    category: str,
) -> int:
    """Make the custom role NAME. It gives nothing to anybody until it is granted."""
    body = {
        "name": name,
        "permissions": list(permissions),
        "limits": dict(map(_limit, limits)),
        "scopes": list(scopes),
        "description": description,
        "category": category,
    }
    say(client.post(path("roles"), body)["message"])
    return Outcome.DONE


@role.command()
@connected
@click.argument("name")
@click.option("-p", "--permission", "permissions", multiple=True, help="The permissions from now on, all of them.")
@click.option("--limit", "limits", multiple=True, metavar="KIND=NUMBER", help="The limits from now on, all of them.")
@click.option("--no-permissions", is_flag=True, help="It gives nothing from now on.")
@click.option("--no-limits", is_flag=True, help="It limits nothing from now on.")
@click.option("--description", help="What it is for.")
@click.option("--category", help="A heading to list it under.")
@dry_run
@output_option
def alter(
    client: SyncClient,
    name: str,
    permissions: tuple[str, ...],
    limits: tuple[str, ...],
    no_permissions: bool,
    no_limits: bool,
    description: str | None,
    category: str | None,
    dry_run: bool,
    output: str,
) -> int:
    """Change the custom role NAME for everybody who holds it; what is not given stays."""
    body: dict[str, object] = {"description": description, "category": category}
    for name_of, given, none in (("permission", permissions, no_permissions), ("limit", limits, no_limits)):
        if given and none:
            raise click.UsageError(f"say either --{name_of} or --no-{name_of}s")
    body |= {"permissions": list(permissions) if permissions or no_permissions else None}
    body |= {"limits": dict(map(_limit, limits)) if limits or no_limits else None}
    body = {key: value for key, value in body.items() if value is not None}
    if not body:
        raise click.UsageError("say what changes")
    show_result(output, client.call("PATCH", path("roles", name), body, preference(dry_run)))
    return Outcome.DONE


@role.command()
@connected
@click.argument("name")
@click.argument("as_name", metavar="NEW-NAME")
def clone(client: SyncClient, name: str, as_name: str) -> int:
    """Make a custom role with the permissions and limits of NAME."""
    say(client.post(path("roles", name, "clone"), {"name": as_name})["message"])
    return Outcome.DONE


@role.command()
@connected
@click.argument("name")
def delete(client: SyncClient, name: str) -> int:
    """Delete the custom role NAME, which nobody may hold any more."""
    say(client.call("DELETE", path("roles", name))["message"])
    return Outcome.DONE


@role.command()
@connected
@click.option("--identity", help="Only of this user, group:NAME or service-account:NAME.")
@click.option("--project", help="Only in this project.")
@click.option("--role", "name", help="Only of this role.")
@output_option
def holders(client: SyncClient, identity: str | None, project: str | None, name: str | None, output: str) -> int:
    """List who holds which role where, since when, and by whom."""
    query = path("assignments", identity=identity and full(identity), scope=project, role=name)
    show_result(output, client.get(query))
    return Outcome.DONE


@role.command()
@connected
@click.argument("name")
def release(client: SyncClient, name: str) -> int:
    """Free the name of a deleted custom role, so that another can have it."""
    say(client.post(path("roles", name, "release"), None)["message"])
    return Outcome.DONE


def _limit(text: str) -> tuple[str, float]:
    kind, _, number = text.partition("=")
    try:
        return kind, float(number)
    except ValueError:
        raise click.BadParameter(f"`{text}` is not KIND=NUMBER, for example jobs=1") from None
