"""What the change records between two revisions name, and which compiled rights each name affects."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from aizen_hub.store import tables

MAX_CHANGES = 1_000
"""Change records that are read; more count as a change of everything."""
_NAMED_KINDS = frozenset({"user", "group", "service-account", "role", "project"})
_NO_NAMES: frozenset[str] = frozenset()
_KINDS_WITHOUT_RIGHTS = frozenset({"session", "key"})  # checked at each decision, not compiled


def affected_names(changed: str) -> frozenset[str] | None:
    """Return the names, of those that entries depend on, that one name in a change record invalidates; None for all.

    An unknown name invalidates all entries: a newer version of the program may have written it.
    """
    kind, colon, name = changed.partition(":")
    if not colon or not name:
        return None
    if kind in _NAMED_KINDS:
        return frozenset({changed})
    if kind in _KINDS_WITHOUT_RIGHTS:
        return _NO_NAMES
    if kind == "lock":
        target, _, rest = name.partition(":")
        if target == "identity" and rest:
            return affected_names(rest)
        if target in ("project", "archive") and rest:
            # The rights of an identity with a system-wide role include the locks and archives of all projects.
            return frozenset({f"project:{rest}", "project:*"})
    return None


def read_changed_names(conn: Connection, since: int, until: int) -> list[str] | None:
    """Return the names in the change records after one revision, up to another; None where that is not known."""
    if not 0 <= since < until <= since + MAX_CHANGES:
        return None
    table = tables.changes
    query = select(table.c.invalidates).where(table.c.revision > since, table.c.revision <= until)
    lists = list(conn.execute(query).scalars())
    # A missing record is an unknown change.
    return [name for names in lists for name in _parse_names(names)] if len(lists) == until - since else None


def _parse_names(value: object) -> list[str]:
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    return ["*"]
