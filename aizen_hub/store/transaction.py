"""What a piece of business holds in its hands: one transaction, to read in or to change in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from sqlalchemy import Connection, insert, update

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.decision import Decision
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import Role
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor
from aizen_hub.store.audit_log.record import CHANGE, AuditRow, Encoded, canonical, row_id
from aizen_hub.store.database import CHANGING, State
from aizen_hub.store.rights.cache import RightsCache
from aizen_hub.store.timestamps import to_microseconds

_COLUMNS = frozenset({
    "project", "session", "command", "allowed", "reason", "sentence", "assignment", "role", "via", "source",
})  # fmt: skip


def check_catalog(state: State, catalog: Catalog) -> None:
    """Refuse to decide by another catalog than is in force (R109).

    Raises
    ------
    Unavailable
    """
    if state.catalog_hash != catalog.hash:
        raise Unavailable("this service was started with another catalog than is in force", remedy="restart it")


class StoreParts(Protocol):
    """The part of the store that a transaction needs."""

    catalog: Catalog
    settings: Settings
    cache: RightsCache


class Read:
    """One consistent view of the store.

    Attributes
    ----------
    conn : Connection
        For queries; never commit or roll back on it.
    revision : int
        The revision that this view shows.
    now : datetime
        The store's time when the view was taken.
    catalog : Catalog
    settings : Settings
    """

    def __init__(self, conn: Connection, state: State, store: StoreParts) -> None:
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
        """Return what ``identity`` holds in this view, compiled or remembered."""
        return self._cache.rights(self.conn, self.state.revision, identity)


class Write(Read):
    """One change of the store: all of it happens with its change record and audit rows, or none of it.

    Whoever changes something that a decision depends on says so with `change`. What they say is trusted: a change that
    is not announced is not seen by other processes.
    """

    def __init__(self, conn: Connection, state: State, store: StoreParts, actor: Actor) -> None:
        super().__init__(conn, state, store)
        self.actor = actor
        self.trying = False  # a dry run: everything is taken back at the end
        self._changes: list[tuple[str, Mapping[str, Any], tuple[str, ...]]] = []
        self._rows: list[AuditRow] = []
        self._view = self._cache.private_view(conn, state.revision)
        self._announced = self._changing_statements()

    @property
    def revision(self) -> int:
        """The revision of this change, or the present one as long as nothing was changed."""
        return self.state.revision + (1 if self._changes else 0)

    @property
    def roles(self) -> Mapping[str, Role]:
        return self._view.roles(fresh=self._unannounced())

    def rights(self, identity: Identity) -> Rights:
        """Return what ``identity`` holds, with everything that this transaction did so far."""
        return self._view.rights(identity, fresh=self._unannounced())

    @property
    def touched(self) -> tuple[str, ...]:
        """The names that this transaction has announced so far, see `change`."""
        return tuple(dict.fromkeys(name for _, _, names in self._changes for name in names))

    def change(self, kind: str, payload: Mapping[str, Any], touches: Iterable[str]) -> None:
        """Announce what was just changed.

        Parameters
        ----------
        kind : str
            Lower-case words, at most 40 characters.
        payload : mapping
            The whole change, enough to replay it; JSON, dates and identities allowed; never a secret.
        touches : iterable of str
            ``user:x``, ``group:y``, ``service-account:s``, ``role:z``, ``project:p``, ``lock:<target>:<name>``,
            ``session:<id>``, or ``*`` for everything: whose compiled rights may be wrong now.
        """
        if not kind or len(kind) > 40:
            raise ValueError(f"`{kind[:60]}` is not the kind of a change")
        names = tuple(dict.fromkeys(touches))
        self._changes.append((kind, payload, names))
        self._view.touch(names)
        self._announced = self._changing_statements()

    def audit(self, event: str, *, decision: Decision | None = None, id: str | None = None, **fields: Any) -> str:
        """Queue an audit row and return its id.

        Parameters
        ----------
        event : str
            Lower-case words, e.g. ``role.granted``.
        decision : Decision, optional
            Fills allowed, reason, sentence, assignment, role and via.
        id : str, optional
            An id that was given out already.
        **fields
            ``project``, ``command``, ``reason`` and so on go to the row's own columns, everything else to its details.
        """
        row = make_row(self.actor, event, self.now, decision=decision, id=id, **fields)
        self._rows.append(row)
        return row.id

    def add_row(self, row: AuditRow) -> None:
        """Queue an audit row that is made already; its revision is set at the end."""
        self._rows.append(row)

    def finish(self) -> list[Encoded]:
        """Write revision and change record, and return the encoded audit rows."""
        revision = self.revision
        if self._changes:
            self._write_change(revision)
        return [replace(row, revision=revision).encode() for row in self._rows]

    def _write_change(self, revision: int) -> None:
        kinds = list(dict.fromkeys(kind for kind, _, _ in self._changes))
        touches = list(dict.fromkeys(name for _, _, names in self._changes for name in names))
        payload = json.loads(
            json.dumps([{"kind": kind, **data} for kind, data, _ in self._changes], default=_plain, allow_nan=False)
        )
        digest = hashlib.sha256(canonical([revision, payload, touches]).encode()).hexdigest()
        # A change without an audit row must not exist (I2), also where somebody forgot to write one.
        if not self._rows:
            self.audit("changed", kinds=kinds)
        first = self._rows[0]
        # In front, where nothing that is too long for a row can push it out.
        others = {name: value for name, value in first.details.items() if name != CHANGE}
        self._rows[0] = replace(first, details={CHANGE: digest, **others})
        self.conn.execute(
            insert(tables.changes).values(
                revision=revision,
                kind=kinds[0] if len(kinds) == 1 else "several",
                touches=touches,
                payload=payload,
                at=self.now,
                audit_id=first.id,
            )
        )
        moved = self.conn.execute(
            update(tables.revision)
            .where(tables.revision.c.id == 1, tables.revision.c.value == self.state.revision)
            .values(value=revision)
        )
        if moved.rowcount != 1:
            raise RuntimeError("the revision moved although its row was locked")

    def _changing_statements(self) -> int:
        count: int = self.conn.info.get(CHANGING, 0)
        return count

    def _unannounced(self) -> bool:
        return self._changing_statements() != self._announced


def make_row(
    actor: Actor | None,
    event: str,
    at: datetime,
    *,
    decision: Decision | None = None,
    id: str | None = None,
    **fields: Any,
) -> AuditRow:
    """Build an audit row from who did it, what was decided and whatever else is known."""
    known: dict[str, Any] = {}
    if actor is not None:
        known = {
            "identity": str(actor.identity),
            "acting": None if actor.acting is None else str(actor.acting),
            "road": str(actor.road),
            "session": actor.session,
            "project": actor.project,
            "token_id": actor.token_id,
            "source": actor.source,
        }
    if decision is not None:
        known |= {
            "allowed": decision.allowed,
            "reason": str(decision.reason),
            "sentence": decision.sentence,
            "assignment": decision.assignment,
            "role": decision.role,
            "via": tuple(map(str, decision.via)),
        }
    details = dict(fields.pop("details", None) or {})
    for name, value in fields.items():
        if name in _COLUMNS and (value is None or isinstance(value, str | bool | tuple)):
            known[name] = str(value) if isinstance(value, str) else value
        else:
            details[name] = value
    return AuditRow(id=id or row_id(at), at=at, event=event, details=details, **known)


def _plain(value: object) -> Any:
    if isinstance(value, Enum | Identity):
        return str(value)
    if isinstance(value, datetime):
        return to_microseconds(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    raise TypeError(f"a change cannot hold a {type(value).__name__}")
