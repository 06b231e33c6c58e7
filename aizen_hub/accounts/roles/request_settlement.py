"""Settlement of access requests: whatever grants a requested role, by any channel, decides the request."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from aizen_hub.accounts import pending_changes
from aizen_hub.alerts.message import AlertEvent
from aizen_hub.alerts.outbox import alert_user
from aizen_hub.authorization import checks
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.store import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement

    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

MAX_EXAMINED = 1_000
"""Maximum number of pending requests that `settle_held_requests` examines in one transaction."""
_p = tables.pending_changes


def settle_granted_requests(
    tx: WriteTransaction, role: str, scope: str, grantee: Identity, interval: Interval, before: Interval | None
) -> None:
    """Close the pending requests for a role that was just granted to the requester or to a group of the requester.

    A grant that gives nothing now, or shortens what was there, decides no request; one to a group decides those of the
    members who hold the role through it for as long as they asked.

    Parameters
    ----------
    before : Interval or None
        Of the same assignment before this grant, if there was one.
    """
    shortened = before is not None and before.includes(tx.now) and _ends_earlier(interval, before)
    if shortened or not interval.includes(tx.now):
        return
    if grantee.kind is IdentityKind.GROUP:
        rows = [
            row
            for row in pending_requests(tx, *_names(role, scope))
            if grantee in checks.transitive_groups(tx, Identity.parse(row.requested_by)) and is_held(tx, row)
        ]
    else:
        rows = list(pending_requests(tx, _p.c.requested_by == str(grantee), *_names(role, scope)))
    for row in rows:
        # A grant to the user itself is an alert of its own.
        _settle(tx, row, alert=row.requested_by != str(grantee))


def settle_requests_of(tx: WriteTransaction, requester: Identity) -> None:
    """Close the pending requests of one requester for what it now holds, for example through a new group."""
    for row in pending_requests(tx, _p.c.requested_by == str(requester)):
        if is_held(tx, row):
            _settle(tx, row)


def settle_held_requests(tx: WriteTransaction) -> int:
    """Close pending requests whose requester holds the role by now; return how many.

    Called regularly: a membership that a provider reports, or a nested group, gives roles without a grant.
    """
    settled = 0
    for row in pending_requests(tx):
        if is_held(tx, row):
            _settle(tx, row)
            settled += 1
    return settled


def count_pending_requests(tx: ReadTransaction) -> int:
    """Return the number of pending requests, for the metrics."""
    return tx.conn.execute(
        select(func.count()).select_from(_p).where(_p.c.kind == pending_changes.ACCESS_REQUEST, _p.c.state == "waiting")
    ).scalar_one()


def is_held(tx: ReadTransaction, row: Any) -> bool:
    """Return whether the requester of a request holds what it asks for."""
    until = row.payload.get("until")
    return holds_role(
        tx,
        Identity.parse(row.requested_by),
        row.payload["role"],
        row.payload["scope"],
        None if until is None else datetime.fromisoformat(until),
    )


def holds_role(tx: ReadTransaction, identity: Identity, role: str, scope: str, until: datetime | None) -> bool:
    """Return whether an identity holds a role in a scope now, at least until a time or without an end."""
    return any(
        held.role == role
        and held.scope in (scope, SYSTEM)
        and held.is_effective(tx.now)
        and (held.interval.ends is None or (until is not None and until <= held.interval.ends))
        for held in tx.rights(identity).held_roles
    )


def _ends_earlier(interval: Interval, before: Interval) -> bool:
    return interval.ends is not None and (before.ends is None or interval.ends < before.ends)


def _settle(tx: WriteTransaction, row: Any, *, alert: bool = True) -> None:
    role, scope = row.payload["role"], row.payload["scope"]
    pending_changes.resolve(tx, row.id, "confirmed", "")
    tx.audit("access.settled", project=project_of(scope), target=row.requested_by, details={"request": row.id})
    requester = Identity.parse(row.requested_by)
    if alert and requester.kind is IdentityKind.USER:
        payload = {"role": role, "scope": scope, "by": tx.actor.identity.name}
        alert_user(tx, requester.name, AlertEvent.REQUEST_GRANTED, payload)


def pending_requests(tx: ReadTransaction, *conditions: ColumnElement[bool]) -> Sequence[Any]:
    """Return the rows of the requests that wait for a decision, the oldest first."""
    return tx.conn.execute(
        select(_p)
        .where(
            _p.c.state == "waiting",
            _p.c.kind == pending_changes.ACCESS_REQUEST,
            _p.c.expires > tx.now,
            *conditions,
        )
        .order_by(_p.c.requested)
        .limit(MAX_EXAMINED)
    ).all()


def _names(role: str, scope: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    payload = _p.c.payload
    return payload["role"].as_string() == role, payload["scope"].as_string() == scope
