"""``aizen-hub explain``: what a role, a command, an error or an exit code means."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import click
import yaml

from aizen_hub.cli.connection import api_path, pass_connector
from aizen_hub.cli.exit_codes import MEANINGS, ExitCode
from aizen_hub.cli.output import Output, output_option, show_object
from aizen_hub.client.sync_client import SyncClient


@click.command()
@pass_connector
@click.argument("what", nargs=-1, required=True)
@output_option
def explain(connect: Callable[[], SyncClient], what: tuple[str, ...], output: Output) -> int:
    """Explain WHAT: a role, a command such as "start training", an error such as escalation, or an exit code.

    Roles and commands are those of the hub you are signed in to; errors and exit codes need no sign-in.
    """
    text = " ".join(what).strip()
    found = explain_error(text) or explain_from_catalog(connect().get(api_path("catalog")), text)
    if found is None:
        raise click.UsageError(
            f"there is no role, command or error `{text}`: see `aizen-hub role list`, `aizen-hub can-i --list` and "
            f"the codes in `aizen-hub --help`"
        )
    show_object(output, found)
    return ExitCode.DONE


def explain_error(text: str) -> dict[str, Any] | None:
    """Return what an exit code or the code of a problem means; None for other texts."""
    if text.isascii() and text.isdigit() and int(text) in set(ExitCode):
        return {"exit_code": int(text), "means": MEANINGS[ExitCode(int(text))]}
    slug = text.rpartition("/")[2].lower()
    entry = _error_texts().get(slug)
    return None if entry is None else {"error": slug, **entry}


def explain_from_catalog(catalog: dict[str, Any], text: str) -> dict[str, Any] | None:
    """Return a role or a command of the catalog in words; None if it has neither."""
    role = next((item for item in catalog["roles"] if item["name"].lower() == text.lower()), None)
    if role is not None:
        return {
            "role": role["name"],
            "means": role["description"],
            "granted_in": role["scopes"],
            "allows": role["permissions"],
            "limits": role["limits"],
            "built_in": role["built_in"],
            "grant_it": f"aizen-hub grant {role['name']} --to NAME"
            + ("" if role["scopes"] == ["system"] else " --project PROJECT"),
            "ask_for_it": f'aizen-hub request ask {role["name"]} --reason "…"'
            + ("" if role["scopes"] == ["system"] else " --project PROJECT"),
        }
    words = text.lower().split()
    by_words = {item["command"]: item for item in catalog["commands"]}
    command = next((by_words[key] for count in (2, 1) if (key := " ".join(words[:count])) in by_words), None)
    if command is None:
        return None
    return {
        "command": command["command"],
        "means": command["description"],
        "written": f"{command['command']} {command['grammar']}".strip(),
        "requires": command["permission"] or "nothing: every registered user may",
        "where": command["scope"],
        "may_i": f'aizen-hub can-i "{command["command"]}"'
        + (" --project PROJECT" if command["scope"] == "project" else ""),
    }


@cache
def _error_texts() -> dict[str, dict[str, str]]:
    package = "aizen_hub.cli"
    texts: dict[str, dict[str, str]] = yaml.safe_load(files(package).joinpath("error_texts.yaml").read_text("utf-8"))
    return texts
