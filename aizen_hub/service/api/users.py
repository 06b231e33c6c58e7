"""The registered people."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.credentials.passwords import NewPassword
from aizen_hub.accounts.users import users
from aizen_hub.authorization import checks as gate
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.api.change_response import answered, change
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.api.schemas.users import NewUser, NewUserAnswer, ProjectQuery, UserChange
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Need, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Read, Write

MANAGE = Need.operation("users")


async def listing(call: Call) -> Answer:
    return await change(call, lambda tx: users.list_users(tx, call.query.project or call.actor.project))


def _may(tx: Read, call: Call) -> bool:
    return gate.ask(tx, call.identity, gate.permission(tx, "users"), SYSTEM).allowed


async def create(call: Call) -> Answer:
    body = call.body
    password: str | NewPassword | None = body.password
    if password is not None and await call.look(lambda tx: _may(tx, call)):
        # Before the transaction, as it is slow on purpose; who may not create anybody is refused in it.
        password = await call.house.pools.passwords.run(lambda: NewPassword.of(body.password))

    def work(tx: Write, _: Any) -> Answer:
        result = users.create(
            tx,
            body.name,
            provider=body.provider,
            display_name=body.display_name or "",
            email=body.email,
            phone=body.phone,
            alerts=None if body.alerts is None else body.alerts.model_dump(),
            roles=body.roles,
            password=password,
        )
        value = answered(result, tx).value
        return Answer({**value, "user": result.data["user"], "activation": result.data.get("activation")}, 201)

    return await call.write(work)


async def alter(call: Call) -> Answer:
    body = call.body
    return await change(
        call,
        lambda tx: users.alter(
            tx,
            call.members["user"],
            display_name=body.display_name,
            email=body.email,
            phone=body.phone,
            alerts=None if body.alerts is None else body.alerts.model_dump(exclude_none=True),
        ),
    )


async def remove(call: Call) -> Answer:
    return await change(call, lambda tx: users.remove(tx, [call.members["user"]]))


async def reissue(call: Call) -> Answer:
    return await change(call, lambda tx: activation.reissue(tx, call.members["user"]), 201)


ROUTES = (
    Route(
        "GET",
        "/api/v1/users",
        PEOPLE,
        Need.like("list_users", "project"),
        listing,
        "List the registered users.",
        query=ProjectQuery,
        answer=ResultView,
    ),
    # Not keyed: the answer holds an activation link, and answers of keyed requests are kept.
    Route(
        "POST",
        "/api/v1/users",
        PEOPLE,
        MANAGE,
        create,
        "Register a user.",
        body=NewUser,
        answer=NewUserAnswer,
        status=201,
    ),
    Route(
        "PATCH",
        "/api/v1/users/{user}",
        PEOPLE,
        REGISTERED,
        alter,
        "Change contact data; one's own, or as a manager of users.",
        body=UserChange,
        answer=ResultView,
        keyed=True,
    ),
    Route(
        "DELETE",
        "/api/v1/users/{user}",
        PEOPLE,
        Need.like("delete_users"),
        remove,
        "Delete a registration.",
        answer=ResultView,
        keyed=True,
    ),
    Route(
        "POST",
        "/api/v1/users/{user}/activation",
        PEOPLE,
        MANAGE,
        reissue,
        "Make a new activation link; the old one is void.",
        answer=ResultView,
        status=201,
    ),
)
