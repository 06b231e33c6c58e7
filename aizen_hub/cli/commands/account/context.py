"""``aizen-hub context``: the hubs that this account has signed in to."""

from __future__ import annotations

import click

from aizen_hub.cli.contexts import Context, ContextStore, check_name, name_of_url
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Output, output_option, show_message, show_rows


@click.group()
def context() -> None:
    """A context is a hub and your account there; commands go to the current one, or to that of AIZEN_HUB_CONTEXT."""


@context.command("list")
@output_option
def list_contexts(output: Output) -> int:
    """List the contexts."""
    store = ContextStore.load()
    rows = [
        {
            "current": "*" if name == store.current else "",
            "name": name,
            "url": item.url,
            "user": item.user,
            "signed_in": store.read_token(name) is not None,
        }
        for name, item in sorted(store.contexts.items())
    ]
    show_rows(output, ("current", "name", "url", "user", "signed_in"), rows)
    return ExitCode.DONE


@context.command()
@click.argument("name")
def use(name: str) -> int:
    """Make NAME the current context."""
    store = ContextStore.load()
    chosen = store.find(name)
    store.put(chosen, use=True)
    show_message(f"commands now go to {chosen.url}")
    return ExitCode.DONE


@context.command()
@click.argument("url")
@click.option("--name", help="Its name; default: the host.")
def add(url: str, name: str | None) -> int:
    """Add the hub at URL, without signing in; `login` does both."""
    store = ContextStore.load()
    chosen = check_name(name or name_of_url(url))
    if chosen in store.contexts:
        raise click.UsageError(f"there is a context `{chosen}` already: choose another --name, or remove it first")
    name_of_url(url)
    store.put(Context(chosen, url.rstrip("/")), use=not store.current)
    show_message(f"added `{chosen}`; sign in with `aizen-hub login --context {chosen}`")
    return ExitCode.DONE


@context.command()
@click.argument("name")
def remove(name: str) -> int:
    """Remove NAME and its token from this machine; `logout` also ends the token at the hub."""
    ContextStore.load().remove(name)
    show_message(f"removed `{name}`")
    return ExitCode.DONE
