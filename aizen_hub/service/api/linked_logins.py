"""The logins of a user: listed, linked and unlinked by those who manage users."""

from __future__ import annotations

from aizen_hub.accounts.logins import linked_logins as further_logins
from aizen_hub.service.api.change_response import change, number_in
from aizen_hub.service.api.schemas.linked_logins import NewLogin, UnlinkQuery
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Need, Route
from aizen_hub.service.pipeline.request_context import Call

MANAGE = Need.operation("users")


async def listing(call: Call) -> Answer:
    return await change(call, lambda tx: further_logins.list_of(tx, call.members["user"]))


async def link(call: Call) -> Answer:
    body = call.body
    return await change(
        call, lambda tx: further_logins.link(tx, call.members["user"], body.provider, body.subject), 201
    )


async def unlink(call: Call) -> Answer:
    number = number_in(call, "login", "further login")
    return await change(call, lambda tx: further_logins.unlink(tx, call.members["user"], number, last=call.query.last))


_L = "/api/v1/users/{user}/logins"

ROUTES = (
    Route("GET", _L, PEOPLE, REGISTERED, listing, "List the ways by which a user signs in.", answer=ResultView),
    Route(
        "POST",
        _L,
        PEOPLE,
        MANAGE,
        link,
        "Let a further login sign in as a user.",
        body=NewLogin,
        answer=ResultView,
        status=201,
        keyed=True,
    ),
    Route(
        "DELETE",
        _L + "/{login}",
        PEOPLE,
        MANAGE,
        unlink,
        "Take a further login from a user.",
        query=UnlinkQuery,
        answer=ResultView,
        keyed=True,
    ),
)
