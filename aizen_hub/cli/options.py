"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

DRY_RUN_HEADERS = {"Prefer": "dry-run"}

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show which rights each identity would gain or lose; change nothing."
)


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-c/--config``, the path of ``aizen.yaml``."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        default="aizen.yaml",
        show_default=True,
        help="The configuration file.",
    )(command)


def dry_run_headers(dry_run: bool) -> dict[str, str]:
    """Return the request headers that ask for a dry run (RFC 7240); empty otherwise."""
    return DRY_RUN_HEADERS if dry_run else {}


def qualified_identity(identity: str) -> str:
    """Return ``user:NAME`` for a bare name; a name cannot contain a colon."""
    return identity if ":" in identity else f"user:{identity}"
