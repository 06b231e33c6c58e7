"""Completion of names by the shell: people, groups, roles and projects, from what the service lets the user see."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from aizen_hub.cli.connection import api_path, create_client
from aizen_hub.problems import Problem

_SECONDS = 1.5
"""A shell waits for the answer while the person types."""
_OPTIONS: Mapping[str, str] = {
    "project": "project",
    "role": "role",
    "roles": "role",
    "identity": "identity",
    "to": "identity",
    "from": "identity",
    "user": "user",
    "group": "group",
    "groups": "group",
    "target": "identity",
    "service_account": "service-account",
}
"""What an option or argument of a name holds, in every command."""
_ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "user": {"name": "user", "names": "user"},
    "group": {"name": "group"},
    "project": {"name": "project"},
    "role": {"name": "role"},
    "service-account": {"name": "service-account"},
    "what-if": {"identity": "user"},
}
"""What an argument holds in the commands of a group, besides."""


class NameType(click.ParamType):
    """A name, which the shell completes."""

    name = "text"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin so; none where the service does not answer at once."""
        chosen = {
            name: ctx.params.get(name) or os.environ.get(f"AIZEN_HUB_{name.upper()}") for name in ("url", "context")
        }
        try:
            client = create_client(
                chosen["url"], ctx.params.get("token_file"), context=chosen["context"], seconds=_SECONDS
            )
            project = ctx.params.get("project")
            path = api_path("completions", kind=self.kind, prefix=incomplete, project=project)
            items = client.get(path)["completions"]
        except (Problem, click.UsageError, ValueError):
            return []
        return [CompletionItem(item["text"], help=item["description"]) for item in items]


def add_name_completion(command: click.Command, command_path: str) -> None:
    """Have the shell complete the names that a command and its subcommands take."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            add_name_completion(inner, f"{command_path} {name}")
        return
    words = command_path.split()
    of_group = _ARGUMENTS.get(words[0], {}) if words[-1] != "create" else {}
    for parameter in command.params:
        kind = _OPTIONS.get(parameter.name or "") or of_group.get(parameter.name or "")
        if kind is not None and parameter.type is click.STRING:
            parameter.type = NameType(kind)
