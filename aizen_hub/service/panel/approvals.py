"""Waiting for confirmation: what would change, who would gain and lose what; confirm or reject."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.dry_run import preview
from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result
from aizen_hub.problems import Problem
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.route import REGISTERED, Document, Route
from aizen_hub.service.http.schema import Note, Schema
from aizen_hub.service.panel.rendering import HTML, IN_BROWSER, Form, do, form, render, see_other
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Write

_SAID = {
    "rejected": "The change was rejected.",
    "approved": "The request was granted.",
    "denied": "The request was refused.",
}
_SHOWN = 200


class WaitingQuery(Schema):
    done: Literal["rejected", "approved", "denied"] | None = None


class Verdict(Form):
    comment: Note = ""


class Plain(Form):
    """A form with nothing to fill in."""


def _visible(tx: Write, number: str | None = None) -> Result:
    everybody = gate.allowed(tx, gate.permission(tx, "users"), SYSTEM)
    return pending.waiting(tx, of=None if everybody else tx.actor.identity, number=number, most=_SHOWN)


async def listing(call: Call) -> Document:
    def work(tx: Write) -> dict[str, Any]:
        gate.in_person(tx)
        changes, grantable = _visible(tx), requests.to_decide(tx, _SHOWN)
        return {
            "changes": changes.rows,
            "more_changes": changes.data["more"],
            "requests": grantable.rows,
            "more_requests": grantable.data["more"],
        }

    found = await do(call, work)
    return render(call, "waiting.html", said=_SAID.get(call.query.done), **found)


async def detail(call: Call) -> Document:
    number = call.members["change"]

    def find(tx: Write) -> Any:
        gate.in_person(tx)
        rows = _visible(tx, number).rows
        if not rows:
            raise pending.nothing()
        # Only tried, and taken back: who may see it may see what it would do before signing in again.
        return rows[0], tx.now

    row, now = await do(call, find)
    trying = replace(call.actor, fresh_until=now + timedelta(minutes=1))
    house, effect, refusal = call.house, None, None
    try:
        effect = await house.pools.writes.run(
            lambda: preview(house.store, trying, lambda tx: carry_out.confirm(tx, number))
        )
    except Problem as problem:
        refusal = problem
    return render(call, "change.html", change=row, effect=effect, refusal=refusal)


async def confirm(call: Call) -> Document:
    result: Result = await do(call, lambda tx: carry_out.confirm(tx, call.members["change"]))
    # Shown at once and once: it may hold links or a credential.
    return render(call, "confirmed.html", result=result)


async def reject(call: Call) -> Document:
    await do(call, lambda tx: pending.reject(tx, call.members["change"], call.body.comment))
    return see_other(call, "waiting?done=rejected")


async def approve(call: Call) -> Document:
    result: Result = await do(call, lambda tx: requests.approve(tx, call.members["request"], comment=call.body.comment))
    if result.pending:
        return see_other(call, f"waiting/{result.pending}")
    return see_other(call, "waiting?done=approved")


async def deny(call: Call) -> Document:
    await do(call, lambda tx: requests.deny(tx, call.members["request"], comment=call.body.comment))
    return see_other(call, "waiting?done=denied")


ROUTES = (
    Route(
        "GET",
        "/waiting",
        IN_BROWSER,
        REGISTERED,
        listing,
        "What waits for confirmation.",
        query=WaitingQuery,
        media=HTML,
        page=True,
    ),
    Route("GET", "/waiting/{change}", IN_BROWSER, REGISTERED, detail, "One waiting change.", media=HTML, page=True),
    form("/waiting/{change}/confirm", confirm, "Confirm a waiting change, from its page.", Plain),
    form("/waiting/{change}/reject", reject, "Reject a waiting change, from its page.", Verdict),
    form("/waiting/requests/{request}/approve", approve, "Grant a request, from the page.", Verdict),
    form("/waiting/requests/{request}/deny", deny, "Refuse a request, from the page.", Verdict),
)
