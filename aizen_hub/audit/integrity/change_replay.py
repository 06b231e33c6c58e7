"""What the tables must hold by the recorded changes: each is applied in its order, and the last word counts (T-38)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from aizen_hub.store import tables
from aizen_hub.store.audit_log.change_records import ROWS, Did, Mark, altered, put
from aizen_hub.store.audit_log.covered_tables import compared
from aizen_hub.store.timestamps import to_microseconds

Rows = dict[str, dict[str, tuple[Any, ...]]]
"""By owner and part, the values in the order of `Compared.values`."""


class History:
    """The rows of every compared table, as the changes that were given to `take` left them."""

    def __init__(self) -> None:
        self._tables: defaultdict[str, Rows] = defaultdict(dict)
        # A million assignments share their names and, nearly all, their values.
        self._same: dict[Any, Any] = {}
        self._do(put(tables.revision, 1, {}))  # the schema's own

    def take(self, change: Mapping[str, Any]) -> None:
        """Apply one change of a record."""
        for one in change.get(ROWS, ()):
            self._do(Mark(Did(one[0]), *one[1:]))
        act = _ACTS.get(change["kind"])
        if act is not None:
            for mark in act(self, change):
                self._do(mark)

    def of(self, table: str) -> Rows:
        return self._tables[table]

    def _do(self, mark: Mark) -> None:
        owners, owner = self._tables[mark.table], self._shared(mark.owner)
        if mark.did is Did.DROP_ALL:
            owners.pop(owner, None)
            return
        parts = owners.get(owner, {})
        known = parts.get(mark.part)
        if mark.did is Did.DROP:
            parts.pop(mark.part, None)
            if not parts:
                owners.pop(owner, None)
            return
        if mark.did is Did.ALTER and known is None:
            return  # what nobody made is not made by altering it
        values = mark.values or {}
        columns = compared(mark.table).values
        row = tuple(values.get(one.name, None if known is None else known[at]) for at, one in enumerate(columns))
        owners.setdefault(owner, parts)[self._shared(mark.part)] = self._shared(row) if mark.table in _MANY else row

    def _shared(self, value: Any) -> Any:
        return self._same.setdefault(value, value)


_MANY = frozenset({tables.assignments.name, tables.memberships.name})


def _grant(_: History, change: Mapping[str, Any]) -> list[Mark]:
    values = {name: _moment(change[said]) for name, said in (("starts", "from"), ("ends", "until")) if change[said]}
    # Who grants again what a creator holds does not make it less the creator's.
    more = {name: change[name] or None for name in ("creator", "mapped") if name in change}
    return [_assignment(Did.PUT, change, {"starts": None, "ends": None, **values, **more})]


def _revoke(_: History, change: Mapping[str, Any]) -> list[Mark]:
    return [_assignment(Did.DROP, change, None)]


def _assignment(did: Did, change: Mapping[str, Any], values: Mapping[str, Any] | None) -> Mark:
    # By hand, for there are more of these than of all others together.
    return Mark(did, tables.assignments.name, change["identity"], f"{change['role']}:{change['scope']}", values)


def _key(_: History, change: Mapping[str, Any]) -> list[Mark]:
    make = put if "public" in change else altered
    return [make(tables.keys, change["kid"], change)]


def _catalog(_: History, change: Mapping[str, Any]) -> list[Mark]:
    return [altered(tables.revision, 1, {"catalog_hash": change["hash"]})]


def _restored(_: History, change: Mapping[str, Any]) -> list[Mark]:
    return [altered(tables.revision, 1, {"not_before": change["not_before"]})]


def _not_before(history: History, change: Mapping[str, Any]) -> list[Mark]:
    kind, _, name = change["subject"].partition(":")
    owner = {"all": (tables.revision, 1), "project": (tables.projects, name), "user": (tables.users, name)}[kind]
    columns = [one.name for one in compared(tables.sessions.name).values]
    ended = {"tokens_from": change["tokens_from"]}
    return [altered(*owner, {"not_before": change["not_before"]})] + [
        altered(tables.sessions, session, ended)
        for session, parts in history.of(tables.sessions.name).items()
        if kind == "all" or parts[""][columns.index(kind)] == name
    ]


_ACTS: Mapping[str, Callable[[History, Mapping[str, Any]], list[Mark]]] = {
    # Kinds that say all of it in words of their own.
    "grant": _grant,
    "revoke": _revoke,
    "key": _key,
    "catalog": _catalog,
    "restored": _restored,
    "not-before": _not_before,
}


def _moment(text: str) -> int:
    return to_microseconds(datetime.fromisoformat(text))
