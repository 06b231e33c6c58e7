"""``aizen-hub login`` and ``logout``."""

from __future__ import annotations

import os
import re
import sys

import click

from aizen_hub.cli.browser_sign_in import can_open_browser, sign_in
from aizen_hub.cli.connection import SERVICE_PREFIX, URL_VARIABLE, api_path, create_client
from aizen_hub.cli.contexts import Context, ContextStore, check_name, name_of_url
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import show_message
from aizen_hub.client.hub_address_client import HubAddressClient
from aizen_hub.problems import NotAuthenticated, Problem

_SECONDS = 20.0


@click.command()
@click.argument("url", required=False)
@click.option("--context", "name", help="Name for this hub; default: its host.")
@click.option("--no-browser", is_flag=True, help="Print the address, and ask for the code that the page shows.")
@click.option("--with-token", is_flag=True, help="Read a hub token from stdin, instead of opening a page.")
def login(url: str | None, name: str | None, no_browser: bool, with_token: bool) -> int:
    """Sign in to the hub at URL, the address in the browser; without URL, again to the current one.

    Opens a page in your browser, which shows the same word as the terminal. Over SSH, and with --no-browser, it prints
    the address, for a browser on any machine. The token is kept in the keyring of this machine, where the Python
    package `keyring` is installed and finds one, else in a file for your account only. It ends with `aizen-hub logout`,
    when you sign out in that browser, and when the hub's sign-in expires.
    """
    store = ContextStore.load()
    known = store.contexts.get(name) if name else None
    # A context that is named wins over the address of the environment, as it does for every other command.
    chosen = known or (None if name or url or os.environ.get(URL_VARIABLE) else store.chosen)
    address = (url or (chosen.url if chosen else os.environ.get(URL_VARIABLE, ""))).rstrip("/")
    if not address:
        raise click.UsageError(
            "name the address of the hub, as in the browser: aizen-hub login https://hub.example.org"
        )
    host_name = name_of_url(address)
    context_name = check_name(name or (chosen.name if chosen else host_name))
    panel = address + SERVICE_PREFIX
    if with_token:
        token = sys.stdin.read(1024).strip()
        if not re.fullmatch("[!-~]+", token):
            raise click.UsageError("--with-token reads one hub token from stdin, and nothing else")
        user = str(HubAddressClient(panel, f"token {token}", deadline=_SECONDS).get(api_path("me"))["user"])
    else:
        granted = sign_in(panel, open_browser=not no_browser and can_open_browser())
        token, user = granted.token, granted.user
    store.put(Context(context_name, address, user), use=True)
    location = store.save_token(context_name, token)
    show_message(f"signed in as {user} at {address} (context `{context_name}`); the token is in {location}")
    return ExitCode.DONE


@click.command()
@click.option("--context", "name", help="The context; default: the current one.")
def logout(name: str | None) -> int:
    """Sign out: the hub deletes the token, and so does this machine. The context stays, for the next `login`."""
    store = ContextStore.load()
    context = store.find(name) if name else store.chosen
    if context is None:
        raise click.UsageError("no context is chosen; see `aizen-hub context list`")
    if store.read_token(context.name) is None:
        show_message(f"you are not signed in at {context.url}")
        return ExitCode.DONE
    status = ExitCode.DONE
    try:
        create_client(None, None, context=context.name).request("POST", api_path("command-line", "sign-out"))
    except NotAuthenticated:
        show_message("the token had ended already")
    except Problem as problem:
        show_message(f"{problem.detail}; the hub still knows the token: end it at {context.url}/hub/token")
        status = ExitCode.from_status(problem.status)
    store.delete_token(context.name)
    show_message(f"signed out at {context.url}")
    return status
