"""Which commands of a project a role allows, by task: what the role means in the words of the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aizen_hub.catalogs.catalog import Catalog, CommandEntry, CommandScope
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, permissions_of_role

_IN_PROJECTS = frozenset({CommandScope.PROJECT, CommandScope.EITHER})
_IN_SYSTEM = frozenset({CommandScope.SYSTEM, CommandScope.EITHER})


@dataclass(frozen=True, slots=True)
class TaskShare:
    """How many of the commands of one task are allowed."""

    task: str
    allowed: int
    total: int


@dataclass(frozen=True, slots=True)
class ObjectAccess:
    """What is allowed with one kind of object, which is one group of commands.

    Attributes
    ----------
    verbs, other_verbs : tuple of str
        The words for people of the permissions that are allowed, and of those that are not.
    commands, other_commands : tuple of CommandEntry
    """

    task: str
    name: str
    verbs: tuple[str, ...]
    other_verbs: tuple[str, ...]
    commands: tuple[CommandEntry, ...]
    other_commands: tuple[CommandEntry, ...]


def commands_in(catalog: Catalog, scope_kind: ScopeKind) -> tuple[CommandEntry, ...]:
    """Return the commands that need a permission and are authorized in such a scope, by task."""
    scopes = _IN_SYSTEM if scope_kind is ScopeKind.SYSTEM else _IN_PROJECTS
    entries = [entry for entry in catalog.commands.values() if entry.scope in scopes and entry.permission is not None]
    return tuple(sorted(entries, key=lambda entry: catalog.tasks.index(entry.task)))


def usual_scope(role: Role) -> ScopeKind:
    """Return the kind of scope in which a role is shown: projects, unless it exists only in the system."""
    return ScopeKind.PROJECT if ScopeKind.PROJECT in role.scopes else ScopeKind.SYSTEM


def allowed_commands(
    catalog: Catalog, permissions: frozenset[Permission], scope_kind: ScopeKind
) -> tuple[CommandEntry, ...]:
    """Return the commands that these permissions allow in such a scope."""
    return tuple(
        entry
        for entry in commands_in(catalog, scope_kind)
        if entry.permission is not None and any_covers(permissions, entry.permission)
    )


def permissions_in(catalog: Catalog, role: Role, scope_kind: ScopeKind) -> frozenset[Permission]:
    """Return the permissions of a role where it is assigned in such a scope."""
    scope = SYSTEM if scope_kind is ScopeKind.SYSTEM else "a project"
    return permissions_of_role(role, scope, catalog.member_permissions)


def task_shares(catalog: Catalog, permissions: frozenset[Permission], scope_kind: ScopeKind) -> tuple[TaskShare, ...]:
    """Return how much of each task these permissions allow; tasks without commands in such a scope are left out."""
    allowed = {entry.name for entry in allowed_commands(catalog, permissions, scope_kind)}
    by_task: dict[str, list[str]] = {}
    for entry in commands_in(catalog, scope_kind):
        by_task.setdefault(entry.task, []).append(entry.name)
    return tuple(TaskShare(task, len(allowed.intersection(names)), len(names)) for task, names in by_task.items())


def object_access(
    catalog: Catalog, permissions: frozenset[Permission], scope_kind: ScopeKind
) -> tuple[ObjectAccess, ...]:
    """Return what these permissions allow with each kind of object."""
    by_group: dict[str, list[CommandEntry]] = {}
    for entry in commands_in(catalog, scope_kind):
        by_group.setdefault(entry.group, []).append(entry)
    result = []
    for group, entries in by_group.items():
        allowed = tuple(entry for entry in entries if _is_allowed(entry, permissions))
        others = tuple(entry for entry in entries if not _is_allowed(entry, permissions))
        words = _verb_words(catalog, allowed)
        other_words = tuple(word for word in _verb_words(catalog, others) if word not in words)
        name = group.rpartition("/")[2].strip() or entries[0].task
        result.append(ObjectAccess(entries[0].task, name, words, other_words, allowed, others))
    return tuple(result)


def exclusive_commands(
    catalog: Catalog, roles: Mapping[str, Role], scope_kind: ScopeKind
) -> dict[str, tuple[CommandEntry, ...]]:
    """Return by role the commands that only this one of the roles allows."""
    allowed = {
        name: allowed_commands(catalog, permissions_in(catalog, role, scope_kind), scope_kind)
        for name, role in roles.items()
    }
    counts: dict[str, int] = {}
    for entries in allowed.values():
        for entry in entries:
            counts[entry.name] = counts.get(entry.name, 0) + 1
    only = {name: tuple(entry for entry in entries if counts[entry.name] == 1) for name, entries in allowed.items()}
    return {name: entries for name, entries in only.items() if entries}


def _is_allowed(entry: CommandEntry, permissions: frozenset[Permission]) -> bool:
    return entry.permission is not None and any_covers(permissions, entry.permission)


def _verb_words(catalog: Catalog, entries: Iterable[CommandEntry]) -> tuple[str, ...]:
    verbs = (entry.permission.verb for entry in entries if entry.permission is not None)
    return tuple(dict.fromkeys(catalog.word_of(verb) for verb in verbs))
