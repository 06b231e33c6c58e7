"""Locks: they stop one identity, project or session at once, whatever its roles say (R78).

An archived project has a lock of its own kind, which leaves what only reads allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.roles import last_holder
from aizen_hub.accounts.sessions import project_closing, server_sessions
from aizen_hub.alerts.message import AlertEvent
from aizen_hub.alerts.outbox import alert_users
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, message_result, table_result, to_json_value
from aizen_hub.problems import BadInput, Escalation, NotFound, Stale
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.printable import excerpt
from aizen_hub.validation.prose import check_prose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_l = tables.locks
_PROJECTS = (LockTarget.PROJECT, LockTarget.ARCHIVE)


def lock_target(
    tx: WriteTransaction, target: LockTarget, name: str, *, reason: str, ends: datetime | None = None
) -> Result:
    """Lock an identity (``kind:name``), a project or a session, and end its active sessions; or archive a project.

    The servers of an archived project go on, since its members may read. This never shortens a lock that is in force:
    that is `unlock_target` with an end.

    Raises
    ------
    BadInput
        No reason, an end in the past or of an archive, or an invalid name.
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
    _forbid_end_of_archive(target, ends)
    grants: tuple[last_holder.ProtectedGrant, ...] = ()
    if target is LockTarget.IDENTITY:
        grants = last_holder.protected_grants_of(tx, [_parse_identity(tx, name)])
    elif target in _PROJECTS:
        checks.require_visible_project(tx, name)
    elif server_sessions.find_live_session(tx, name) is None:
        raise NotFound("there is no such active session")
    reason = check_prose(reason, "reason")
    values = {"reason": reason, "ends": ends, "locked_by": str(tx.actor.identity), "locked": tx.now}
    key = (_l.c.target == target.value, _l.c.name == name)
    with last_holder.last_holder_guard(tx, grants):
        existing = tx.conn.execute(select(_l.c.ends).where(*key)).first()
        if existing is not None:
            ends = _later_end(ends, existing.ends)
            values["ends"] = ends
            tx.conn.execute(update(_l).where(*key).values(**values))
        else:
            tx.conn.execute(insert(_l).values(target=target.value, name=name, **values))
        payload = {"target": target.value, "name": name, "reason": reason, "until": to_json_value(ends)}
        wrote = change_records.change_payload(change_records.row_written(_l, (target.value, name), values))
        tx.record_change("lock", {**payload, **wrote}, [_rights_key(target, name)])
    if target is LockTarget.ARCHIVE:
        tx.audit("project.archived", project=name, details={"reason": reason})
        return message_result(f"archived the project `{excerpt(name)}`: it can only be read")
    tx.audit("lock.set", project=name if target is LockTarget.PROJECT else None, details=payload)
    until = "" if ends is None else f" until {to_json_value(ends)}"
    text = f"locked {target.value} `{excerpt(name)}`{until}"
    if target is LockTarget.PROJECT:
        closed = project_closing.close_project_sessions(tx, name, project_closing.PROJECT_LOCKED)
        return message_result(text + (f"; {closed.sentence}" if closed.sentence else ""), **closed.data)
    return message_result(text, sessions_ended=_end_sessions(tx, target, name))


def unlock_target(
    tx: WriteTransaction,
    target: LockTarget,
    name: str,
    *,
    reason: str,
    ends: datetime | None = None,
    requested_for: Mapping[str, Any] | None = None,
) -> Result:
    """Remove a lock, or let it end earlier than it would.

    This restores a former state and grants nothing, so a user who may lock may unlock others. A lock that is
    in force is lifted after a recent login only: in the panel at once, from elsewhere when it is confirmed there.

    Parameters
    ----------
    ends : datetime, optional
        When the lock ends, which must be earlier than it would; None removes it now.
    requested_for : mapping, optional
        The lock that the change was requested for: its time as ``locked``, and what else of ``by`` and ``reason`` is
        known of it.

    Raises
    ------
    NotFound
        There is no such lock.
    Stale
        It was locked again after the change was requested.
    BadInput
        No reason, or an end in the past, after the lock's own end or of an archive.
    Denied
        In the panel, without a recent login.
    Escalation
        The actor would unlock themselves, or a group or service account of their own.
    """
    checks.require(tx, checks.endpoint_permission(tx, "locks"))
    check_prose(reason, "reason")
    if not reason.strip():
        raise BadInput("unlocking needs a reason", remedy="say why; the reason is recorded in the audit")
    _forbid_end_of_archive(target, ends)
    row = get_lock(tx, target, name)
    this_lock = {"locked": to_json_value(row.locked), "by": row.locked_by, "reason": row.reason}
    if requested_for is not None and {**this_lock, "locked": None, **requested_for} != this_lock:
        raise Stale(
            f"{target.value} `{excerpt(name)}` was locked again in between",
            remedy="read why it was locked again, and unlock it only if that is over too",
        )
    _check_new_end(tx, row, ends)
    arguments = {"target": target.value, "name": name, "reason": reason, "ends": to_json_value(ends)}
    if row.ends is None or row.ends > tx.now:
        if target is LockTarget.IDENTITY:
            _forbid_unlocking_oneself(tx, Identity.parse(name))
        if pending_changes.requires_confirmation(tx, always=True):
            until = "" if ends is None else f" at {to_json_value(ends)}"
            summary = f"unlock {target.value} `{excerpt(name)}`{until}"
            if target is LockTarget.ARCHIVE:
                summary = f"restore the archived project `{excerpt(name)}`"
            return pending_changes.submit(tx, "unlock", {**arguments, "lock": this_lock}, summary)
    key = (_l.c.target == target.value, _l.c.name == name)
    if ends is None:
        tx.conn.execute(delete(_l).where(*key))
        _record_removal(tx, target, name)
    else:
        tx.conn.execute(update(_l).where(*key).values(ends=ends))
        wrote = change_records.change_payload(change_records.row_updated(_l, (target.value, name), {"ends": ends}))
        tx.record_change("lock", {**arguments, "until": to_json_value(ends), **wrote}, [_rights_key(target, name)])
    if target is LockTarget.ARCHIVE:
        tx.audit("project.restored", project=name, details={"reason": reason})
        return message_result(f"restored the project `{excerpt(name)}`")
    project = name if target is LockTarget.PROJECT else None
    tx.audit("lock.removed" if ends is None else "lock.shortened", project=project, details=arguments)
    _alert_unlocked(tx, target, name, row.locked_by, reason, ends)
    if ends is not None:
        return message_result(f"the lock on {target.value} `{excerpt(name)}` ends at {to_json_value(ends)}")
    return message_result(f"unlocked {target.value} `{excerpt(name)}`")


