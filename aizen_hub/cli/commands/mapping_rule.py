"""``aizen-hub mapping``: which groups of a provider give which roles."""

from __future__ import annotations

from typing import Any

import click

from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, show_result
from aizen_hub.client.sync_client import SyncClient

DRY = {"Prefer": "dry-run"}
dry_run = click.option("--dry-run", is_flag=True, help="Show who would gain and who would lose what; change nothing.")


@click.group()
def mapping() -> None:
    """Rules by which groups of a directory or OpenID Connect provider give roles in projects."""


@mapping.command("list")
@connected
@output_option
def list_rules(client: SyncClient, output: str) -> int:
    """List the rules."""
    show_result(output, client.get(path("mappings")))
    return Outcome.DONE


@mapping.command()
@connected
@click.argument("provider")
@click.argument("group")
@click.argument("role")
@click.option("--project", help="Where the role is given; absent if GROUP is a template.")
@dry_run
@output_option
def put(
    client: SyncClient, provider: str, group: str, role: str, project: str | None, dry_run: bool, output: str
) -> int:
    """Let GROUP of PROVIDER give ROLE.

    GROUP is a name, with --project, or a template such as aizen-{project}-executors, which concerns every project.
    """
    body: dict[str, Any] = {"provider": provider, "group": group, "role": role, "project": project}
    show_result(output, client.call("POST", path("mappings"), body, preference(dry_run)))
    return Outcome.DONE


@mapping.command()
@connected
@click.argument("rule", type=int)
@dry_run
@output_option
def remove(client: SyncClient, rule: int, dry_run: bool, output: str) -> int:
    """Delete the rule with this number, and what it gives."""
    show_result(output, client.call("DELETE", path("mappings", str(rule)), headers=preference(dry_run)))
    return Outcome.DONE


def preference(dry: bool) -> dict[str, str]:
    return DRY if dry else {}
