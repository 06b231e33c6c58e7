"""A narrowed token does what its scope names, on every road, and nothing else (R49, R53)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.route import Credential, Kind
from aizen_hub.service.routes import routes
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from tests.service.conftest import Driver, Session

SCOPE = "read:training"


async def narrowed(service: Driver, session: Session, scope: str = SCOPE) -> str:
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": session.token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "scope": scope,
    }
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await service.call("POST", "/oauth/token", raw=urlencode(form).encode(), headers=fields)
    assert answer.status == 200, answer.body
    return f"Bearer {answer.json['access_token']}"


def state(service: Driver) -> Any:
    with service.house.store.read() as tx:
        kept = (tables.assignments, tables.groups, tables.users, tables.pending)
        return {one.name: list(map(repr, tx.conn.execute(one.select()))) for one in kept}


@pytest.mark.proves("R49", "R53")
async def test_no_road_to_change_access_is_open_to_it(service: Driver) -> None:
    ada = await service.open("ada")
    with service.house.store.write(Actor(Identity.user("nil"), Road.PANEL)) as tx:
        number = requests.ask(tx, "PROJECT_EXECUTOR", "p1").data["request"]
    narrow = await narrowed(service, ada)
    policy = {"projects": ["p1"], "assignments": [{"role": "PROJECT_READER", "scope": "p1", "identity": "user:zoe"}]}
    before = state(service)
    for method, path, body in (
        ("POST", f"/api/v1/requests/{number}/approve", {}),
        ("POST", f"/api/v1/requests/{number}/deny", {}),
        ("POST", "/api/v1/policy", {"policy": policy}),
        ("PATCH", "/api/v1/users/ada", {"display_name": "somebody else"}),
        ("POST", "/api/v1/requests", {"role": "PROJECT_CREATOR", "scope": "system"}),
        ("GET", "/api/v1/assignments", None),
        ("POST", "/api/v1/commands", {"text": "list projects"}),
    ):
        answer = await service.call(method, path, body, auth=narrow)
        assert (answer.status, answer.json.get("decision", {}).get("reason")) == (403, "outside-token"), answer.body
    assert state(service) == before
    asked = await service.call("POST", "/api/v1/decisions", {"permission": SCOPE}, auth=narrow)
    assert asked.json["decision"]["allowed"]
    assert (await service.call("POST", f"/api/v1/requests/{number}/approve", {}, auth=ada.auth)).status == 200


@pytest.mark.proves("R49", "R60")
async def test_every_address_that_takes_a_role_token_asks_the_court_about_it(service: Driver) -> None:
    boss = await service.open("boss", None)
    narrow = await narrowed(service, boss, "sing:songs")
    tried = 0
    for route in routes():
        if Credential.ROLE_TOKEN not in route.takes or route.needs.kind is Kind.COMMAND:
            continue
        path = route.path
        for member in route.members():
            path = path.replace(
                f"{{{member}}}", {"project": "p1", "user": "boss", "role": "AIZEN_ADMIN"}.get(member, "1")
            )
        body = None if route.body is None else BODIES.get(route.body.__name__, {})
        answer = await service.call(route.method, path, body, auth=narrow)
        if answer.status == 400:
            continue  # its body is not made here; it goes the way of all the others
        tried += 1
        assert answer.status in (403, 404), (route.name, answer.body)
        decision = answer.json["decision"]
        assert not decision["allowed"], route.name
        assert decision["reason"] in ("outside-token", "no-assignment", "unknown-project"), (route.name, decision)
    assert tried > 40


BODIES: dict[str, dict[str, Any]] = {"PolicyDocument": {"policy": {}}, "UserChange": {"display_name": "x"}}
