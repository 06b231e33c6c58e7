"""Grants and revocations of several roles at once, all or none, with what there was before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles.lookup import get_role
from aizen_hub.commands.result import Result, message_result
from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_a = tables.assignments
Former = dict[str, Any]
"""One assignment as it was before a change: ``role``, ``scope``, ``identity``, and in ``held`` its ``starts``, ``ends``
and ``reason``, or None if there was none."""


def grant_to_all(
    tx: WriteTransaction,
    role: str,
    scope: str | None,
    grantees: Sequence[Identity],
    *,
    interval: Interval = ALWAYS,
    reason: str = "",
) -> Result:
    """Grant one role to several identities, to all of them or to none.

    Returns
    -------
    Result
        ``data["granted"]`` and ``data["unchanged"]`` hold the identities, ``data["pending_ids"]`` the ids of changes
        that a second user has to confirm, ``data["former"]`` what the changed assignments were before.

    Raises
    ------
    Problem
        As `assignments.grant_roles`, for the first identity that cannot get it.
    """
    role = get_role(tx, role).name
    granted, unchanged, pending_ids = [], [], []
    former: list[Former] = []
    for grantee in dict.fromkeys(grantees):
        actual_scope = assignments.resolve_scope(tx, tx.roles[role], scope)
        before = former_assignment(tx, role, actual_scope, grantee)
        result = assignments.grant_roles(tx, [role], scope, grantee, interval=interval, reason=reason)
        if result.pending_id:
            pending_ids.append(result.pending_id)
        elif result.data["granted"]:
            granted.append(str(grantee))
            former.append(before)
        else:
            unchanged.append(str(grantee))
    return message_result(
        f"granted {role} to {len(granted)}",
        granted=granted,
        unchanged=unchanged,
        pending_ids=pending_ids,
        former=former,
    )


def revoke_from_all(tx: WriteTransaction, rows: Sequence[tuple[str, str, Identity]], *, reason: str = "") -> Result:
    """Revoke assignments, given as role, scope and holder; all of them or none. Raises as `assignments.revoke_roles`.

    Returns
    -------
    Result
        ``data["revoked"]``, ``data["pending_ids"]`` and ``data["former"]``, as `grant_to_all`.
    """
    former: list[Former] = []
    pending_ids = []
    for role, scope, holder in dict.fromkeys(rows):
        before = former_assignment(tx, role, scope, holder)
        result = assignments.revoke_roles(tx, [role], scope, holder, reason=reason)
        if result.pending_id:
            pending_ids.append(result.pending_id)
        else:
            former.append(before)
    return message_result(
        f"revoked {len(former)} roles",
        revoked=[entry["identity"] for entry in former],
        pending_ids=pending_ids,
        former=former,
    )


def former_assignment(tx: ReadTransaction, role: str, scope: str, identity: Identity) -> Former:
    """Return an assignment as it is now."""
    return former_of(role, scope, str(identity), assignments.find_assignment(tx, role, scope, identity))


def all_assignments(tx: ReadTransaction, scope: str) -> dict[tuple[str, str], Former]:
    """Return every assignment in a scope as it is now, by its role and identity."""
    rows = tx.conn.execute(select(_a).where(_a.c.scope == scope))
    return {(row.role, row.identity): former_of(row.role, scope, row.identity, row) for row in rows}


def former_of(role: str, scope: str, identity: str, row: Any = None) -> Former:
    """Return an assignment from its row; None: there was none."""
    held = None
    if row is not None:
        held = {
            "starts": None if row.starts is None else row.starts.isoformat(),
            "ends": None if row.ends is None else row.ends.isoformat(),
            "reason": row.reason,
        }
    return {"role": role, "scope": scope, "identity": identity, "held": held}
