"""``aizen-hub policy``: access as a file."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from aizen_hub.catalogs.yaml_source import SourceError, read_source
from aizen_hub.cli.connection import connected
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_json, show_result
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.settings import Settings

if TYPE_CHECKING:
    from aizen_hub.policy.assertions import Outcome as Answered

ADDRESS = "/api/v1/policy"
BAD_FILE = Outcome.USAGE
PRUNE = click.option(
    "--prune", is_flag=True, help="Also delete the local groups and custom roles that FILE's sections leave out."
)
CONFIG = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Answer the assertions with the catalog and overlays of this aizen.yaml.",
)
FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))


@click.group()
def policy() -> None:
    """Keep roles, groups, projects, assignments and assertions in one YAML file."""


@policy.command()
@connected
def export(client: SyncClient) -> int:
    """Print the present state as a policy file; applied again, it changes nothing."""
    document = client.get(ADDRESS)["data"]["policy"]
    click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120), nl=False)
    return Outcome.DONE


@policy.command()
@connected
@FILE
@PRUNE
@output_option
def plan(client: SyncClient, file: Path, prune: bool, output: str) -> int:
    """Show each step, and who would gain and who would lose which rights, if FILE were applied; nothing changes."""
    try:
        _show_plan(output, _plan(client, _read(file), prune))
    except SourceError as error:
        return _bad(error)
    return Outcome.DONE


@policy.command()
@connected
@FILE
@PRUNE
@click.option("--yes", is_flag=True, help="Do not show the plan and ask first.")
@CONFIG
@output_option
def apply(client: SyncClient, file: Path, prune: bool, yes: bool, config: Path | None, output: str) -> int:
    """Bring FILE into force, whole or not at all, after its assertions hold and you agreed to the plan.

    Its assertions are answered here, from the file; where they name what an overlay adds, say -c.

    Made exact is what the file names: the members of its groups, and the assignments in its scopes. Groups and roles
    that it leaves out stay, unless you say --prune; users and projects always do. Each step is judged as its own
    command would be.
    """
    try:
        document = _read(file)
        # Without assertions there is nothing to answer here: the service knows its own catalog.
        missed = _missed(file, config) if document.get("assertions") else 0
    except SourceError as error:
        if config is None:
            say("its assertions were asked of the catalog as it comes; say -c aizen.yaml where an overlay changes it")
        return _bad(error)
    if missed:
        say(f"{missed} of its assertions do not hold, so nothing was applied; see `aizen-hub policy test {file}`")
        return Outcome.ERROR
    if not yes:
        _show_plan("table", _plan(client, document, prune))
        click.confirm("Apply it?", abort=True, err=True)
    show_result(output, client.post(ADDRESS, {"policy": document, "prune": prune}))
    return Outcome.DONE


@policy.command("schema")
def show_schema() -> int:
    """Print the JSON Schema of the file, for editors and checkers."""
    from aizen_hub.policy.format import schema

    show_json(schema())
    return Outcome.DONE


@policy.command()
@FILE
@click.option("--json", "as_json", is_flag=True, help="One JSON object per assertion: index, expected, got, reason.")
@CONFIG
def test(file: Path, as_json: bool, config: Path | None) -> int:
    """Answer the assertions of FILE from the file alone, with no service and no database.

    Exit code 0: all as expected; 1: at least one is not; 2: the file cannot be used.
    """
    try:
        outcomes = _outcomes(file, config)
    except SourceError as error:
        return _bad(error)
    missed = [one for one in outcomes if not one.passed]
    for one in outcomes:
        if as_json:
            click.echo(json.dumps(one.to_json(), ensure_ascii=False))
        elif not one.passed:
            click.echo(f"assertion {one.index}: expected {one.expected}, got {one.got}: {one.reason}")
    say(f"{len(outcomes) - len(missed)} as expected, {len(missed)} not" if outcomes else "the file holds no assertions")
    return Outcome.ERROR if missed else Outcome.DONE


def _read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = _plain(read_source(file).data)
    return document


def _plain(value: Any) -> Any:
    """Return what YAML gave as JSON carries it; a time without a zone is UTC, as YAML has it."""
    if isinstance(value, datetime):
        return value.isoformat() if value.tzinfo else value.isoformat() + "Z"
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00Z"
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _missed(file: Path, config: Path | None) -> int:
    return sum(not one.passed for one in _outcomes(file, config))


def _outcomes(file: Path, config: Path | None) -> list[Answered]:
    from aizen_hub.catalogs.loader import load_catalog
    from aizen_hub.policy.assertions import run

    if config is None:
        return run(file)
    settings = Settings.load(config)
    return run(file, catalog=load_catalog(settings.catalog, settings.overlays))


def _plan(client: SyncClient, document: Any, prune: bool) -> dict[str, Any]:
    body = {"policy": document, "prune": prune}
    answer: dict[str, Any] = client.call("POST", ADDRESS, body, {"Prefer": "dry-run"})
    return answer


def _show_plan(output: str, plan: dict[str, Any]) -> None:
    if output == "table":
        for step in plan["data"]["steps"]:
            say(step)
    show_result(output, plan)


def _bad(error: SourceError) -> int:
    say(f"aizen-hub: {error}")
    return BAD_FILE
