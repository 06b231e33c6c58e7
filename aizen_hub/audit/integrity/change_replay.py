"""Replay of the recorded changes: what the tables must contain, given every change in order (T-38)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from aizen_hub.store import tables
from aizen_hub.store.audit_log.change_records import ROWS, RowChange, RowOperation, row_updated, row_written
from aizen_hub.store.audit_log.covered_tables import covered_table
from aizen_hub.store.timestamps import to_microseconds

Rows = dict[str, dict[str, tuple[Any, ...]]]
"""By owner and part, the values in the order of `CoveredTable.values`."""


class ChangeHistory:
    """The rows of every covered table after the changes that were passed to `apply`."""

    def __init__(self) -> None:
        self._tables: defaultdict[str, Rows] = defaultdict(dict)
        # A million assignments share their names and nearly all of their values.
        self._interned: dict[Any, Any] = {}
        self._staged: defaultdict[str, list[RowChange]] = defaultdict(list)  # by operation
        self._apply_row(row_written(tables.revision, 1, {}))  # inserted by the schema

    def apply(self, change: Mapping[str, Any]) -> None:
        """Apply one change of a change record."""
        for row in change.get(ROWS, ()):
            self._apply_row(RowChange(RowOperation(row[0]), *row[1:]))
        handler = _HANDLERS.get(change["kind"])
        if handler is not None:
            for row_change in handler(self, change):
                self._apply_row(row_change)

    def rows_of(self, table: str) -> Rows:
        """Return the rows of a table."""
        return self._tables[table]

    def stage(self, operation: str, changes: list[RowChange]) -> None:
        """Note rows that an operation wrote, which have no effect before `take_staged`."""
        self._staged[operation] += changes

    def take_staged(self, operation: str) -> list[RowChange]:
        """Return the rows that an operation wrote, and forget them."""
        return self._staged.pop(operation, [])

    def _apply_row(self, change: RowChange) -> None:
        owners, owner = self._tables[change.table], self._intern(change.owner)
        if change.operation is RowOperation.DELETE_ALL:
            owners.pop(owner, None)
            return
        parts = owners.get(owner, {})
        former = parts.get(change.part)
        if change.operation is RowOperation.DELETE:
            parts.pop(change.part, None)
            if not parts:
                owners.pop(owner, None)
            return
        if change.operation is RowOperation.UPDATE and former is None:
            return  # an update does not create a row that no change wrote
        values = change.values or {}
        columns = covered_table(change.table).values
        row = tuple(
            values.get(column.name, None if former is None else former[index]) for index, column in enumerate(columns)
        )
        row = self._intern(row) if change.table in _INTERNED_TABLES else row
        owners.setdefault(owner, parts)[self._intern(change.part)] = row

    def _intern(self, value: Any) -> Any:
        return self._interned.setdefault(value, value)


_INTERNED_TABLES = frozenset({tables.assignments.name, tables.memberships.name})


def _grant(_: ChangeHistory, change: Mapping[str, Any]) -> list[RowChange]:
    values = {
        column: _to_microseconds(change[key]) for column, key in (("starts", "from"), ("ends", "until")) if change[key]
    }
    # Granting again what the creator of a project holds keeps the creator's mark.
    flags = {name: change[name] or None for name in ("creator", "mapped") if name in change}
    return [_assignment(RowOperation.WRITE, change, {"starts": None, "ends": None, **values, **flags})]


def _revoke(_: ChangeHistory, change: Mapping[str, Any]) -> list[RowChange]:
    return [_assignment(RowOperation.DELETE, change, None)]


def _assignment(operation: RowOperation, change: Mapping[str, Any], values: Mapping[str, Any] | None) -> RowChange:
    # Without `row_written`, for speed: there are more of these than of all others together.
    part = f"{change['role']}:{change['scope']}"
    return RowChange(operation, tables.assignments.name, change["identity"], part, values)


def _stage(history: ChangeHistory, change: Mapping[str, Any]) -> list[RowChange]:
    removed = [
        RowChange(RowOperation.DELETE, tables.assignments.name, identity, f"{role}:{scope}")
        for role, scope, identity in change["removed"]
    ]
    added = [
        RowChange(RowOperation.WRITE, tables.assignments.name, identity, f"{role}:{scope}", _interval(starts, ends))
        for role, scope, identity, starts, ends in change["added"]
    ]
    history.stage(change["operation"], removed + added)
    return []


def _interval(starts: int | None, ends: int | None) -> Mapping[str, Any]:
    return {"starts": starts, "ends": ends, "creator": None, "mapped": None}


def _apply_staged(history: ChangeHistory, change: Mapping[str, Any]) -> list[RowChange]:
    return history.take_staged(change["operation"])


def _discard_staged(history: ChangeHistory, change: Mapping[str, Any]) -> list[RowChange]:
    history.take_staged(change["operation"])
    return []


def _key(_: ChangeHistory, change: Mapping[str, Any]) -> list[RowChange]:
    make_change = row_written if "public" in change else row_updated
    return [make_change(tables.keys, change["kid"], change)]


def _catalog(_: ChangeHistory, change: Mapping[str, Any]) -> list[RowChange]:
    return [row_updated(tables.revision, 1, {"catalog_hash": change["hash"]})]


def _restored(_: ChangeHistory, change: Mapping[str, Any]) -> list[RowChange]:
    return [row_updated(tables.revision, 1, {"not_before": change["not_before"]})]


def _not_before(history: ChangeHistory, change: Mapping[str, Any]) -> list[RowChange]:
    kind, _, name = change["subject"].partition(":")
    owner = {"all": (tables.revision, 1), "project": (tables.projects, name), "user": (tables.users, name)}[kind]
    columns = [column.name for column in covered_table(tables.sessions.name).values]
    values = {"min_token_revision": change["min_token_revision"]}
    return [row_updated(*owner, {"not_before": change["not_before"]})] + [
        row_updated(tables.sessions, session, values)
        for session, parts in history.rows_of(tables.sessions.name).items()
        if kind == "all" or parts[""][columns.index(kind)] == name
    ]


_HANDLERS: Mapping[str, Callable[[ChangeHistory, Mapping[str, Any]], list[RowChange]]] = {
    # Kinds of change whose own fields describe the rows completely.
    "grant": _grant,
    "revoke": _revoke,
    "stage": _stage,
    "apply": _apply_staged,
    "discard": _discard_staged,
    "key": _key,
    "catalog": _catalog,
    "restored": _restored,
    "not-before": _not_before,
}


def _to_microseconds(text: str) -> int:
    return to_microseconds(datetime.fromisoformat(text))
