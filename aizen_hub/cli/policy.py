"""``aizen-hub policy``: access as a file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from aizen_hub.cli.outcome import Outcome
from aizen_hub.cli.output import say
from aizen_hub.settings import Settings

BAD_FILE = Outcome.USAGE


@click.group()
def policy() -> None:
    """Keep roles, groups, projects, assignments and assertions in one YAML file."""


@policy.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per assertion: index, expected, got, reason.")
@click.option("-c", "--config", type=click.Path(path_type=Path, dir_okay=False), help="Use this aizen.yaml's catalog.")
def test(file: Path, as_json: bool, config: Path | None) -> int:
    """Answer the assertions of FILE from the file alone, with no service and no database.

    Exit code 0: all as expected; 1: at least one is not; 2: the file cannot be used.
    """
    from aizen_hub.catalogs.loader import load_catalog
    from aizen_hub.catalogs.yaml_source import SourceError
    from aizen_hub.policy.assertions import run

    catalog = None
    if config is not None:
        settings = Settings.load(config)
        catalog = load_catalog(settings.catalog, settings.overlays)
    try:
        outcomes = run(file, catalog=catalog)
    except SourceError as error:
        say(f"aizen-hub: {error}")
        return BAD_FILE
    missed = [one for one in outcomes if not one.passed]
    for one in outcomes:
        if as_json:
            click.echo(json.dumps(one.to_json(), ensure_ascii=False))
        elif not one.passed:
            click.echo(f"assertion {one.index}: expected {one.expected}, got {one.got}: {one.reason}")
    say(f"{len(outcomes) - len(missed)} as expected, {len(missed)} not" if outcomes else "the file holds no assertions")
    return Outcome.ERROR if missed else Outcome.DONE
