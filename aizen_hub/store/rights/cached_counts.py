"""Counts over all users or assignments, kept until a change of access."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from aizen_hub.store.rights.changed_names import affected_names, read_changed_names

T = TypeVar("T")
CountKey = tuple[str, ...]
MAX_ENTRIES = 500


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any
    revision: int  # at which it was counted, or at which nothing that it depends on had changed since


class CachedCounts:
    """The results of slow counts, per process.

    A kept result is returned only where the change records prove that it is what a new count would return: none of
    those since then names an identity, a role or a project. So it may be kept of what such records name: which users,
    groups and projects exist, memberships and assignments; not of locks or anything else that ends by itself. What a
    reader may know is the caller's part: the key has to name everything that a count depends on (R72).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[CountKey, _Entry] = OrderedDict()
        self._clear_count = 0

    def get(self, conn: Connection, revision: int, key: CountKey, count: Callable[[], T]) -> T:
        """Return the kept result for a key, or that of ``count``.

        Parameters
        ----------
        revision : int
            Of the snapshot of ``conn``.
        count : callable
            Counts in the same snapshot; its result must not be changed by anyone.
        """
        with self._lock:
            entry, clear_count = self._entries.get(key), self._clear_count
        is_valid = entry is not None and _is_unchanged(conn, entry.revision, revision)
        value: T = entry.value if entry is not None and is_valid else count()
        with self._lock:
            present = self._entries.get(key)
            is_newest = present is None or present.revision <= revision
            if is_newest and clear_count == self._clear_count:
                self._entries[key] = _Entry(value, revision)
                self._entries.move_to_end(key)
                while len(self._entries) > MAX_ENTRIES:
                    self._entries.popitem(last=False)
        return value

    def clear(self) -> None:
        """Drop all results, and those being counted, for example because the database was rolled back."""
        with self._lock:
            self._entries.clear()
            self._clear_count += 1


def _is_unchanged(conn: Connection, since: int, revision: int) -> bool:
    if since == revision:
        return True
    names = read_changed_names(conn, since, revision)
    return names is not None and all(affected_names(name) == frozenset() for name in names)
