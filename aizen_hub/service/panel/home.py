"""My access: one's roles and limits in each project, and how to ask for more."""

from __future__ import annotations

from typing import Any, Literal

from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.accounts.roles import limits
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.route import REGISTERED, Document, Route
from aizen_hub.service.http.schema import Name, Note, Schema
from aizen_hub.service.panel.rendering import HTML, IN_BROWSER, Form, do, render, see_other
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Read

_MOST = 1000
_REQUESTS = 50
_SAID = {
    "asked": "Your request waits for somebody who may grant it.",
    "withdrawn": "Your request was taken back.",
}


class HomeQuery(Schema):
    done: Literal["asked", "withdrawn"] | None = None


class AskForAccess(Form):
    scope: str = SYSTEM
    role: Name
    reason: Note = ""


class Withdrawal(Form):
    request: Name


async def home(call: Call) -> Document:
    who = call.identity

    def work(tx: Read) -> dict[str, Any]:
        mine = requests.mine(tx, who, _REQUESTS)
        held = [one for one in tx.rights(who).held if one.gives(tx.now)][:_MOST]
        scopes = sorted({one.scope for one in held}, key=lambda one: (one != SYSTEM, one))
        return {
            "places": [
                {
                    "name": scope,
                    "roles": [(one, tx.roles[one.role].description) for one in held if one.scope == scope],
                    "limits": [(kind.value, one) for kind, one in sorted(limits.of(tx, who, scope).items())],
                }
                for scope in scopes
            ],
            "requests": mine.rows,
            "more_requests": mine.data["more"],
            "roles": sorted(
                (one for one in tx.roles.values()), key=lambda one: (min(one.scopes, default=""), one.name)
            ),
            "projects": [row.name for row in gate.visible_projects(tx, who)],
        }

    found = await call.read(work)
    return render(call, "home.html", said=_SAID.get(call.query.done), **found)


async def ask(call: Call) -> Document:
    scope = call.body.scope.strip() or SYSTEM
    if not scope.isprintable() or len(scope) > 255:
        raise BadInput("this is no project's name")

    def work(tx: Any) -> Result:
        return requests.ask(tx, call.body.role, scope, reason=call.body.reason)

    await do(call, work)
    return see_other(call, "?done=asked")


async def withdraw(call: Call) -> Document:
    await do(call, lambda tx: requests.withdraw(tx, call.body.request))
    return see_other(call, "?done=withdrawn")


ROUTES = (
    Route(
        "GET",
        "/",
        IN_BROWSER,
        REGISTERED,
        home,
        "My access.",
        query=HomeQuery,
        media=HTML,
        page=True,
    ),
    Route(
        "POST",
        "/ask",
        IN_BROWSER,
        REGISTERED,
        ask,
        "Ask for a role, from the page.",
        body=AskForAccess,
        form=True,
        media=HTML,
        page=True,
    ),
    Route(
        "POST",
        "/withdraw",
        IN_BROWSER,
        REGISTERED,
        withdraw,
        "Take a request back, from the page.",
        body=Withdrawal,
        form=True,
        media=HTML,
        page=True,
    ),
)
