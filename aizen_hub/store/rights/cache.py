"""Compiled rights, remembered per process and dropped by the change records (T-54)."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import Role
from aizen_hub.store import tables
from aizen_hub.store.rights.loader import Compiled, RightsLoader

MAX_ENTRIES = 20_000
_MAX_CHANGES = 1_000
_NAMED = frozenset({"user", "group", "service-account", "role", "project"})
_NOBODY: frozenset[str] = frozenset()
_WITHOUT_RIGHTS = frozenset({"session", "key"})  # judged at each decision, not compiled


def affected(touch: str) -> frozenset[str] | None:
    """Return the names that entries depend on and that ``touch`` concerns; None for all entries.

    What is not understood concerns everybody: a newer version of the program may have written it.
    """
    kind, colon, name = touch.partition(":")
    if not colon or not name:
        return None
    if kind in _NAMED:
        return frozenset({touch})
    if kind in _WITHOUT_RIGHTS:
        return _NOBODY
    if kind == "lock":
        target, _, rest = name.partition(":")
        if target == "identity" and rest:
            return affected(rest)
        if target == "project" and rest:
            # Whoever holds something at the system knows the locks of all projects.
            return frozenset({name, "project:*"})
    return None


@dataclass(frozen=True, slots=True)
class _Roles:
    roles: Mapping[str, Role]
    since: int


@dataclass(frozen=True, slots=True)
class _Entry:
    compiled: Compiled
    since: int  # true from this revision up to the one the cache has seen


class RightsCache:
    """What is compiled, true at every revision from its own to the last that the cache has seen the changes of.

    A view older than an entry compiles for itself; a newer one first reads the change records in between. So a view is
    never answered from another revision than its own, and an unchanged revision costs nothing.
    """

    def __init__(self, loader: RightsLoader, max_entries: int = MAX_ENTRIES) -> None:
        self.loader = loader
        self._max_entries = max_entries
        self._guard = threading.Lock()
        self._seen = -1
        self._cleared = 0
        self._entries: OrderedDict[Identity, _Entry] = OrderedDict()
        self._users_of: defaultdict[str, set[Identity]] = defaultdict(set)
        self._roles: _Roles | None = None

    def rights(self, conn: Connection, revision: int, identity: Identity) -> Rights:
        """Return the rights of ``identity`` at ``revision``, which is the one that ``conn``'s snapshot shows."""
        cleared = self._cleared
        if revision > self._seen:
            self._catch_up(conn, revision)
        found = self.peek(revision, identity)
        if found is not None:
            return found.rights
        compiled = self.loader.compile(conn, identity, self.roles(conn, revision), revision)
        self._remember(identity, compiled, revision, cleared)
        return compiled.rights

    def roles(self, conn: Connection, revision: int) -> Mapping[str, Role]:
        """Return all roles at ``revision``, by name."""
        cleared = self._cleared
        if revision > self._seen:
            self._catch_up(conn, revision)
        known = self.peek_roles(revision)
        if known is not None:
            return known
        roles = self.loader.roles(conn)
        with self._guard:
            if revision == self._seen and cleared == self._cleared:
                self._roles = _Roles(roles, revision)
        return roles

    def peek(self, revision: int, identity: Identity) -> Compiled | None:
        """Return what is remembered, if it is true at ``revision``."""
        with self._guard:
            entry = self._entries.get(identity)
            if entry is None or not entry.since <= revision <= self._seen:
                return None
            self._entries.move_to_end(identity)
            return entry.compiled

    def peek_roles(self, revision: int) -> Mapping[str, Role] | None:
        with self._guard:
            known = self._roles
            return known.roles if known is not None and known.since <= revision <= self._seen else None

    def private_view(self, conn: Connection, revision: int) -> PrivateView:
        """Return the view of a transaction that changes things itself."""
        if revision > self._seen:
            self._catch_up(conn, revision)
        return PrivateView(self, conn, revision)

    def clear(self) -> None:
        """Forget everything, for example because the database went back in time; also what is just being compiled."""
        with self._guard:
            self._seen = -1
            self._cleared += 1
            self._drop_all()

    def __len__(self) -> int:
        return len(self._entries)

    def _catch_up(self, conn: Connection, revision: int) -> None:
        seen = self._seen
        table = tables.changes
        touched: list[str] | None = None
        if 0 <= seen < revision <= seen + _MAX_CHANGES:
            rows = conn.execute(
                select(table.c.touches).where(table.c.revision > seen, table.c.revision <= revision)
            ).scalars()
            lists = list(rows)
            # A record that is missing is a change that is not known.
            if len(lists) == revision - seen:
                touched = [name for names in lists for name in _names(names)]
        with self._guard:
            if self._seen >= revision:
                return
            if touched is None or self._seen != seen:
                self._drop_all()
            else:
                self._forget(touched)
            self._seen = revision

    def _remember(self, identity: Identity, compiled: Compiled, revision: int, cleared: int) -> None:
        with self._guard:
            # Changes after this revision were already applied to the others and would be missed by this one.
            if revision != self._seen or cleared != self._cleared:
                return
            self._drop(identity)
            self._entries[identity] = _Entry(compiled, revision)
            for name in compiled.uses:
                self._users_of[name].add(identity)
            while len(self._entries) > self._max_entries:
                self._drop(next(iter(self._entries)))

    def _forget(self, touched: Iterable[str]) -> None:
        for touch in touched:
            names = affected(touch)
            if names is None:
                self._drop_all()
                return
            for name in names:
                for identity in tuple(self._users_of.get(name, ())):
                    self._drop(identity)
                if name.startswith("role:"):
                    self._roles = None

    def _drop(self, identity: Identity) -> None:
        entry = self._entries.pop(identity, None)
        if entry is None:
            return
        for name in entry.compiled.uses:
            users = self._users_of[name]
            users.discard(identity)
            if not users:
                del self._users_of[name]

    def _drop_all(self) -> None:
        self._entries.clear()
        self._users_of.clear()
        self._roles = None


