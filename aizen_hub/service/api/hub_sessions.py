"""What the hub does with sessions: it asks which projects to offer, opens, ends, and names those that live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from aizen_hub.accounts.sessions import heartbeat, sessions
from aizen_hub.accounts.sessions import spawn_options as choices
from aizen_hub.commands.result import plain
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.api.schemas.sessions import (
    Choices,
    ChoicesQuery,
    Ended,
    Ending,
    Heartbeat,
    HeartbeatAnswer,
    Opened,
    Opening,
)
from aizen_hub.service.auth.authenticator import HUB
from aizen_hub.service.http.route import ROAD, Answer, Credential, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.transaction import Write
from aizen_hub.tokens.role_token import issue

BY_HUB = frozenset({Credential.HUB_SECRET})
_AT_SPAWN = ("memory", "cpu")


async def offer(call: Call) -> Answer:
    found = await call.look(lambda tx: choices.of(tx, call.query.user))
    return Answer(
        {
            "projects": [
                {
                    "name": one.name,
                    "description": one.description,
                    "roles": list(one.roles),
                    "limits": plain(dict(one.limits)),
                }
                for one in found.projects
            ],
            "system_session": found.system_session,
            "notice": found.notice,
        }
    )


async def open_session(call: Call) -> Answer:
    body, house = call.body, call.house
    settings = house.settings

    def work(tx: Write) -> dict[str, Any]:
        house.clock.check()
        opened = sessions.open(tx, body.user, body.requester, body.server, body.project, body.credential)
        lifetime = timedelta(seconds=settings.role_token.lifetime_seconds)
        token = issue(
            house.keys.ring(tx),
            settings.service_url,
            settings.service_url,
            subject=opened.user,
            session=opened.session_id,
            project=opened.project,
            roles=opened.roles,
            revision=tx.revision,
            now=tx.now,
            lifetime=lifetime,
        )
        return {
            "session": opened.session_id,
            "token": token,
            "expires_in": settings.role_token.lifetime_seconds,
            "project": opened.project,
            "environment": {"AIZEN_URL": settings.service_url, "AIZEN_PROJECT": opened.project or ""},
            "limits": {kind: opened.limits[kind] for kind in _AT_SPAWN if kind in opened.limits},
            "notice": opened.notice,
        }

    answer = await call.alone(Actor(Identity.user(body.user), Road.HUB, source=call.caller.source), work)
    house.metrics.session("opened")
    return Answer(answer, 201)


async def end(call: Call) -> Answer:
    body = call.body
    number = await call.alone(
        Actor(Identity.user(body.user), Road.HUB, source=call.caller.source),
        lambda tx: sessions.end(tx, body.user, body.server, body.reason),
    )
    call.house.metrics.session("ended", number)
    return Answer({"ended": number})


async def beat(call: Call) -> Answer:
    live = [(one.user, one.server) for one in call.body.live]

    def work(tx: Write) -> tuple[heartbeat.Heard, list[str]]:
        return heartbeat.take(tx, live), [one for one in call.body.admins if not sessions.is_admin(tx, one)]

    heard, no_admins = await call.alone(Actor(HUB, Road.HUB, source=call.caller.source), work)
    call.house.metrics.session("ended", len(heard.ended))
    call.house.without_session = heard.without
    return Answer(
        {
            "ended": [{"user": user, "server": server} for user, server in heard.ended],
            "stop": [{"user": user, "server": server} for user, server in heard.stop],
            "without": [{"user": user, "server": server} for user, server in heard.without],
            "no_admins": no_admins,
        }
    )


ROUTES = (
    Route(
        "GET",
        "/api/v1/sessions/choices",
        BY_HUB,
        ROAD,
        offer,
        "What a person may start a server for.",
        query=ChoicesQuery,
        answer=Choices,
    ),
    Route(
        "POST",
        "/api/v1/sessions",
        BY_HUB,
        ROAD,
        open_session,
        "Open the session of one server start.",
        body=Opening,
        answer=Opened,
        status=201,
    ),
    Route(
        "POST", "/api/v1/sessions/end", BY_HUB, ROAD, end, "End the sessions of one server.", body=Ending, answer=Ended
    ),
    Route(
        "POST",
        "/api/v1/sessions/heartbeat",
        BY_HUB,
        ROAD,
        beat,
        "Name every live server.",
        body=Heartbeat,
        answer=HeartbeatAnswer,
        max_body=4 << 20,
        max_members=50_000,
    ),
)
