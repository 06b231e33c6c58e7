"""The per-process cache of compiled rights, invalidated by the change records (T-54)."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import Role
from aizen_hub.store.rights.cached_counts import CachedCounts
from aizen_hub.store.rights.changed_names import affected_names, read_changed_names
from aizen_hub.store.rights.loader import CompiledRights, RightsLoader

MAX_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class _Roles:
    roles: Mapping[str, Role]
    from_revision: int


@dataclass(frozen=True, slots=True)
class _Entry:
    compiled: CompiledRights
    from_revision: int  # valid from this revision to the last one of the cache


class RightsCache:
    """A cache of compiled rights and roles. Each entry is valid from its own revision to the last of the cache.

    A transaction older than an entry compiles for itself; a newer one first applies the change records in between.
    So a transaction never gets the rights of another revision, and an unchanged revision costs nothing.

    Attributes
    ----------
    counts : CachedCounts
        Cleared together with the rights.
    """

    def __init__(self, loader: RightsLoader, max_entries: int = MAX_ENTRIES) -> None:
        self.loader = loader
        self.counts = CachedCounts()
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._last_revision = -1
        self._clear_count = 0
        self._entries: OrderedDict[Identity, _Entry] = OrderedDict()
        self._dependents: defaultdict[str, set[Identity]] = defaultdict(set)
        self._roles: _Roles | None = None

    def rights(self, conn: Connection, revision: int, identity: Identity) -> Rights:
        """Return the rights of ``identity`` at ``revision``, the revision of ``conn``'s snapshot."""
        clear_count = self._clear_count
        if revision > self._last_revision:
            self._catch_up(conn, revision)
        cached = self.cached_rights(revision, identity)
        if cached is not None:
            return cached.rights
        compiled = self.loader.compile(conn, identity, self.roles(conn, revision), revision)
        self._store(identity, compiled, revision, clear_count)
        return compiled.rights

    def roles(self, conn: Connection, revision: int) -> Mapping[str, Role]:
        """Return all roles at ``revision``, by name."""
        clear_count = self._clear_count
        if revision > self._last_revision:
            self._catch_up(conn, revision)
        cached = self.cached_roles(revision)
        if cached is not None:
            return cached
        roles = self.loader.roles(conn)
        with self._lock:
            if revision == self._last_revision and clear_count == self._clear_count:
                self._roles = _Roles(roles, revision)
        return roles

    def cached_rights(self, revision: int, identity: Identity) -> CompiledRights | None:
        """Return the cached rights of ``identity`` if they are valid at ``revision``."""
        with self._lock:
            entry = self._entries.get(identity)
            if entry is None or not entry.from_revision <= revision <= self._last_revision:
                return None
            self._entries.move_to_end(identity)
            return entry.compiled

    def has_entry(self, identity: Identity) -> bool:
        """Return whether the rights of ``identity`` were compiled before, at any revision: a hint, without a lock."""
        return identity in self._entries

    def cached_roles(self, revision: int) -> Mapping[str, Role] | None:
        """Return the cached roles if they are valid at ``revision``."""
        with self._lock:
            entry = self._roles
            return entry.roles if entry is not None and entry.from_revision <= revision <= self._last_revision else None

    def for_transaction(self, conn: Connection, revision: int) -> TransactionRights:
        """Return the rights as a write transaction sees them."""
        if revision > self._last_revision:
            self._catch_up(conn, revision)
        return TransactionRights(self, conn, revision)

    def clear(self) -> None:
        """Drop all entries, and those being compiled, for example because the database was rolled back."""
        with self._lock:
            self._last_revision = -1
            self._clear_count += 1
            self._drop_all()
        self.counts.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def _catch_up(self, conn: Connection, revision: int) -> None:
        last = self._last_revision
        changed = read_changed_names(conn, last, revision)
        with self._lock:
            if self._last_revision >= revision:
                return
            if changed is None or self._last_revision != last:
                self._drop_all()
            else:
                self._invalidate(changed)
            self._last_revision = revision

    def _store(self, identity: Identity, compiled: CompiledRights, revision: int, clear_count: int) -> None:
        with self._lock:
            # The cache has already applied later changes, which this entry would miss.
            if revision != self._last_revision or clear_count != self._clear_count:
                return
            self._drop(identity)
            self._entries[identity] = _Entry(compiled, revision)
            for name in compiled.dependencies:
                self._dependents[name].add(identity)
            while len(self._entries) > self._max_entries:
                self._drop(next(iter(self._entries)))

    def _invalidate(self, changed: Iterable[str]) -> None:
        for changed_name in changed:
            names = affected_names(changed_name)
            # A role that changes can change the suggestion in any denial; that is rare, so everything is recompiled.
            if names is None or any(name.startswith("role:") for name in names):
                self._drop_all()
                return
            for name in names:
                for identity in tuple(self._dependents.get(name, ())):
                    self._drop(identity)

    def _drop(self, identity: Identity) -> None:
        entry = self._entries.pop(identity, None)
        if entry is None:
            return
        for name in entry.compiled.dependencies:
            dependents = self._dependents[name]
            dependents.discard(identity)
            if not dependents:
                del self._dependents[name]

    def _drop_all(self) -> None:
        self._entries.clear()
        self._dependents.clear()
        self._roles = None


