"""The names in a command, in their one spelling, before anything is looked up or decided (R27)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from aizen_hub.accounts.names.names import NameKind, known_as
from aizen_hub.commands.command import Command, Value

_USERS = frozenset({"user", "users"})


def settle(command: Command) -> Command:
    """Return the command with the canonical names of the users and the project that it names.

    Call it once, right after reading, so that what is decided, recorded and carried out is one and the same. Text that
    nothing can be called stays as it is, and will not be found. Arguments of the core's commands are the core's.
    """
    entry = command.entry
    settled: dict[str, Value] = {}
    for name, value in command.arguments.items():
        if name == entry.project_argument:
            settled[name] = _all(value, NameKind.PROJECT)
        elif entry.handler is not None and name in _USERS:
            settled[name] = _all(value, NameKind.USER)
        else:
            settled[name] = value
    arguments: Mapping[str, Value] = MappingProxyType(settled)
    project = settled.get(entry.project_argument) if entry.project_argument else command.project
    return replace(command, arguments=arguments, project=project if isinstance(project, str) else None)


def _all(value: Value, kind: NameKind) -> Value:
    if isinstance(value, str):
        return known_as(value, kind) or value
    return tuple(known_as(one, kind) or one for one in value)
