"""Changes that wait until an entitled person confirms them in the panel (DESIGN, confirmation; R77)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, first, message
from aizen_hub.problems import Conflict, Denied, NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.protected_roles import is_guarded
from aizen_hub.store import tables
from aizen_hub.store.actor import Road
from aizen_hub.store.audit_log import change_records as recorded

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

WAITS = timedelta(hours=24)
MOST = 1_000
"""Waiting changes or requests that one list tells."""
_ROADS = frozenset({Road.KERNEL, Road.CLI, Road.SERVICE_ACCOUNT, Road.POLICY})
_p = tables.pending

Operation = Callable[["Write", Mapping[str, Any]], Result]


def needed(tx: Write, places: Iterable[tuple[str, str]] = (), *, always: bool = False) -> bool:
    """Tell whether this change has to wait.

    A road on which a person cannot be told from a program makes it wait; in the panel it needs a fresh sign-in instead.

    Parameters
    ----------
    places : iterable of (role, scope)
        The roles that change hands, and where.
    always : bool
        The change is of the kind that waits whatever the roles: credentials, group mappings, keys.

    Raises
    ------
    Denied
        In the panel, without a fresh sign-in.
    """
    if not tx.settings.confirm_protected or not (always or any(guarded(tx, *place) for place in places)):
        return False
    if tx.trying:
        # Nothing is changed, so there is nothing to confirm; and what would wait is what one wants to see first.
        return False
    if tx.actor.road is Road.PANEL:
        need_fresh(tx)
    return tx.actor.road in _ROADS


def needed_to_control(tx: Write, *identities: Identity) -> bool:
    """Tell whether a change that lets somebody use what these identities hold, or stops them using it, has to wait.

    What they hold through groups counts, whenever it begins to give. The problems are those of `needed`.
    """
    return needed(tx, reached_places(tx, *identities))


def guarded(tx: Read, role: str, scope: str) -> bool:
    """Tell whether a role is one of those that change hands only with confirmation."""
    found = tx.roles.get(role)
    return found is not None and is_guarded(found, scope, tx.roles, tx.catalog.member_permissions)


def reached_places(tx: Read, *identities: Identity) -> frozenset[tuple[str, str]]:
    """Return every role and scope that is assigned to the identities or to a group that one of them is in."""
    a = tables.assignments
    whose = {str(found) for one in identities for found in (one, *gate.reached_groups(tx, one))}
    rows = tx.conn.execute(select(a.c.role, a.c.scope).where(a.c.identity.in_(sorted(whose))))
    return frozenset((row.role, row.scope) for row in rows)


def need_fresh(tx: Write) -> None:
    """Refuse unless the person proved who they are a short while ago (R77)."""
    if not is_fresh(tx):
        raise Denied(
            "this needs a fresh sign-in",
            remedy="sign in again with your provider",
            more={"reason": "fresh-login-required"},
        )


def is_fresh(tx: Write) -> bool:
    return tx.actor.fresh_until is not None and tx.actor.fresh_until > tx.now


def hold(tx: Write, operation: str, arguments: Mapping[str, Any], what: str) -> Result:
    """Store a change that waits, and return the answer that says so (the transaction commits)."""
    number = secrets.token_hex(16)
    expires = tx.now + WAITS
    values = {
        "kind": operation,
        "asked_by": str(tx.actor.identity),
        "asked": tx.now,
        "expires": expires,
        "payload": {"arguments": dict(arguments), "what": what},
    }
    tx.conn.execute(insert(_p).values(id=number, state="waiting", comment="", **values))
    wrote = recorded.rows(recorded.put(_p, number, values))
    tx.change("pending", {"pending": number, "operation": operation, **wrote}, [])
    tx.audit("change.held", details={"pending": number, "operation": operation, "what": what})
    return message(
        f"waiting for confirmation in the panel: {what}", pending=number, state="waiting", expires=expires, what=what
    )


def waiting(tx: Read, *, of: Identity | None = None, number: str | None = None, most: int = MOST) -> Result:
    """List the changes that wait, without their contents; expired ones are left out.

    Parameters
    ----------
    of : Identity, optional
        Only what this identity asked for.
    number : str, optional
        Only this change.
    most : int
        How many are told at most; where there are more, ``data["more"]`` is true.
    """
    query = select(_p).where(_p.c.kind != REQUEST, _p.c.state == "waiting", _p.c.expires > tx.now)
    if of is not None:
        query = query.where(_p.c.asked_by == str(of))
    if number is not None:
        query = query.where(_p.c.id == number)
    rows = tx.conn.execute(query.order_by(_p.c.asked, _p.c.id).limit(most + 1)).all()
    return first(
        ("id", "change", "asked by", "asked", "expires"),
        [(row.id, row.payload.get("what", row.kind), row.asked_by, row.asked, row.expires) for row in rows],
        most,
    )


def confirm(tx: Write, number: str, operations: Mapping[str, Operation]) -> Result:
    """Carry out a waiting change as the confirming person, with all checks made again on that person's rights.

    Raises
    ------
    Denied
        Not in the panel, no fresh sign-in, or who asked has lost the account meanwhile.
    NotFound, Conflict
        No such change; decided or expired already.
    Problem
        Whatever the change itself raises for the confirming person.
    """
    if tx.actor.road not in (Road.PANEL, Road.OPERATOR):
        raise Denied("a change is confirmed in the panel only", remedy="open the panel and sign in again")
    if tx.actor.road is Road.PANEL:
        gate.in_person(tx)
        need_fresh(tx)
    row = waiting_row(tx, number)
    if not tx.rights(Identity.parse(row.asked_by)).active:
        raise Denied("whoever asked for this change cannot sign in any more", remedy="reject it")
    result = operations[row.kind](tx, row.payload["arguments"])
    close(tx, row.id, "confirmed", "")
    tx.audit("change.confirmed", details={"pending": row.id, "operation": row.kind, "asked-by": row.asked_by})
    return result


def reject(tx: Write, number: str, comment: str = "") -> Result:
    """Refuse a waiting change: whoever asked for it may, in person, and every administrator of accounts."""
    row = waiting_row(tx, number)
    if row.asked_by == str(tx.actor.identity):
        gate.in_person(tx)
    else:
        gate.need(tx, gate.permission(tx, "users"))
    close(tx, row.id, "rejected", comment)
    tx.audit("change.rejected", details={"pending": row.id, "operation": row.kind, "comment": comment})
    return message("the change was rejected")


def expire(tx: Write) -> int:
    """Close what has waited too long, and empty it: it may hold contact data."""
    rows = tx.conn.execute(select(_p.c.id).where(_p.c.state == "waiting", _p.c.expires <= tx.now).limit(1_000)).all()
    for row in rows:
        close(tx, row.id, "expired", "")
        tx.audit("change.expired", details={"pending": row.id})
    return len(rows)


def drop_of(tx: Write, identity: Identity) -> None:
    """Reject what an identity that goes away has waiting."""
    rows = tx.conn.execute(select(_p.c.id).where(_p.c.state == "waiting", _p.c.asked_by == str(identity))).all()
    for row in rows:
        close(tx, row.id, "rejected", "")


REQUEST = "access-request"


def waiting_row(tx: Read, number: str, kind: str | None = None) -> Any:
    """Return a waiting change, or with ``kind`` a waiting request; NotFound or Conflict for anything else."""
    row = tx.conn.execute(select(_p).where(_p.c.id == number)).first()
    if row is None or (row.kind == REQUEST) != (kind == REQUEST):
        raise nothing()
    if row.state != "waiting" or row.expires <= tx.now:
        state = "expired" if row.state == "waiting" else row.state
        raise Conflict(f"this is {state} already")
    return row


def nothing() -> NotFound:
    return NotFound("there is no such waiting change or request")


def close(tx: Write, number: str, state: str, comment: str) -> None:
    """Decide a waiting change or request; its contents go, a request keeps its role and scope for its asker."""
    kept = tx.conn.execute(select(_p.c.kind, _p.c.payload).where(_p.c.id == number)).first()
    payload = {} if kept is None or kept.kind != REQUEST else {key: kept.payload.get(key) for key in ("role", "scope")}
    tx.conn.execute(
        update(_p)
        .where(_p.c.id == number)
        .values(state=state, decided_by=str(tx.actor.identity), decided=tx.now, comment=comment[:500], payload=payload)
    )
    tx.change("pending", {"pending": number, "state": state, **recorded.rows(recorded.gone(_p, number))}, [])