class PrivateView:
    """Rights as a writing transaction sees them: what was there before, and what it did since.

    Nothing compiled here is shared, since the transaction may be rolled back.
    """

    def __init__(self, cache: RightsCache, conn: Connection, revision: int) -> None:
        self._cache = cache
        self._conn = conn
        self._base = revision
        self._touched: set[str] = set()
        self._all = False
        self._own: dict[Identity, Compiled] = {}
        self._own_roles: Mapping[str, Role] | None = None

    def touch(self, touched: Iterable[str]) -> None:
        """Take note of a change that this transaction made."""
        for touch in touched:
            names = affected(touch)
            if names is None:
                self._all = True
                self._own.clear()
            else:
                self._touched |= names
        self._own = {one: compiled for one, compiled in self._own.items() if not self._concerns(compiled)}
        self._own_roles = None

    def roles(self, *, fresh: bool) -> Mapping[str, Role]:
        """Return all roles; ``fresh`` if something was changed that is not announced yet."""
        if fresh:
            return self._cache.loader.roles(self._conn)
        if self._own_roles is None:
            shared = self._cache.peek_roles(self._base)
            changed = self._all or any(name.startswith("role:") for name in self._touched)
            self._own_roles = self._cache.loader.roles(self._conn) if changed or shared is None else shared
        return self._own_roles

    def rights(self, identity: Identity, *, fresh: bool) -> Rights:
        """Return the rights of ``identity``; ``fresh`` if something was changed that is not announced yet."""
        compiled = None if fresh else self._known(identity)
        if compiled is None:
            compiled = self._cache.loader.compile(self._conn, identity, self.roles(fresh=fresh), self._base)
            if not fresh:
                self._own[identity] = compiled
        return compiled.rights

    def _known(self, identity: Identity) -> Compiled | None:
        own = self._own.get(identity)
        if own is not None:
            return own
        shared = self._cache.peek(self._base, identity)
        return None if shared is None or self._all or self._concerns(shared) else shared

    def _concerns(self, compiled: Compiled) -> bool:
        return not self._touched.isdisjoint(compiled.uses)


def _names(value: object) -> list[str]:
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    return ["*"]
