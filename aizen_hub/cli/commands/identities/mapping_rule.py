"""``aizen-hub mapping``: mapping rules from groups of a provider to roles."""

from __future__ import annotations

from typing import Any

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path, pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Output, output_option, show_result
from aizen_hub.client.sync_client import SyncClient


@click.group()
def mapping() -> None:
    """Rules that grant project roles to groups of a directory or OpenID Connect provider."""


@mapping.command("list")
@pass_client
@output_option
def list_rules(client: SyncClient, output: Output) -> int:
    """List the rules."""
    show_result(output, client.get(api_path("mappings")))
    return ExitCode.DONE


@mapping.command()
@pass_sender
@click.argument("provider")
@click.argument("group")
@click.argument("role")
@click.option("--project", help="The project of the role; omit it if GROUP is a template.")
def put(sender: ChangeSender, provider: str, group: str, role: str, project: str | None) -> int:
    """Grant ROLE to the members of GROUP of PROVIDER.

    GROUP is a name, with --project, or a template such as aizen-{project}-executors, which applies to every project.

    You need the right to grant ROLE there. An AIZEN_ADMIN may grant PROJECT_ADMIN; for the other project roles, take
    PROJECT_CREATOR first: `aizen-hub grant PROJECT_CREATOR --to NAME`, with your own name.
    """
    body: dict[str, Any] = {"provider": provider, "group": group, "role": role, "project": project}
    return sender.finish("POST", api_path("mappings"), body)


@mapping.command()
@pass_sender
@click.argument("rule", type=int)
def remove(sender: ChangeSender, rule: int) -> int:
    """Delete the rule with this id, and the roles that it grants."""
    return sender.finish("DELETE", api_path("mappings", str(rule)))
