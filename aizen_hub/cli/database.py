"""``aizen-hub db``: the schema of the database, changed only when an operator says so (R5)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from aizen_hub.cli.outcome import Outcome
from aizen_hub.cli.output import say
from aizen_hub.settings import Settings


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        default="aizen.yaml",
        show_default=True,
        help="The configuration file.",
    )(command)


@click.group()
def db() -> None:
    """Look after the database that aizen.yaml names."""


@db.command()
@config_option
@click.option(
    "--service-role", help="On PostgreSQL: the role that the service connects with; it may only add to the audit."
)
@click.option("--url", envvar="AIZEN_OWNER_URL", help="Connect as the owner of the tables.  [env: AIZEN_OWNER_URL]")
def upgrade(config: Path, service_role: str | None, url: str | None) -> int:
    """Bring the schema to this version, in one transaction.

    On PostgreSQL keep two roles: an owner that upgrades, and a service role that aizen.yaml names. With --service-role
    the owner gives it what the service needs, and no way to change or remove what was recorded.

    Run it once after an installation on PostgreSQL and after each upgrade of aizen-hub, before the service starts. A
    new SQLite file is made by the service itself.
    """
    from aizen_hub.store import schema

    settings = Settings.load(config)
    if settings.embedded and settings.database is None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    click.echo(schema.upgrade(url or settings.database_url, service_role))
    say("the schema is at this version")
    return Outcome.DONE


@db.command()
@config_option
def check(config: Path) -> int:
    """Say whether the schema is the one this version works with; exits 1 if not."""
    from aizen_hub.store import schema

    settings = Settings.load(config)
    if settings.embedded and settings.database is None and not (settings.data_dir / "aizen.sqlite").exists():
        say("there is no database yet; the service makes it at its first start, or `aizen-hub db upgrade` does")
        return Outcome.NOT_FOUND
    click.echo(schema.check(settings.database_url))
    say("the schema is the one this version works with")
    return Outcome.DONE
