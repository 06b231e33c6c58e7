"""Requests for access, and changes that wait for confirmation."""

from __future__ import annotations

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result
from aizen_hub.service.api.change_response import change
from aizen_hub.service.api.schemas.access import Comment
from aizen_hub.service.api.schemas.groups import Approval, NewRequest, RequestsQuery
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Credential, Need, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Write

IN_PANEL = frozenset({Credential.BROWSER})


async def listing(call: Call) -> Answer:
    if call.query.which == "mine":
        return await change(call, lambda tx: requests.mine(tx, call.identity))
    return await change(call, requests.to_decide)


async def ask(call: Call) -> Answer:
    body = call.body
    return await change(
        call, lambda tx: requests.ask(tx, body.role, body.scope, reason=body.reason, until=body.until), 201
    )


async def approve(call: Call) -> Answer:
    body = call.body
    return await change(
        call, lambda tx: requests.approve(tx, call.members["request"], comment=body.comment, until=body.until)
    )


async def deny(call: Call) -> Answer:
    return await change(call, lambda tx: requests.deny(tx, call.members["request"], comment=call.body.comment))


async def withdraw(call: Call) -> Answer:
    return await change(call, lambda tx: requests.withdraw(tx, call.members["request"]))


async def waiting(call: Call) -> Answer:
    def work(tx: Write) -> Result:
        gate.need(tx, gate.permission(tx, "users"))
        return pending.waiting(tx)

    return await change(call, work)


async def confirm(call: Call) -> Answer:
    return await change(call, lambda tx: carry_out.confirm(tx, call.members["change"]))


async def reject(call: Call) -> Answer:
    return await change(call, lambda tx: pending.reject(tx, call.members["change"], call.body.comment))


_R, _P = "/api/v1/requests", "/api/v1/pending"

ROUTES = (
    Route(
        "GET",
        _R,
        PEOPLE,
        REGISTERED,
        listing,
        "One's own requests for access, or those that one could grant.",
        query=RequestsQuery,
        answer=ResultView,
    ),
    Route(
        "POST",
        _R,
        PEOPLE,
        REGISTERED,
        ask,
        "Ask for a role.",
        body=NewRequest,
        answer=ResultView,
        status=201,
        keyed=True,
    ),
    # Whether one may approve depends on the role that is asked for; the request's own function judges it as a grant.
    Route(
        "POST",
        _R + "/{request}/approve",
        PEOPLE,
        REGISTERED,
        approve,
        "Grant what was asked for.",
        body=Approval,
        answer=ResultView,
        keyed=True,
    ),
    Route(
        "POST",
        _R + "/{request}/deny",
        PEOPLE,
        REGISTERED,
        deny,
        "Refuse a request.",
        body=Comment,
        answer=ResultView,
        keyed=True,
    ),
    Route(
        "POST",
        _R + "/{request}/withdraw",
        PEOPLE,
        REGISTERED,
        withdraw,
        "Take back one's own request.",
        answer=ResultView,
        keyed=True,
    ),
    Route(
        "GET",
        _P,
        PEOPLE,
        Need.operation("users"),
        waiting,
        "List the changes that wait for confirmation.",
        answer=ResultView,
    ),
    Route(
        "POST",
        _P + "/{change}/confirm",
        IN_PANEL,
        REGISTERED,
        confirm,
        "Confirm a waiting change, after a fresh sign-in.",
        answer=ResultView,
    ),
    Route(
        "POST",
        _P + "/{change}/reject",
        PEOPLE,
        REGISTERED,
        reject,
        "Reject a waiting change.",
        body=Comment,
        answer=ResultView,
        keyed=True,
    ),
)
