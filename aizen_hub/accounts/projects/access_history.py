"""What changed in the roles of a project between two times, read from the audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.audit.search import row_to_json
from aizen_hub.problems import BadInput
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

MAX_EVENTS = 10_000
_GRANTED, _REVOKED = "role.granted", "role.revoked"
_audit = tables.audit


class ChangeKind(StrEnum):
    GRANTED = "granted"
    REVOKED = "revoked"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class RoleChange:
    """The difference of one role of one identity between the two times.

    Attributes
    ----------
    ends : datetime or None
        Of the role at the later time.
    by, at : Identity, datetime
        Of the last change.
    """

    kind: ChangeKind
    identity: Identity
    role: str
    ends: datetime | None
    by: Identity | None
    at: datetime


def role_changes(tx: ReadTransaction, project: str, since: datetime, until: datetime) -> list[RoleChange]:
    """Return the differences of the roles in a project, by identity; for groups see `membership_history`.

    The caller has checked that the actor may list the members.

    Raises
    ------
    BadInput
        The times are in the wrong order; the audit of that time is archived; there are too many changes to compare.
    """
    if until <= since:
        raise BadInput("the second day must be after the first")
    begins = _begin_of_audit(tx)
    if begins is not None and since < begins:
        raise BadInput(
            f"the audit before {begins:%Y-%m-%d} is in an archive, so that day cannot be compared here",
            remedy="choose a later day",
        )
    query = select(_audit).where(
        _audit.c.at > since,
        _audit.c.at <= until,
        _audit.c.event.in_((_GRANTED, _REVOKED)),
        _audit.c.project == project,
    )
    rows = tx.conn.execute(query.limit(MAX_EVENTS + 1)).all()
    if len(rows) > MAX_EVENTS:
        raise BadInput(f"more than {MAX_EVENTS:,} roles changed in that time", remedy="choose days that are closer")
    events = sorted(
        ((row.at, row_to_json(row)) for row in rows), key=lambda event: (event[1].get("revision") or 0, event[0])
    )
    by_role: dict[tuple[str, str], list[tuple[datetime, dict[str, Any]]]] = {}
    for at, event in events:
        details = event["details"]
        by_role.setdefault((details["identity"], details["role"]), []).append((at, event))
    changes = [_compare(*key, changes) for key, changes in sorted(by_role.items())]
    return [change for change in changes if change is not None]


def _compare(identity: str, role: str, events: list[tuple[datetime, dict[str, Any]]]) -> RoleChange | None:
    first, (at, last) = events[0][1], events[-1]
    # Only the grant of a new assignment records whether it is that of the project's creator.
    existed = first["event"] == _REVOKED or "creator" not in first["details"]
    exists = last["event"] == _GRANTED
    if not existed and not exists:
        return None
    kind = ChangeKind.CHANGED if existed and exists else ChangeKind.GRANTED if exists else ChangeKind.REVOKED
    by = last.get("identity")
    return RoleChange(
        kind,
        Identity.parse(identity),
        role,
        _ends(last["details"]) if exists else None,
        None if by is None else Identity.parse(by),
        at,
    )


def _ends(details: Mapping[str, Any]) -> datetime | None:
    text = details.get("until")
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _begin_of_audit(tx: ReadTransaction) -> datetime | None:
    """Return the time of the oldest row, if older ones were archived."""
    if tx.conn.execute(select(tables.archive_manifests.c.number).limit(1)).first() is None:
        return None
    return tx.conn.execute(select(_audit.c.at).order_by(_audit.c.at).limit(1)).scalar()
