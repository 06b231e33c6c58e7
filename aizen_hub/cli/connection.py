"""Connection options of the commands that call a running service: its address and the hub token."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import click

from aizen_hub.client.hub_address_client import HubAddressClient
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import NotAuthenticated
from aizen_hub.secret_files import SecretFileError, read_token

F = TypeVar("F", bound=Callable[..., Any])
SERVICE_PREFIX = "/services/aizen"
URL_VARIABLE, TOKEN_VARIABLE = "AIZEN_HUB_URL", "AIZEN_HUB_TOKEN"
REQUEST_SECONDS = 40.0
"""Longer than any request of the service takes: stopping a user waits for that user's servers."""


def pass_client(command: F) -> Callable[..., Any]:
    """Add ``--url`` and ``--token-file`` to a command and pass it a `SyncClient` as its first argument."""

    @click.option(
        "--url",
        envvar=URL_VARIABLE,
        metavar="URL",
        help=f"The address of the hub, as in the browser.  [env: {URL_VARIABLE}]",
    )
    @click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"A file with your hub token, mode 0600; default: the token in {TOKEN_VARIABLE}.",
    )
    @functools.wraps(command)
    def with_client(*args: Any, url: str | None, token_file: Path | None, **kwargs: Any) -> Any:
        return command(create_client(url, token_file), *args, **kwargs)

    return with_client


def create_client(url: str | None, token_file: Path | None) -> SyncClient:
    """Return a client of the service at the hub's address.

    Raises
    ------
    click.UsageError
        The address is missing or invalid, or the token file cannot be read.
    NotAuthenticated
        There is no token.
    """
    if not url:
        raise click.UsageError(
            f"the address of the hub is missing: set {URL_VARIABLE} or --url to the address in the browser"
        )
    try:
        token = read_token(token_file) if token_file else os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            raise NotAuthenticated(
                "you are not signed in",
                remedy=f"create a token at {url.rstrip('/')}/hub/token and set {TOKEN_VARIABLE} or --token-file",
            )
        return HubAddressClient(url.rstrip("/") + SERVICE_PREFIX, f"token {token}", deadline=REQUEST_SECONDS)
    except SecretFileError as error:
        raise click.UsageError(str(error)) from None
    except ValueError as error:
        raise click.UsageError(f"--url: {error}") from None


def api_path(*parts: str, **query: str | None) -> str:
    """Return a path below ``/api/v1`` with each part percent-encoded; omits query parameters that are None."""
    parameters = {key: value for key, value in query.items() if value is not None}
    return (
        "/api/v1/"
        + "/".join(quote(part, safe="") for part in parts)
        + ("?" + urlencode(parameters) if parameters else "")
    )
