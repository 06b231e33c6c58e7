"""``aizen-hub policy``: the access policy as a file."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from aizen_hub.catalogs.yaml_source import SourceError, read_source
from aizen_hub.cli.connection import pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.operation_progress import follow_operation
from aizen_hub.cli.options import dry_run_option
from aizen_hub.cli.output import Output, output_option, show_json, show_message, show_result
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.settings import Settings

if TYPE_CHECKING:
    from aizen_hub.policy.assertions import AssertionResult

POLICY_PATH = "/api/v1/policy"
INVALID_FILE = ExitCode.USAGE
prune_option = click.option(
    "--prune",
    is_flag=True,
    help="Also take away what FILE does not contain: holders in its scopes, members of its groups, groups, roles.",
)
config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Check the assertions with the catalog and overlays of this aizen.yaml.",
)
file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))


@click.group()
def policy() -> None:
    """Keep roles, groups, projects, assignments and assertions in one YAML file."""


@policy.command()
@pass_client
def export(client: SyncClient) -> int:
    """Print the current state as a policy file; applying it changes nothing."""
    document = client.get(POLICY_PATH)["data"]["policy"]
    click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120), nl=False)
    return ExitCode.DONE


@policy.command()
@pass_client
@file_argument
@prune_option
@output_option
def plan(client: SyncClient, file: Path, prune: bool, output: Output) -> int:
    """Show the steps of applying FILE, and which roles each identity would gain or lose; nothing changes.

    Ctrl-C cancels it.
    """
    try:
        _show_plan(output, _request_plan(client, _read(file), prune))
    except SourceError as error:
        return _report_bad_file(error)
    return ExitCode.DONE


@policy.command()
@pass_client
@file_argument
@prune_option
@click.option("--yes", is_flag=True, help="Do not show the plan and ask for confirmation.")
@dry_run_option
@config_option
@output_option
def apply(
    client: SyncClient, file: Path, prune: bool, yes: bool, dry_run: bool, config: Path | None, output: Output
) -> int:
    """Apply FILE completely or not at all, after its assertions hold and you confirmed the plan.

    The assertions are checked locally, from the file alone; set -c if they depend on an overlay.

    What FILE lists is there afterwards: roles, projects, groups with these members, assignments with these times. What
    it does not list stays. With --prune the assignments in its scopes and the members of its groups become exactly
    those of FILE, so a holder who is missing from it is revoked, and local groups and custom roles that its sections
    omit are deleted. Users and projects always stay, and so do a project creator's own role, what mapping rules give
    and what a directory says.

    Each step is authorized like the corresponding command; protected roles wait for confirmation in the panel. It runs
    as an operation of the service: everything takes effect at once at its end, and Ctrl-C before that changes nothing.
    """
    try:
        document = _read(file)
        # Only assertions need the catalog here; the service applies the file with its own.
        failed = _count_failed(file, config) if document.get("assertions") else 0
    except SourceError as error:
        if config is None:
            show_message(
                "the assertions were checked against the unmodified catalog; set -c aizen.yaml to use its overlays"
            )
        return _report_bad_file(error)
    if failed:
        show_message(f"{failed} assertions do not hold, so nothing was applied; see `aizen-hub policy test {file}`")
        return ExitCode.ERROR
    if dry_run:
        _show_plan(output, _request_plan(client, document, prune))
        return ExitCode.DONE
    if not yes:
        _show_plan(Output(), _request_plan(client, document, prune))
        click.confirm("Apply it?", abort=True, err=True)
    operation = client.post(POLICY_PATH, {"policy": document, "prune": prune})
    show_result(output, follow_operation(client, operation))
    return ExitCode.DONE


@policy.command("schema")
def show_schema() -> int:
    """Print the JSON Schema of policy files, for editors and validators."""
    from aizen_hub.policy.format import json_schema

    show_json(json_schema())
    return ExitCode.DONE


@policy.command()
@file_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object per assertion: index, expected, got, reason.")
@config_option
def test(file: Path, as_json: bool, config: Path | None) -> int:
    """Check the assertions of FILE from the file alone, without a service or database.

    Exit code 0: all hold; 1: at least one does not; 2: the file is invalid.
    """
    try:
        outcomes = _run_assertions(file, config)
    except SourceError as error:
        return _report_bad_file(error)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    for outcome in outcomes:
        if as_json:
            click.echo(json.dumps(outcome.to_json(), ensure_ascii=False))
        elif not outcome.passed:
            click.echo(
                f"assertion {outcome.index}: expected {outcome.expected}, got {outcome.actual}: {outcome.reason}"
            )
    show_message(
        f"{len(outcomes) - len(failed)} passed, {len(failed)} failed" if outcomes else "the file has no assertions"
    )
    return ExitCode.ERROR if failed else ExitCode.DONE


def _read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = _to_json_value(read_source(file).data)
    return document


def _to_json_value(value: Any) -> Any:
    """Return a value from YAML as JSON represents it; a time without a zone is UTC, as in YAML."""
    if isinstance(value, datetime):
        return value.isoformat() if value.tzinfo else value.isoformat() + "Z"
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00Z"
    if isinstance(value, dict):
        return {str(key): _to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json_value(item) for item in value]
    return value


def _count_failed(file: Path, config: Path | None) -> int:
    return sum(not outcome.passed for outcome in _run_assertions(file, config))


def _run_assertions(file: Path, config: Path | None) -> list[AssertionResult]:
    from aizen_hub.catalogs.loader import load_catalog
    from aizen_hub.policy.assertions import run_assertions

    if config is None:
        return run_assertions(file)
    settings = Settings.load(config)
    return run_assertions(file, catalog=load_catalog(settings.catalog, settings.overlays))


def _request_plan(client: SyncClient, document: Any, prune: bool) -> dict[str, Any]:
    body = {"policy": document, "prune": prune}
    return follow_operation(client, client.request("POST", POLICY_PATH, body, {"Prefer": "dry-run"}))


def _show_plan(output: Output, plan: dict[str, Any]) -> None:
    if not output.is_document:
        for step in plan["data"]["steps"]:
            show_message(step)
    show_result(output, plan)


def _report_bad_file(error: SourceError) -> int:
    show_message(f"aizen-hub: {error}")
    return INVALID_FILE
