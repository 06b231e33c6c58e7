"""Locks stop one identity, project or session now, whatever its roles say (R78)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, or_, select, update

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles import last_holder as holders
from aizen_hub.accounts.sessions import sessions
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, message, plain, table
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

_l = tables.locks


def is_locked(tx: Read, target: LockTarget, name: str) -> bool:
    """Tell whether a lock on exactly this identity (``kind:name``), project or session is in force."""
    return name in locked_names(tx, target, name)


def locked_names(tx: Read, target: LockTarget, name: str | None = None) -> frozenset[str]:
    """Return what is locked now, of one kind."""
    query = select(_l.c.name).where(_l.c.target == target.value, or_(_l.c.ends.is_(None), _l.c.ends > tx.now))
    if name is not None:
        query = query.where(_l.c.name == name)
    return frozenset(tx.conn.execute(query).scalars())


def lock(tx: Write, target: LockTarget, name: str, *, reason: str, ends: datetime | None = None) -> Result:
    """Lock an identity (``kind:name``), a project or a session; its live sessions end.

    A lock that is in force never ends earlier by this: to shorten it is to unlock, with all that `unlock` asks.

    Raises
    ------
    BadInput
        No reason, an end in the past, or a name that cannot be one.
    NotFound
        There is no such thing.
    LastHolder
        The last holder of a protected role would be stopped (R69).
    """
    gate.need(tx, gate.permission(tx, "locks"))
    if not reason.strip():
        raise BadInput("a lock needs a reason")
    if ends is not None and ends <= tx.now:
        raise BadInput("the lock would have ended already")
    places: tuple[holders.Place, ...] = ()
    if target is LockTarget.IDENTITY:
        places = holders.places_of(tx, [_identity(tx, name)])
    elif target is LockTarget.PROJECT:
        gate.need_project(tx, name)
    elif sessions.live(tx, name) is None:
        raise NotFound("there is no such live session")
    values = {"reason": reason[:500], "ends": ends, "locked_by": str(tx.actor.identity), "locked": tx.now}
    key = (_l.c.target == target.value, _l.c.name == name)
    with holders.kept(tx, places):
        present = tx.conn.execute(select(_l.c.ends).where(*key)).first()
        if present is not None:
            ends = _later(ends, present.ends)
            values["ends"] = ends
            tx.conn.execute(update(_l).where(*key).values(**values))
        else:
            tx.conn.execute(insert(_l).values(target=target.value, name=name, **values))
        payload = {"target": target.value, "name": name, "reason": reason[:500], "until": plain(ends)}
        wrote = recorded.rows(recorded.put(_l, (target.value, name), values))
        tx.change("lock", {**payload, **wrote}, [_touch(target, name)])
    tx.audit("lock.set", project=name if target is LockTarget.PROJECT else None, details=payload)
    ended = _end_sessions(tx, target, name)
    until = "" if ends is None else f" until {plain(ends)}"
    return message(f"locked {target.value} `{show(name)}`{until}", sessions_ended=ended)


def unlock(tx: Write, target: LockTarget, name: str) -> Result:
    """Take a lock away; unlocking an identity asks for every right that it holds.

    Where it holds a role that changes hands only with confirmation, it waits for that.

    Raises
    ------
    NotFound
        There is no such lock.
    Escalation
        The identity holds rights that the actor lacks, or is a group or a service account of the actor's own.
    """
    gate.need(tx, gate.permission(tx, "locks"))
    key = (_l.c.target == target.value, _l.c.name == name)
    row = tx.conn.execute(select(_l).where(*key)).first()
    if row is None:
        raise NotFound(f"there is no lock on {target.value} `{show(name)}`")
    if target is LockTarget.IDENTITY and is_locked(tx, target, name):
        # Judged while the lock stands: what comes back to the actor with it must not speak for the actor.
        identity = Identity.parse(name)
        gate.need_control(tx, identity, "unlock it")
        gate.need_not_own(tx, identity, "unlocks")
        if pending.needed_to_control(tx, identity):
            return pending.hold(tx, "unlock", {"identity": name}, f"unlock `{show(name)}`")
    tx.conn.execute(delete(_l).where(*key))
    _removed(tx, target, name)
    tx.audit(
        "lock.removed",
        project=name if target is LockTarget.PROJECT else None,
        details={"target": target.value, "name": name},
    )
    return message(f"unlocked {target.value} `{show(name)}`")


def list_locks(tx: Write) -> Result:
    """List the locks, expired ones included until they are removed."""
    gate.need(tx, gate.permission(tx, "locks"))
    rows = tx.conn.execute(select(_l).order_by(_l.c.locked)).all()
    return table(
        ("target", "name", "reason", "until", "by", "since", "in force"),
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


def forget(tx: Write, target: LockTarget, name: str) -> None:
    """Remove the lock of something that is deleted, so that nothing of that name inherits it (R31)."""
    gone = tx.conn.execute(delete(_l).where(_l.c.target == target.value, _l.c.name == name))
    if gone.rowcount:
        _removed(tx, target, name)


def _removed(tx: Write, target: LockTarget, name: str) -> None:
    wrote = recorded.rows(recorded.gone(_l, (target.value, name)))
    tx.change("unlock", {"target": target.value, "name": name, **wrote}, [_touch(target, name)])


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the later end; None has no end."""
    return None if one is None or other is None else max(one, other)


def _identity(tx: Read, name: str) -> Identity:
    try:
        identity = Identity.parse(name)
    except ValueError as error:
        raise BadInput(str(error)) from None
    assignments.need_identity(tx, identity)
    return identity


def _touch(target: LockTarget, name: str) -> str:
    return f"lock:{target.value}:{name}"


def _end_sessions(tx: Write, target: LockTarget, name: str) -> int:
    if target is LockTarget.SESSION:
        return sessions.end_session(tx, name, "locked")
    if target is LockTarget.PROJECT:
        return sessions.end_in_project(tx, name, "project-locked")
    identities = gate.members_below(tx, [Identity.parse(name)])
    return sum(sessions.end(tx, one.name, None, "locked") for one in identities if one.kind is Kind.USER)
