"""Canonical names in commands, before anything is looked up or decided (R27)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from aizen_hub.accounts.names.normalization import NameKind, canonical_or_none
from aizen_hub.commands.command import Command, Value

_USERS = frozenset({"user", "users"})


def canonicalize_names(command: Command) -> Command:
    """Return the command with canonical names of its users and its project.

    Call it once, right after parsing, so that the same names are decided, recorded and executed. Text that cannot be a
    name stays as it is, and will not be found. Arguments of commands of the core are left alone.
    """
    entry = command.entry
    canonical_arguments: dict[str, Value] = {}
    for name, value in command.arguments.items():
        if name == entry.project_argument:
            canonical_arguments[name] = _canonicalize(value, NameKind.PROJECT)
        elif entry.handler is not None and name in _USERS:
            canonical_arguments[name] = _canonicalize(value, NameKind.USER)
        else:
            canonical_arguments[name] = value
    arguments: Mapping[str, Value] = MappingProxyType(canonical_arguments)
    project = canonical_arguments.get(entry.project_argument) if entry.project_argument else command.project
    return replace(command, arguments=arguments, project=project if isinstance(project, str) else None)


def _canonicalize(value: Value, kind: NameKind) -> Value:
    if isinstance(value, str):
        prefix, colon, name = value.partition(":")
        if colon and kind is NameKind.USER and prefix in set(NameKind):
            canonical = canonical_or_none(name, NameKind(prefix))
            return value if canonical is None else f"{prefix}:{canonical}"
        return canonical_or_none(value, kind) or value
    return tuple(canonical_or_none(name, kind) or name for name in value)
