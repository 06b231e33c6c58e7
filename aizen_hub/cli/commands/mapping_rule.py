"""``aizen-hub mapping``: mapping rules from groups of a provider to roles."""

from __future__ import annotations

from typing import Any

import click

from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import dry_run_headers, dry_run_option
from aizen_hub.cli.output import output_option, show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def mapping() -> None:
    """Rules that grant project roles to groups of a directory or OpenID Connect provider."""


@mapping.command("list")
@pass_client
@output_option
def list_rules(client: SyncClient, output: str) -> int:
    """List the rules."""
    show_result(output, client.get(api_path("mappings")))
    return ExitCode.DONE


@mapping.command()
@pass_client
@click.argument("provider")
@click.argument("group")
@click.argument("role")
@click.option("--project", help="The project of the role; omit it if GROUP is a template.")
@dry_run_option
@output_option
def put(
    client: SyncClient, provider: str, group: str, role: str, project: str | None, dry_run: bool, output: str
) -> int:
    """Grant ROLE to the members of GROUP of PROVIDER.

    GROUP is a name, with --project, or a template such as aizen-{project}-executors, which applies to every project.

    You need the right to grant ROLE there. An AIZEN_ADMIN may grant PROJECT_ADMIN; for the other project roles, take
    PROJECT_CREATOR first: `aizen-hub grant PROJECT_CREATOR --to NAME`, with your own name.
    """
    body: dict[str, Any] = {"provider": provider, "group": group, "role": role, "project": project}
    show_result(output, client.request("POST", api_path("mappings"), body, dry_run_headers(dry_run)))
    return ExitCode.DONE


@mapping.command()
@pass_client
@click.argument("rule", type=int)
@dry_run_option
@output_option
def remove(client: SyncClient, rule: int, dry_run: bool, output: str) -> int:
    """Delete the rule with this id, and the roles that it grants."""
    show_result(output, client.request("DELETE", api_path("mappings", str(rule)), headers=dry_run_headers(dry_run)))
    return ExitCode.DONE
