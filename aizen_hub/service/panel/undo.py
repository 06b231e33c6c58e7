"""Undo: a change of the panel is offered to be undone for ten minutes, once, as an ordinary change by the same user."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field
from sqlalchemy import delete, insert, select

from aizen_hub.accounts.groups import membership
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.commands.result import Result, to_json_value
from aizen_hub.problems import NotFound
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import authorized_value, form_route
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction

LIFETIME = timedelta(minutes=10)
MAX_STEPS = 1_000
REASON = "undone in the panel"
_u = tables.undo_records

Step = tuple[str, Mapping[str, Any]]
"""A key of `UNDO_STEPS` with its arguments; texts, numbers and lists only, times as ISO texts."""


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


UNDO_STEPS: Mapping[str, Callable[[WriteTransaction, Mapping[str, Any]], Result]] = {
    "grant": lambda tx, args: assignments.grant_roles(
        tx,
        args["roles"],
        args["scope"],
        Identity.parse(args["identity"]),
        interval=Interval(_time(args.get("starts")), _time(args.get("ends"))),
        reason=args.get("reason", REASON),
    ),
    "revoke": lambda tx, args: assignments.revoke_roles(
        tx, args["roles"], args["scope"], Identity.parse(args["identity"]), reason=REASON
    ),
    "add-member": lambda tx, args: membership.add_member(tx, args["group"], Identity.parse(args["member"])),
    "remove-member": lambda tx, args: membership.remove_member(tx, args["group"], Identity.parse(args["member"])),
    "unlock": lambda tx, args: locks.unlock_target(
        tx, LockTarget(args["target"]), args["name"], reason=REASON, requested_for=args["lock"]
    ),
    "lock": lambda tx, args: locks.lock_target(
        tx, LockTarget(args["target"]), args["name"], reason=args["reason"], ends=_time(args.get("ends"))
    ),
}
"""What undoes a change, by its name; each checks its actor as the change that a user makes directly."""


def offer_undo(tx: WriteTransaction, label: str, steps: Sequence[Step]) -> str:
    """Offer the inverse of a change, in the transaction of the change; returns the id for its toast.

    Parameters
    ----------
    label : str
        The change in words, such as ``gave rita PROJECT_READER in churn``.
    steps : sequence of Step
        All or none of them are made, in this order; at most 1,000.
    """
    if not 0 < len(steps) <= MAX_STEPS or any(name not in UNDO_STEPS for name, _ in steps):
        raise ValueError("this cannot be undone")
    tx.conn.execute(delete(_u).where(_u.c.expires <= tx.now))
    undo_id = secrets.token_hex(16)
    tx.conn.execute(
        insert(_u).values(
            id=undo_id,
            identity=str(tx.actor.identity),
            label=label,
            steps=json.loads(json.dumps([list(step) for step in steps])),
            expires=tx.now + LIFETIME,
        )
    )
    return undo_id


def offer_unlock(
    tx: WriteTransaction, label: str, names: Sequence[str], target: LockTarget = LockTarget.IDENTITY
) -> str:
    """Offer to lift the locks that this user has just set on what had none, and no lock that is set later."""
    actor = str(tx.actor.identity)
    steps: list[Step] = []
    for name in names:
        lock = {"locked": to_json_value(locks.get_lock(tx, target, name).locked), "by": actor}
        steps.append(("unlock", {"target": target.value, "name": name, "lock": lock}))
    return offer_undo(tx, label, steps)


def undo_change(tx: WriteTransaction, undo_id: str) -> str:
    """Undo a change; returns its label.

    Raises
    ------
    NotFound
        There is no such offer for this user: it is older than ten minutes, or was used.
    Problem
        Any problem of the inverse change, which is authorized again; then nothing is undone.
    """
    row = tx.conn.execute(
        select(_u).where(_u.c.id == undo_id, _u.c.identity == str(tx.actor.identity), _u.c.expires > tx.now)
    ).first()
    if row is None:
        raise NotFound(
            "this cannot be undone any more", remedy="changes can be undone once, within ten minutes; change it back"
        )
    tx.conn.execute(delete(_u).where(_u.c.id == row.id))
    results = [UNDO_STEPS[name](tx, arguments) for name, arguments in row.steps]
    tx.audit("change.undone", details={"undo": row.id, "what": row.label})
    waits = any(result.pending_id for result in results)
    return f"{row.label}; it takes effect when a second person confirms it" if waits else str(row.label)


class UndoForm(Form):
    undo: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    back: Annotated[str, Field(max_length=3000)] = ""


async def undo(ctx: RequestContext) -> RawResponse:
    """Undo a change, and return to the page where it was offered."""
    label = await authorized_value(ctx, lambda tx: undo_change(tx, ctx.body.undo))
    try:
        address = urlsplit(ctx.body.back)
    except ValueError:
        address = urlsplit("")
    page = address.path.removeprefix(ctx.service.prefix) if address.path.startswith(ctx.service.prefix) else ""
    return see_other(ctx, f"{page}?{address.query}" if address.query else page, Toast(f"Undone: {label}."))


ROUTES = (form_route("/undo", undo, "Undo a change, from its toast.", UndoForm),)
