"""Requests for access: asked by anybody registered, decided by whoever could grant them."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select

from aizen_hub.accounts import assignments, gate, names, pending, roles
from aizen_hub.accounts.giver import Giver, refuse
from aizen_hub.accounts.names import NameKind
from aizen_hub.accounts.result import Result, message, plain, table
from aizen_hub.audit import recorded
from aizen_hub.problems import BadInput, Denied, TooMany
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

WAITS = timedelta(days=14)
MOST_WAITING = 20
_p = tables.pending


def ask(tx: Write, role: str, scope: str, *, reason: str = "", until: datetime | None = None) -> Result:
    """Ask for a role in a scope.

    Whether the project exists is not told: a request for one that does not waits and expires like any other (R72).

    Parameters
    ----------
    until : datetime, optional
        Until when the role is wanted, exclusive.

    Raises
    ------
    BadInput
        Unknown role, a name that no project can have, or an end in the past.
    TooMany
        Too many requests of the asker wait already.
    """
    gate.in_person(tx)
    wanted = roles.known(tx, role)
    where = SYSTEM if scope == SYSTEM else names.canonical(scope, NameKind.PROJECT)
    if until is not None and until <= tx.now:
        raise BadInput("the access would have ended already")
    mine = tx.conn.execute(
        select(_p).where(
            _p.c.kind == pending.REQUEST,
            _p.c.asked_by == str(tx.actor.identity),
            _p.c.state == "waiting",
            _p.c.expires > tx.now,
        )
    ).all()
    for row in mine:
        if (row.payload.get("role"), row.payload.get("scope")) == (wanted.name, where):
            return message("this request waits already", request=row.id, state="waiting")
    if len(mine) >= MOST_WAITING:
        raise TooMany(f"{MOST_WAITING} of your requests wait already")
    number = secrets.token_hex(16)
    payload = {"role": wanted.name, "scope": where, "reason": reason[:500], "until": plain(until)}
    values = {
        "kind": pending.REQUEST,
        "asked_by": str(tx.actor.identity),
        "asked": tx.now,
        "expires": tx.now + WAITS,
        "payload": payload,
    }
    tx.conn.execute(insert(_p).values(id=number, state="waiting", comment="", **values))
    wrote = recorded.rows(recorded.put(_p, number, values))
    tx.change("request", {"request": number, "did": "ask", "role": wanted.name, "scope": where, **wrote}, [])
    tx.audit("access.requested", details={"request": number, **payload})
    return message(f"asked for {wanted.name} in `{where}`", request=number, state="waiting", expires=tx.now + WAITS)


def approve(tx: Write, number: str, *, comment: str = "", until: datetime | None = None) -> Result:
    """Grant what was asked for, as a grant of the approving person, with every rule that a grant has.

    Parameters
    ----------
    until : datetime, optional
        An end that is earlier than the one asked for.

    Raises
    ------
    NotFound
        No such request, or not one that the approver could grant.
    Problem
        Whatever `assignments.grant` raises.
    """
    row = _for_me(tx, number)
    asker = Identity.parse(row.asked_by)
    wanted = row.payload
    ends = min((one for one in (until, assignments.moment(wanted["until"])) if one is not None), default=None)
    result = assignments.grant(
        tx, [wanted["role"]], wanted["scope"], asker, interval=Interval(None, ends), reason=wanted["reason"]
    )
    if result.pending is None:
        pending.close(tx, row.id, "confirmed", comment)
        tx.audit("access.approved", project=_project(wanted["scope"]), details={"request": row.id, "comment": comment})
    return result


def deny(tx: Write, number: str, *, comment: str = "") -> Result:
    """Refuse a request; only those who could grant it may."""
    row = _for_me(tx, number)
    wanted = row.payload
    pending.close(tx, row.id, "rejected", comment)
    tx.audit("access.denied", project=_project(wanted["scope"]), details={"request": row.id, "comment": comment})
    return message("the request was refused")


def withdraw(tx: Write, number: str) -> Result:
    """Take back a request of one's own; whoever acts for the asker may not (R70)."""
    gate.in_person(tx)
    row = pending.waiting_row(tx, number, pending.REQUEST)
    if row.asked_by != str(tx.actor.identity):
        raise Denied("this is somebody else's request")
    pending.close(tx, row.id, "rejected", "withdrawn")
    tx.audit("access.withdrawn", details={"request": row.id})
    return message("the request was withdrawn")


def mine(tx: Read, asker: Identity) -> Result:
    """List one's own requests, decided ones included."""
    rows = tx.conn.execute(
        select(_p)
        .where(_p.c.kind == pending.REQUEST, _p.c.asked_by == str(asker))
        .order_by(_p.c.asked.desc())
        .limit(200)
    ).all()
    return table(
        ("id", "role", "scope", "state", "asked", "expires", "comment"),
        [
            (
                row.id,
                row.payload.get("role"),
                row.payload.get("scope"),
                _state(tx, row),
                row.asked,
                row.expires,
                row.comment,
            )
            for row in rows
        ],
    )


def to_decide(tx: Write) -> Result:
    """List the waiting requests that the actor could grant."""
    rows = tx.conn.execute(
        select(_p)
        .where(_p.c.kind == pending.REQUEST, _p.c.state == "waiting", _p.c.expires > tx.now)
        .order_by(_p.c.asked)
        .limit(1_000)
    ).all()
    giver = Giver.of(tx)
    found = [
        (row.id, row.asked_by, row.payload["role"], row.payload["scope"], row.payload["reason"], row.asked, row.expires)
        for row in rows
        if _could_grant(tx, giver, row)
    ]
    return table(("id", "asked by", "role", "scope", "reason", "asked", "expires"), found)


def waiting_count(tx: Read) -> int:
    """Return how many requests wait, for the metrics."""
    return tx.conn.execute(
        select(func.count()).select_from(_p).where(_p.c.kind == pending.REQUEST, _p.c.state == "waiting")
    ).scalar_one()


def _for_me(tx: Write, number: str) -> Any:
    row = pending.waiting_row(tx, number, pending.REQUEST)
    giver = Giver.of(tx)
    if not _could_grant(tx, giver, row):
        scope, role = row.payload["scope"], tx.roles.get(row.payload["role"])
        if role is not None and (scope == SYSTEM or gate.visible(tx, tx.actor.identity, scope)):
            whom = Identity.parse(row.asked_by)
            missing = giver.missing_to_give(tx, role, scope, whom)
            raise refuse(tx, "grant", role.name, scope, missing, whom)
        raise pending.nothing()
    return row


def _could_grant(tx: Write, giver: Giver, row: Any) -> bool:
    role, scope = tx.roles.get(row.payload["role"]), row.payload["scope"]
    if role is None:
        return False
    if scope != SYSTEM and not gate.above_roles(tx) and not gate.visible(tx, tx.actor.identity, scope):
        return False
    return not giver.missing_to_give(tx, role, scope, Identity.parse(row.asked_by))


def _state(tx: Read, row: Any) -> str:
    return "expired" if row.state == "waiting" and row.expires <= tx.now else str(row.state)


def _project(scope: str) -> str | None:
    return None if scope == SYSTEM else scope