def unlock_confirmed(tx: WriteTransaction, args: Mapping[str, Any]) -> Result:
    """Execute a confirmed `unlock_target`."""
    ends = None if args["ends"] is None else datetime.fromisoformat(args["ends"])
    target, requested_for = LockTarget(args["target"]), args.get("lock", {})
    return unlock_target(tx, target, args["name"], reason=args["reason"], ends=ends, requested_for=requested_for)


def get_lock(tx: ReadTransaction, target: LockTarget, name: str) -> Any:
    """Return the row of a lock, in force or expired; raises NotFound."""
    row = tx.conn.execute(select(_l).where(_l.c.target == target.value, _l.c.name == name)).first()
    if row is None:
        if target is LockTarget.ARCHIVE:
            raise NotFound(f"the project `{excerpt(name)}` is not archived")
        raise NotFound(f"there is no lock on {target.value} `{excerpt(name)}`")
    return row


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


def discard_lock(tx: WriteTransaction, target: LockTarget, name: str) -> bool:
    """Delete a lock without an authorization check, and return whether there was one.

    For something that is deleted, so that a later identity of that name does not inherit it (R31), and for an admin who
    is recovered.
    """
    deleted = tx.conn.execute(delete(_l).where(_l.c.target == target.value, _l.c.name == name))
    if deleted.rowcount:
        _record_removal(tx, target, name)
    return bool(deleted.rowcount)


def _forbid_end_of_archive(target: LockTarget, ends: datetime | None) -> None:
    if target is LockTarget.ARCHIVE and ends is not None:
        raise BadInput("an archive has no end", remedy="restore the project when it is used again")


def _check_new_end(tx: ReadTransaction, row: Any, ends: datetime | None) -> None:
    if ends is not None and ends <= tx.now:
        raise BadInput("the lock would have ended already", remedy="leave out the end to unlock now")
    if ends is not None and row.ends is not None and row.ends <= ends:
        raise BadInput(
            f"the lock ends at {to_json_value(row.ends)} already",
            remedy="lock it again to extend it, or name an earlier end",
        )


def _forbid_unlocking_oneself(tx: WriteTransaction, identity: Identity) -> None:
    # Checked while the lock is in force: the actor would regain what it takes from them.
    if checks.is_operator(tx):
        return
    if identity == tx.actor.identity:
        raise Escalation("you cannot unlock yourself", remedy="ask another administrator")
    checks.forbid_self_grant(tx, identity, "unlocks")


def _alert_unlocked(
    tx: WriteTransaction, target: LockTarget, name: str, locked_by: str, reason: str, ends: datetime | None
) -> None:
    """Alert the user who was locked, and the one who locked."""
    identities_told = {locked_by, name} if target is LockTarget.IDENTITY else {locked_by}
    users = [text.removeprefix("user:") for text in identities_told - {str(tx.actor.identity)} if text[:5] == "user:"]
    payload = {
        "target": f"{target.value} {name}",
        "by": tx.actor.identity.name,
        "reason": reason,
        "until": to_json_value(ends),
    }
    alert_users(tx, users, AlertEvent.UNLOCKED, payload)


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
    affected = checks.transitive_members(tx, [Identity.parse(name)])
    return sum(
        server_sessions.end_sessions(tx, identity.name, None, "locked")
        for identity in affected
        if identity.kind is IdentityKind.USER
    )
