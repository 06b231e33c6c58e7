"""``aizen-hub serve``: the service in a process of its own."""

from __future__ import annotations

from pathlib import Path

import click

from aizen_hub.cli.commands.database import config_option


@click.command()
@config_option
def serve(config: Path) -> int:
    """Run the service until it is told to end (SIGTERM, Ctrl-C).

    Not needed where the hub starts it, which it does by default (`service: {managed: true}`). On SQLite one service
    runs per file; several share a PostgreSQL database.
    """
    from aizen_hub.service.server import run

    return run(config)