class TransactionRights:
    """Rights as a write transaction sees them, including its own changes.

    Until its first change it sees what every transaction of its revision sees, since it holds the lock of the revision:
    so it uses the cache as they do. Nothing that is compiled later is shared, since it may be rolled back.
    """

    def __init__(self, cache: RightsCache, conn: Connection, revision: int) -> None:
        self._cache = cache
        self._conn = conn
        self._base_revision = revision
        self._is_unchanged = True
        self._changed_names: set[str] = set()
        self._all_changed = False
        self._compiled: dict[Identity, CompiledRights] = {}
        self._roles: Mapping[str, Role] | None = None

    def invalidate(self, changed: Iterable[str]) -> None:
        """Apply a change that this transaction made."""
        self._is_unchanged = False
        for changed_name in changed:
            names = affected_names(changed_name)
            if names is None:
                self._all_changed = True
                self._compiled.clear()
            else:
                self._changed_names |= names
        self._compiled = {
            identity: compiled for identity, compiled in self._compiled.items() if not self._is_affected(compiled)
        }
        self._roles = None

    def roles(self, *, recompile: bool) -> Mapping[str, Role]:
        """Return all roles; ``recompile`` if there are changes that are not recorded yet."""
        if recompile:
            return self._cache.loader.roles(self._conn)
        if self._is_unchanged:
            return self._cache.roles(self._conn, self._base_revision)
        if self._roles is None:
            shared = self._cache.cached_roles(self._base_revision)
            changed = self._all_changed or self._has_changed_roles()
            self._roles = self._cache.loader.roles(self._conn) if changed or shared is None else shared
        return self._roles

    def rights(self, identity: Identity, *, recompile: bool) -> Rights:
        """Return the rights of ``identity``; ``recompile`` if there are changes that are not recorded yet."""
        if self._is_unchanged and not recompile:
            return self._cache.rights(self._conn, self._base_revision, identity)
        compiled = None if recompile else self._cached(identity)
        if compiled is None:
            compiled = self._cache.loader.compile(
                self._conn, identity, self.roles(recompile=recompile), self._base_revision
            )
            if not recompile:
                self._compiled[identity] = compiled
        return compiled.rights

    def _cached(self, identity: Identity) -> CompiledRights | None:
        own = self._compiled.get(identity)
        if own is not None:
            return own
        shared = self._cache.cached_rights(self._base_revision, identity)
        return None if shared is None or self._all_changed or self._is_affected(shared) else shared

    def _is_affected(self, compiled: CompiledRights) -> bool:
        return not self._changed_names.isdisjoint(compiled.dependencies) or self._has_changed_roles()

    def _has_changed_roles(self) -> bool:
        return any(name.startswith("role:") for name in self._changed_names)
