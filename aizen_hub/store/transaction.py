"""Read and write transactions of the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, insert, update

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.hub_settings import MAIN_HUB
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.decision import Decision
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import Role
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor
from aizen_hub.store.audit_log.change_records import change_hash
from aizen_hub.store.audit_log.record import CHANGE_HASH, AuditRecord, EncodedRecord, new_record_id
from aizen_hub.store.database import CHANGE_COUNTER, StoreState
from aizen_hub.store.rights.cache import RightsCache
from aizen_hub.store.rights.cached_counts import CountKey
from aizen_hub.store.timestamps import to_microseconds

T = TypeVar("T")
_RECORD_FIELDS = frozenset({
    "project", "session", "command", "allowed", "reason", "sentence", "assignment", "role", "via", "source",
})  # fmt: skip


def require_current_catalog(state: StoreState, catalog: Catalog) -> None:
    """Refuse to decide with a catalog that is not in force (R109).

    Raises
    ------
    Unavailable
    """
    if state.catalog_hash != catalog.hash:
        raise Unavailable(
            "this service was started with another catalog than is in force",
            remedy="an operator restarts it with that catalog, or runs `aizen-hub db adopt-catalog` with its own",
        )


class StoreProtocol(Protocol):
    """The attributes of the store that a transaction uses."""

    catalog: Catalog
    settings: Settings
    cache: RightsCache


class ReadTransaction:
    """A read transaction: one consistent snapshot of the store.

    Attributes
    ----------
    conn : Connection
        For queries; callers never commit or roll back on it.
    revision : int
        The revision of the snapshot.
    now : datetime
        The store's time when the snapshot was taken.
    catalog : Catalog
    settings : Settings
    """

    def __init__(self, conn: Connection, state: StoreState, store: StoreProtocol) -> None:
        self.conn = conn
        self.now: datetime = state.now
        self.catalog = store.catalog
        self.settings = store.settings
        self.state = state
        self._cache = store.cache

    @property
    def revision(self) -> int:
        return self.state.revision

    @property
    def roles(self) -> Mapping[str, Role]:
        """The built-in roles of the catalog and the custom ones."""
        return self._cache.roles(self.conn, self.state.revision)

    def rights(self, identity: Identity) -> Rights:
        """Return the rights of ``identity`` in this snapshot, from the cache if possible."""
        return self._cache.rights(self.conn, self.state.revision, identity)

    def cached_count(self, key: CountKey, count: Callable[[], T]) -> T:
        """Return the result of ``count`` in this snapshot, kept from an earlier one if possible; see `CachedCounts`."""
        return self._cache.counts.get(self.conn, self.state.revision, key, count)


class ActorTransaction(ReadTransaction):
    """A read transaction for an actor, whose rights decide what it may read.

    Attributes
    ----------
    actor : Actor
    """

    def __init__(self, conn: Connection, state: StoreState, store: StoreProtocol, actor: Actor) -> None:
        super().__init__(conn, state, store)
        self.actor = actor


class WriteTransaction(ActorTransaction):
    """A write transaction: the change, its change record and its audit records are committed together or not at all.

    A caller that changes rows which a decision depends on must call `record_change`. This is not verified: other
    processes do not see a change that is not recorded.

    Attributes
    ----------
    dry_run : bool
        Everything is rolled back at the end.
    """

    def __init__(self, conn: Connection, state: StoreState, store: StoreProtocol, actor: Actor) -> None:
        super().__init__(conn, state, store, actor)
        self.dry_run = False
        self._changes: list[tuple[str, Mapping[str, Any], tuple[str, ...]]] = []
        self._audit_records: list[AuditRecord] = []
        self._rights = self._cache.for_transaction(conn, state.revision)
        self._recorded_statements = self._count_statements()

    @property
    def revision(self) -> int:
        """The revision of this change, or the current one as long as no change is recorded."""
        return self.state.revision + (1 if self._changes else 0)

    @property
    def roles(self) -> Mapping[str, Role]:
        return self._rights.roles(recompile=self._has_unrecorded_changes())

    def rights(self, identity: Identity) -> Rights:
        """Return the rights of ``identity``, including the changes of this transaction so far."""
        return self._rights.rights(identity, recompile=self._has_unrecorded_changes())

    def cached_count(self, key: CountKey, count: Callable[[], T]) -> T:
        """Return the result of ``count``: it includes the changes of this transaction, and nothing of it is kept."""
        return count()

    @property
    def invalidated(self) -> tuple[str, ...]:
        """The names whose compiled rights this transaction has invalidated so far; see `record_change`."""
        return tuple(dict.fromkeys(name for _, _, names in self._changes for name in names))

    def record_change(self, kind: str, payload: Mapping[str, Any], invalidates: Iterable[str]) -> None:
        """Record a change that was just made.

        Parameters
        ----------
        kind : str
            Lower-case words, at most 40 characters.
        payload : mapping
            The whole change, enough to replay it: JSON, dates and identities; never a secret.
        invalidates : iterable of str
            The names whose compiled rights may be outdated now:
            ``user:x``, ``group:y``, ``service-account:s``, ``role:z``, ``project:p``, ``lock:<target>:<name>``,
            ``session:<id>``, or ``*`` for all.
        """
        if not kind or len(kind) > 40:
            raise ValueError(f"`{kind[:60]}` is not a valid kind of change")
        names = tuple(dict.fromkeys(invalidates))
        self._changes.append((kind, payload, names))
        self._rights.invalidate(names)
        self._recorded_statements = self._count_statements()

    def audit(self, event: str, *, decision: Decision | None = None, id: str | None = None, **fields: Any) -> str:
        """Queue an audit record and return its id.

        Parameters
        ----------
        event : str
            Lower-case words, e.g. ``role.granted``.
        decision : Decision, optional
            Fills allowed, reason, sentence, assignment, role and via.
        id : str, optional
            An id that was already given to the caller.
        **fields
            ``project``, ``command``, ``reason`` and so on become fields of the record, all others go to its details.
        """
        record = make_audit_record(self.actor, event, self.now, decision=decision, id=id, **fields)
        self._audit_records.append(record)
        return record.id

    def add_audit_record(self, record: AuditRecord) -> None:
        """Queue an audit record; its revision is set at the end."""
        self._audit_records.append(record)

    def finish(self) -> list[EncodedRecord]:
        """Write the revision and the change record, and return the encoded audit records."""
        revision = self.revision
        if self._changes:
            self._write_change_record(revision)
        return [replace(record, revision=revision).encode() for record in self._audit_records]

    def _write_change_record(self, revision: int) -> None:
        kinds = list(dict.fromkeys(kind for kind, _, _ in self._changes))
        invalidates = list(self.invalidated)
        payload = json.loads(
            json.dumps(
                [{"kind": kind, **data} for kind, data, _ in self._changes], default=_to_json_value, allow_nan=False
            )
        )
        digest = change_hash(revision, payload, invalidates)
        # A change without an audit record must not exist (I2), even if the caller wrote none.
        if not self._audit_records:
            self.audit("changed", kinds=kinds)
        first = self._audit_records[0]
        # First, so that it is never cut when the details are too long.
        others = {name: value for name, value in first.details.items() if name != CHANGE_HASH}
        self._audit_records[0] = replace(first, details={CHANGE_HASH: digest, **others})
        self.conn.execute(
            insert(tables.changes).values(
                revision=revision,
                kind=kinds[0] if len(kinds) == 1 else "several",
                invalidates=invalidates,
                payload=payload,
                at=self.now,
                audit_id=first.id,
            )
        )
        updated = self.conn.execute(
            update(tables.revision)
            .where(tables.revision.c.id == 1, tables.revision.c.value == self.state.revision)
            .values(value=revision)
        )
        if updated.rowcount != 1:
            raise RuntimeError("the revision changed although its row was locked")

    def _count_statements(self) -> int:
        count: int = self.conn.info.get(CHANGE_COUNTER, 0)
        return count

    def _has_unrecorded_changes(self) -> bool:
        return self._count_statements() != self._recorded_statements


def make_audit_record(
    actor: Actor | None,
    event: str,
    at: datetime,
    *,
    decision: Decision | None = None,
    id: str | None = None,
    **fields: Any,
) -> AuditRecord:
    """Build an audit record from the actor, the decision and further fields."""
    columns: dict[str, Any] = {}
    if actor is not None:
        columns = {
            "identity": str(actor.identity),
            "acting": None if actor.acting is None else str(actor.acting),
            "channel": str(actor.channel),
            "session": actor.session,
            "project": actor.project,
            "token_id": actor.token_id,
            "source": actor.source,
        }
    if decision is not None:
        columns |= {
            "allowed": decision.allowed,
            "reason": str(decision.reason),
            "sentence": decision.sentence,
            "assignment": decision.assignment_id,
            "role": decision.role,
            "via": tuple(map(str, decision.via)),
        }
    details = dict(fields.pop("details", None) or {})
    if actor is not None and actor.hub != MAIN_HUB:
        details["hub"] = actor.hub
    for name, value in fields.items():
        if name in _RECORD_FIELDS and (value is None or isinstance(value, str | bool | tuple)):
            columns[name] = str(value) if isinstance(value, str) else value
        else:
            details[name] = value
    return AuditRecord(id=id or new_record_id(at), at=at, event=event, details=details, **columns)


def _to_json_value(value: object) -> Any:
    if isinstance(value, Enum | Identity):
        return str(value)
    if isinstance(value, datetime):
        return to_microseconds(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    raise TypeError(f"a change record cannot hold a {type(value).__name__}")
