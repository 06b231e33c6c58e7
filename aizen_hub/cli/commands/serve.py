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

    For the panel and the command line it needs the variables JUPYTERHUB_API_URL, JUPYTERHUB_API_TOKEN and
    JUPYTERHUB_CLIENT_ID, which docs/separate-service.md explains.
    """
    from aizen_hub.service.server import run

    return run(config)
