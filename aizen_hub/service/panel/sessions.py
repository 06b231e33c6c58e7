"""Sessions and revocation: one's own sessions, and for those who may: everybody's, and one button to stop a person."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import select

from aizen_hub.accounts.credentials import activation, second_factor
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.authorization import checks as gate
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.api.user_stop import stop_person
from aizen_hub.service.http.route import REGISTERED, Document, Route
from aizen_hub.service.http.schema import Label, Name, Schema
from aizen_hub.service.panel.rendering import HTML, IN_BROWSER, Form, do, form, render, see_other
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store import tables
from aizen_hub.store.transaction import Write

_s, _l, _u = tables.sessions, tables.locks, tables.users
_MOST = 500
_SAID = {
    "ended": "The session has ended; its server is stopped in a moment.",
    "unlocked": "The lock is gone.",
    "second-factor": "No codes are asked of that person any more.",
}


class PeopleQuery(Schema):
    done: Literal["ended", "unlocked", "second-factor"] | None = None


class SessionEnding(Form):
    session: Name


class Stopping(Form):
    user: Name
    reason: Label


class Unlocking(Form):
    name: Name


class Person(Form):
    user: Name


async def listing(call: Call) -> Document:
    found = await do(call, _found)
    return render(call, "people.html", said=_SAID.get(call.query.done), outcome=None, link=None, **found)


def _found(tx: Write) -> dict[str, Any]:
    gate.in_person(tx)
    everybody = gate.allowed(tx, gate.permission(tx, "sessions"), SYSTEM)
    locking = gate.allowed(tx, gate.permission(tx, "locks"), SYSTEM)
    managing = gate.allowed(tx, gate.permission(tx, "users"), SYSTEM)
    query = select(_s).where(_s.c.ended.is_(None)).order_by(_s.c.started.desc()).limit(_MOST + 1)
    if not everybody:
        query = query.where(_s.c.user == tx.actor.identity.name)
    else:
        tx.audit("access.read", details={"question": "sessions", "target": None})
    stopped = []
    if locking:
        stopped = list(
            tx.conn.execute(
                select(_l).where(_l.c.target == LockTarget.IDENTITY.value).order_by(_l.c.locked.desc()).limit(_MOST + 1)
            ).all()
        )
    found = tx.conn.execute(query).all()
    return {
        "sessions": found[:_MOST],
        "more_sessions": len(found) > _MOST,
        "everybody": everybody,
        "locking": locking,
        "managing": managing,
        "stopped": stopped[:_MOST],
        "more_stopped": len(stopped) > _MOST,
        "people": list(tx.conn.execute(select(_u.c.name).order_by(_u.c.name).limit(_MOST)).scalars())
        if locking or managing
        else [],
    }


async def end(call: Call) -> Document:
    await do(call, lambda tx: sessions.end_one(tx, call.body.session, "ended in the panel"))
    return see_other(call, "sessions?done=ended")


async def stop(call: Call) -> Document:
    _, sentence = await stop_person(call, call.body.user, call.body.reason)
    return render(call, "people.html", said=None, outcome=sentence, link=None, **await do(call, _found))


async def unlock(call: Call) -> Document:
    await do(call, lambda tx: locks.unlock(tx, LockTarget.IDENTITY, call.body.name))
    return see_other(call, "sessions?done=unlocked")


async def reset(call: Call) -> Document:
    """Make an activation link: the password of now goes on until the link is used."""
    made = await do(call, lambda tx: activation.reissue(tx, call.body.user))
    return render(call, "people.html", said=None, outcome=None, link=made.data, **await do(call, _found))


async def no_codes(call: Call) -> Document:
    await do(call, lambda tx: second_factor.disable(tx, call.body.user))
    return see_other(call, "sessions?done=second-factor")


ROUTES = (
    Route(
        "GET",
        "/sessions",
        IN_BROWSER,
        REGISTERED,
        listing,
        "Sessions and revocation.",
        query=PeopleQuery,
        media=HTML,
        page=True,
    ),
    form("/sessions/end", end, "End a session, from its page.", SessionEnding),
    # The hub stops servers meanwhile, by its own deadline.
    form("/sessions/stop", stop, "Stop a person now, from the page.", Stopping, in_time=True),
    form("/sessions/unlock", unlock, "Let a person in again, from the page.", Unlocking),
    form("/sessions/reset", reset, "Make an activation link for a person, from the page.", Person),
    form("/sessions/no-codes", no_codes, "Switch off the second factor of a person, from the page.", Person),
)
