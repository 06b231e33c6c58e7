"""Requests for access: asked by anybody registered, decided by whoever could grant them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, insert, or_, select

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.roles import assignments, roles
from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.delegation import Giver, refuse
from aizen_hub.commands.result import Result, first, message, plain, table
from aizen_hub.problems import BadInput, Denied, TooMany
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

WAITS = timedelta(days=14)
MOST_WAITING = 20
MOST_LOOKED = 10_000
"""Waiting requests that one list looks at."""
_AT_ONCE = 1_000
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
        tx.audit(
            "access.approved", project=project_of(wanted["scope"]), details={"request": row.id, "comment": comment}
        )
    return result


def deny(tx: Write, number: str, *, comment: str = "") -> Result:
    """Refuse a request; only those who could grant it may."""
    row = _for_me(tx, number)
    wanted = row.payload
    pending.close(tx, row.id, "rejected", comment)
    tx.audit("access.denied", project=project_of(wanted["scope"]), details={"request": row.id, "comment": comment})
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


def mine(tx: Read, asker: Identity, most: int = 200) -> Result:
    """List one's own newest requests, decided ones included; where there are more, ``data["more"]`` is true."""
    rows = tx.conn.execute(
        select(_p)
        .where(_p.c.kind == pending.REQUEST, _p.c.asked_by == str(asker))
        .order_by(_p.c.asked.desc())
        .limit(most + 1)
    ).all()
    return first(
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
        most,
    )


def to_decide(tx: Write, most: int = pending.MOST) -> Result:
    """List the oldest waiting requests that the actor could grant; where there are more, ``data["more"]`` is true.

    Only those are counted that the actor could grant, however many of others wait before them.
    """
    giver = Giver.of(tx)
    seen: dict[str, bool] = {}
    found: list[tuple[Any, ...]] = []
    looked, last = 0, None
    while len(found) <= most and looked < MOST_LOOKED:
        rows = _next_waiting(tx, last)
        looked += len(rows)
        found += [
            (row.id, row.asked_by, *(row.payload[key] for key in ("role", "scope", "reason")), row.asked, row.expires)
            for row in rows
            if _may_see(tx, row.payload["scope"], seen) and _could_grant(tx, giver, row)
        ]
        if len(rows) < _AT_ONCE:
            break
        last = rows[-1]
    columns = ("id", "asked by", "role", "scope", "reason", "asked", "expires")
    if len(found) <= most and looked >= MOST_LOOKED:
        return table(columns, found, f"only the {looked} oldest of all requests were looked at", more=True)
    return first(columns, found, most)


def _next_waiting(tx: Read, after: Any) -> Sequence[Any]:
    query = select(_p).where(_p.c.kind == pending.REQUEST, _p.c.state == "waiting", _p.c.expires > tx.now)
    if after is not None:
        query = query.where(or_(_p.c.asked > after.asked, and_(_p.c.asked == after.asked, _p.c.id > after.id)))
    return tx.conn.execute(query.order_by(_p.c.asked, _p.c.id).limit(_AT_ONCE)).all()


def waiting_count(tx: Read) -> int:
    """Return how many requests wait, for the metrics."""
    return tx.conn.execute(
        select(func.count()).select_from(_p).where(_p.c.kind == pending.REQUEST, _p.c.state == "waiting")
    ).scalar_one()


def _for_me(tx: Write, number: str) -> Any:
    row = pending.waiting_row(tx, number, pending.REQUEST)
    giver = Giver.of(tx)
    sees = _may_see(tx, row.payload["scope"], {})
    if not sees or not _could_grant(tx, giver, row):
        scope, role = row.payload["scope"], tx.roles.get(row.payload["role"])
        if role is not None and sees:
            whom = Identity.parse(row.asked_by)
            missing = giver.missing_to_give(tx, role, scope, whom)
            raise refuse(tx, "grant", role.name, scope, missing, whom)
        raise pending.nothing()
    return row


def _could_grant(tx: Write, giver: Giver, row: Any) -> bool:
    role, scope = tx.roles.get(row.payload["role"]), row.payload["scope"]
    return role is not None and not giver.missing_to_give(tx, role, scope, Identity.parse(row.asked_by))


def _may_see(tx: Write, scope: str, known: dict[str, bool]) -> bool:
    if scope not in known:
        known[scope] = scope == SYSTEM or gate.above_roles(tx) or gate.visible(tx, tx.actor.identity, scope)
    return known[scope]


def _state(tx: Read, row: Any) -> str:
    return "expired" if row.state == "waiting" and row.expires <= tx.now else str(row.state)
