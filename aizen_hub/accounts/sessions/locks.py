"""Locks: they stop one identity, project or session at once, whatever its roles say (R78)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.roles import last_holder
from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.authorization import checks
from aizen_hub.authorization.lock_state import is_locked
from aizen_hub.commands.result import Result, message_result, table_result, to_json_value
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_l = tables.locks


def lock_target(
    tx: WriteTransaction, target: LockTarget, name: str, *, reason: str, ends: datetime | None = None
) -> Result:
    """Lock an identity (``kind:name``), a project or a session, and end its active sessions.

    This never shortens a lock that is in force: that is unlocking, with all checks of `unlock_target`.

    Raises
    ------
    BadInput
        No reason, an end in the past, or an invalid name.
    NotFound
        There is no such identity, project or active session.
    LastHolder
        The last holder of a protected role would be locked (R69).
    """
    checks.require(tx, checks.endpoint_permission(tx, "locks"))
    if not reason.strip():
        raise BadInput("a lock needs a reason")
    if ends is not None and ends <= tx.now:
        raise BadInput("the lock would have ended already")
    grants: tuple[last_holder.ProtectedGrant, ...] = ()
    if target is LockTarget.IDENTITY:
        grants = last_holder.protected_grants_of(tx, [_parse_identity(tx, name)])
    elif target is LockTarget.PROJECT:
        checks.require_visible_project(tx, name)
    elif server_sessions.find_live_session(tx, name) is None:
        raise NotFound("there is no such active session")
    values = {"reason": reason[:500], "ends": ends, "locked_by": str(tx.actor.identity), "locked": tx.now}
    key = (_l.c.target == target.value, _l.c.name == name)
    with last_holder.last_holder_guard(tx, grants):
        existing = tx.conn.execute(select(_l.c.ends).where(*key)).first()
        if existing is not None:
            ends = _later_end(ends, existing.ends)
            values["ends"] = ends
            tx.conn.execute(update(_l).where(*key).values(**values))
        else:
            tx.conn.execute(insert(_l).values(target=target.value, name=name, **values))
        payload = {"target": target.value, "name": name, "reason": reason[:500], "until": to_json_value(ends)}
        wrote = change_records.change_payload(change_records.row_written(_l, (target.value, name), values))
        tx.record_change("lock", {**payload, **wrote}, [_rights_key(target, name)])
    tx.audit("lock.set", project=name if target is LockTarget.PROJECT else None, details=payload)
    ended = _end_sessions(tx, target, name)
    until = "" if ends is None else f" until {to_json_value(ends)}"
    return message_result(f"locked {target.value} `{excerpt(name)}`{until}", sessions_ended=ended)


def unlock_target(tx: WriteTransaction, target: LockTarget, name: str) -> Result:
    """Remove a lock; unlocking an identity needs every right that it holds.

    If it holds a protected role, the change waits for confirmation.

    Raises
    ------
    NotFound
        There is no such lock.
    Escalation
        The identity holds rights that the actor lacks, or is a group or a service account of the actor.
    """
    checks.require(tx, checks.endpoint_permission(tx, "locks"))
    key = (_l.c.target == target.value, _l.c.name == name)
    row = tx.conn.execute(select(_l).where(*key)).first()
    if row is None:
        raise NotFound(f"there is no lock on {target.value} `{excerpt(name)}`")
    if target is LockTarget.IDENTITY and is_locked(tx, target, name):
        # Checked while the lock is in force: rights that the actor regains by unlocking must not count for the actor.
        identity = Identity.parse(name)
        checks.require_control_of(tx, identity, "unlock it")
        checks.forbid_self_grant(tx, identity, "unlocks")
        if pending_changes.control_requires_confirmation(tx, identity):
            return pending_changes.submit(tx, "unlock", {"identity": name}, f"unlock `{excerpt(name)}`")
    tx.conn.execute(delete(_l).where(*key))
    _record_removal(tx, target, name)
    tx.audit(
        "lock.removed",
        project=name if target is LockTarget.PROJECT else None,
        details={"target": target.value, "name": name},
    )
    return message_result(f"unlocked {target.value} `{excerpt(name)}`")


def list_locks(tx: WriteTransaction) -> Result:
    """List the locks, expired ones included until they are deleted."""
    checks.require(tx, checks.endpoint_permission(tx, "locks"))
    rows = tx.conn.execute(select(_l).order_by(_l.c.locked)).all()
    return table_result(
        ("target", "name", "reason", "until", "by", "since", "active"),
        [
            (
                row.target,
                row.name,
                row.reason,
                row.ends,
                row.locked_by,
                row.locked,
                row.ends is None or row.ends > tx.now,
            )
            for row in rows
        ],
    )


def discard_lock(tx: WriteTransaction, target: LockTarget, name: str) -> None:
    """Delete the lock of something that is deleted, so that a later identity of that name does not inherit it (R31)."""
    deleted = tx.conn.execute(delete(_l).where(_l.c.target == target.value, _l.c.name == name))
    if deleted.rowcount:
        _record_removal(tx, target, name)


def _record_removal(tx: WriteTransaction, target: LockTarget, name: str) -> None:
    wrote = change_records.change_payload(change_records.row_deleted(_l, (target.value, name)))
    tx.record_change("unlock", {"target": target.value, "name": name, **wrote}, [_rights_key(target, name)])


def _later_end(first: datetime | None, second: datetime | None) -> datetime | None:
    """Return the later end; None means no end."""
    return None if first is None or second is None else max(first, second)


def _parse_identity(tx: ReadTransaction, name: str) -> Identity:
    try:
        identity = Identity.parse(name)
    except ValueError as error:
        raise BadInput(str(error)) from None
    identities.require_identity(tx, identity)
    return identity


def _rights_key(target: LockTarget, name: str) -> str:
    return f"lock:{target.value}:{name}"


def _end_sessions(tx: WriteTransaction, target: LockTarget, name: str) -> int:
    if target is LockTarget.SESSION:
        return server_sessions.end_session(tx, name, "locked")
    if target is LockTarget.PROJECT:
        return server_sessions.end_sessions_in_project(tx, name, "project-locked")
    affected = checks.transitive_members(tx, [Identity.parse(name)])
    return sum(
        server_sessions.end_sessions(tx, identity.name, None, "locked")
        for identity in affected
        if identity.kind is IdentityKind.USER
    )
