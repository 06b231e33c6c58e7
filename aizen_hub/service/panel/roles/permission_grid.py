"""The permissions of a catalog as a grid to tick: kinds of object by verb, the wide ones, and the named ones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from aizen_hub.accounts.roles import permissions as named_permissions
from aizen_hub.catalogs.catalog import Catalog, CommandScope
from aizen_hub.rbac.permission import ANY, Permission
from aizen_hub.store.transaction import ReadTransaction

_MIN_NOUNS = 3
"""A verb of fewer nouns has no column of its own."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One permission of the grid; None as ``value`` where no command needs it."""

    value: str | None
    label: str


@dataclass(frozen=True, slots=True)
class GridRow:
    noun: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class PermissionGrid:
    """What can be ticked.

    Attributes
    ----------
    verbs : tuple of str
        The columns, as words for people.
    tasks : tuple of (str, tuple of GridRow)
    others : tuple of Cell
        Permissions without a column: administration.
    wide : tuple of Cell
        Bare verbs, which cover every object, and named permissions.
    """

    verbs: tuple[str, ...]
    tasks: tuple[tuple[str, tuple[GridRow, ...]], ...]
    others: tuple[Cell, ...]
    wide: tuple[Cell, ...]

    @property
    def values(self) -> frozenset[str]:
        """All values that can be ticked."""
        cells = [cell for _, rows in self.tasks for row in rows for cell in row.cells]
        return frozenset(cell.value for cell in (*cells, *self.others, *self.wide) if cell.value is not None)


def permission_grid(tx: ReadTransaction, held: Collection[str] = ()) -> PermissionGrid:
    """Return the grid of a catalog.

    Parameters
    ----------
    held : collection of str
        Permissions of a role, which are offered although nothing in the catalog needs them any more.
    """
    catalog = tx.catalog
    task_of = _tasks_of_nouns(catalog)
    by_verb: dict[str, set[str]] = {}
    for permission in catalog.permissions:
        if permission.noun in task_of:
            by_verb.setdefault(permission.verb, set()).add(permission.noun)
    columns = [verb for verb, nouns in by_verb.items() if len(nouns) >= _MIN_NOUNS]
    columns.sort(key=lambda verb: -len(by_verb[verb]))
    tasks: dict[str, list[GridRow]] = {task: [] for task in catalog.tasks}
    placed: set[str | None] = set()
    for noun, task in task_of.items():
        cells = []
        for verb in columns:
            value = f"{verb}:{noun}" if noun in by_verb[verb] else None
            cells.append(Cell(value, f"{catalog.word_of(verb)} {catalog.words_of_noun(noun)}"))
            placed.add(value)
        if any(cell.value for cell in cells):
            tasks[task].append(GridRow(catalog.words_of_noun(noun), tuple(cells)))
    others = sorted({str(permission) for permission in catalog.permissions if str(permission) not in placed})
    named = [entry for entry in named_permissions.list_named_permissions(tx) if entry.limit is None]
    wide = [
        Cell(str(entry.permission), f"{entry.name}: {entry.description}" if entry.description else entry.name)
        for entry in named
        if str(entry.permission) not in placed.union(others)
    ]
    offered = placed.union(others, (cell.value for cell in wide))
    others += sorted(value for value in held if value not in offered)
    return PermissionGrid(
        tuple(catalog.word_of(verb) for verb in columns),
        tuple((task, tuple(rows)) for task, rows in tasks.items() if rows),
        tuple(Cell(value, describe(catalog, value)) for value in others),
        tuple(wide),
    )


def describe(catalog: Catalog, value: str) -> str:
    """Return a permission in words, such as `see training`."""
    permission = Permission.parse(value)
    verb = "do anything with" if permission.verb == ANY else catalog.word_of(permission.verb)
    return f"{verb} {'everything' if permission.noun == ANY else catalog.words_of_noun(permission.noun)}"


def _tasks_of_nouns(catalog: Catalog) -> dict[str, str]:
    """Return the kinds of object that commands of projects concern, with the task of the first of them."""
    return {
        entry.permission.noun: entry.task
        for entry in reversed(tuple(catalog.commands.values()))
        if entry.permission is not None and entry.scope is CommandScope.PROJECT
    }
