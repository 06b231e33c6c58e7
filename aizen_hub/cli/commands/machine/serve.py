"""``aizen-hub serve``: the service as a separate process."""

from __future__ import annotations

from pathlib import Path

import click

from aizen_hub.cli.options import config_option


@click.command()
@config_option
def serve(config: Path) -> int:
    """Run the service until SIGTERM or Ctrl-C.

    Not needed if the hub starts the service, which is the default (`service: {managed: true}`). Only one service can
    use a SQLite file; several can share a PostgreSQL database.

    For the panel and the command line it needs to know the hub: `hub` in aizen.yaml, which `aizen-hub init --replica`
    writes together with the secrets, see docs/separate-service.md.
    """
    from aizen_hub.service.server import run

    return run(config)
