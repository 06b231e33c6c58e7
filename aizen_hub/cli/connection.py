"""Connection options of the commands that call a running service: its address and the hub token."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import click

from aizen_hub.cli.contexts import CONTEXT_VARIABLE, ContextStore
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
    """Add the options of the connection to a command and pass it a `SyncClient` as its first argument."""

    @pass_connector
    @functools.wraps(command)
    def with_client(connect: Callable[[], SyncClient], *args: Any, **kwargs: Any) -> Any:
        return command(connect(), *args, **kwargs)

    return with_client


def pass_connector(command: F) -> Callable[..., Any]:
    """Do the same for a command that needs the service for some questions only: pass it what returns the client."""

    @click.option(
        "--url",
        envvar=URL_VARIABLE,
        metavar="URL",
        help=f"The address of the hub, as in the browser; default: that of `login`.  [env: {URL_VARIABLE}]",
    )
    @click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"A file with your hub token, mode 0600; default: {TOKEN_VARIABLE} where the address is that of --url or "
        f"{URL_VARIABLE}, else the token of `login`.",
    )
    @click.option("--context", help=f"The hub of this context, see `aizen-hub context`.  [env: {CONTEXT_VARIABLE}]")
    @functools.wraps(command)
    def with_connector(*args: Any, url: str | None, token_file: Path | None, context: str | None, **kwargs: Any) -> Any:
        return command(lambda: create_client(url, token_file, context=context), *args, **kwargs)

    return with_connector


def create_client(
    url: str | None, token_file: Path | None, *, context: str | None = None, seconds: float = REQUEST_SECONDS
) -> SyncClient:
    """Return a client of the service at the hub's address.

    Parameters
    ----------
    url : str or None
        None: the address of the context.
    context : str or None
        Wins over the address and the token of the environment.

    Raises
    ------
    click.UsageError
        The address is missing or invalid, or the token file cannot be read.
    NotAuthenticated
        There is no token.
    ContextError
    """
    address, token = _find_address_and_token(url, context)
    if not address:
        raise click.UsageError(
            f"the address of the hub is missing: run `aizen-hub login https://…`, or set {URL_VARIABLE} or --url"
        )
    try:
        token = read_token(token_file) if token_file else token
        if not token:
            raise NotAuthenticated(
                "you are not signed in",
                remedy=f"run `aizen-hub login {address}`; or create a token at {address}/hub/token and set "
                f"{TOKEN_VARIABLE} or --token-file",
            )
        return HubAddressClient(address + SERVICE_PREFIX, f"token {token}", deadline=seconds)
    except SecretFileError as error:
        raise click.UsageError(str(error)) from None
    except ValueError as error:
        raise click.UsageError(f"--url: {error}") from None


def _find_address_and_token(url: str | None, context: str | None) -> tuple[str, str]:
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if context is None and url and token:
        return url.rstrip("/"), token
    store = ContextStore.load()
    if context is not None:
        chosen = store.find(context)
    elif url:
        # The token of a context is sent to the address for which it was given, and to no other.
        address = url.rstrip("/")
        known = store.find_by_url(address)
        return address, (store.read_token(known.name) or "") if known else ""
    elif (current := store.chosen) is not None:
        chosen = current
    else:
        return "", ""
    return chosen.url, store.read_token(chosen.name) or ""


def api_path(*parts: str, **query: str | None) -> str:
    """Return a path below ``/api/v1`` with each part percent-encoded; omits query parameters that are None."""
    parameters = {key: value for key, value in query.items() if value is not None}
    return (
        "/api/v1/"
        + "/".join(quote(part, safe="") for part in parts)
        + ("?" + urlencode(parameters) if parameters else "")
    )
