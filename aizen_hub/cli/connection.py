"""Where the service is and who asks: the options that every remote command shares."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import click

from aizen_hub.client.secret_file import SecretFileError, read_secret
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import NotAuthenticated

F = TypeVar("F", bound=Callable[..., Any])
SERVICE = "/services/aizen"
URL, TOKEN = "AIZEN_HUB_URL", "AIZEN_HUB_TOKEN"
SECONDS = 40.0
"""Longer than anything that the service does in one request: stopping a person waits for their servers."""


def connected(command: F) -> Callable[..., Any]:
    """Give a command ``--url`` and ``--token-file``, and a `SyncClient` as its first argument."""

    @click.option("--url", envvar=URL, metavar="URL", help=f"The hub's address, as in the browser.  [env: {URL}]")
    @click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"A file with your hub token, mode 0600; without it the token is taken from {TOKEN}.",
    )
    @functools.wraps(command)
    def with_client(*args: Any, url: str | None, token_file: Path | None, **kwargs: Any) -> Any:
        return command(client(url, token_file), *args, **kwargs)

    return with_client


def client(url: str | None, token_file: Path | None) -> SyncClient:
    """Build the client; says what to set where the address or the token is missing."""
    if not url:
        raise click.UsageError(
            f"where is the hub? set {URL}, or give --url, to the address that you open in the browser"
        )
    try:
        token = read_secret(token_file) if token_file else os.environ.get(TOKEN, "").strip()
        if not token:
            raise NotAuthenticated(
                "you are not signed in here",
                remedy=f"make a token at {url.rstrip('/')}/hub/token and put it in {TOKEN} or in a --token-file",
            )
        return SyncClient(url.rstrip("/") + SERVICE, f"token {token}", deadline=SECONDS)
    except SecretFileError as error:
        raise click.UsageError(str(error)) from None
    except ValueError as error:
        raise click.UsageError(f"--url: {error}") from None


def path(*parts: str, **query: str | None) -> str:
    """Build an address below ``/api/v1`` in which no part can mean anything but itself."""
    asked = {key: value for key, value in query.items() if value is not None}
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts) + ("?" + urlencode(asked) if asked else "")
