"""A narrowed token allows what its scope names, at every address, and nothing else (R49, R53)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from aizen_hub.accounts.roles import access_requests
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.route import AuthMethod, RequirementKind
from aizen_hub.service.routes import routes
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
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
    with service.context.store.read() as tx:
        changeable = (tables.assignments, tables.groups, tables.users, tables.pending_changes)
        return {table.name: list(map(repr, tx.conn.execute(table.select()))) for table in changeable}


@pytest.mark.proves("R49", "R53")
async def test_it_cannot_change_access(service: Driver) -> None:
    ada = await service.open("ada")
    with service.context.store.write(Actor(Identity.user("nil"), Channel.PANEL)) as tx:
        request_id = access_requests.request_access(tx, "PROJECT_EXECUTOR", "p1").data["request"]
    narrow = await narrowed(service, ada)
    policy = {"projects": ["p1"], "assignments": [{"role": "PROJECT_READER", "scope": "p1", "identity": "user:zoe"}]}
    before = state(service)
    for method, path, body in (
        ("POST", f"/api/v1/requests/{request_id}/approve", {}),
        ("POST", f"/api/v1/requests/{request_id}/deny", {}),
        ("POST", "/api/v1/policy", {"policy": policy}),
        ("PATCH", "/api/v1/users/ada", {"display_name": "another name"}),
        ("POST", "/api/v1/requests", {"role": "PROJECT_CREATOR", "scope": "system"}),
        ("GET", "/api/v1/assignments", None),
        ("POST", "/api/v1/commands", {"text": "list projects"}),
    ):
        answer = await service.call(method, path, body, auth=narrow)
        assert (answer.status, answer.json.get("decision", {}).get("reason")) == (403, "outside-token"), answer.body
    assert state(service) == before
    decided = await service.call("POST", "/api/v1/decisions", {"permission": SCOPE}, auth=narrow)
    assert decided.json["decision"]["allowed"]
    assert (await service.call("POST", f"/api/v1/requests/{request_id}/approve", {}, auth=ada.auth)).status == 200


@pytest.mark.proves("R49", "R60")
async def test_every_address_that_accepts_role_tokens_decides_with_its_scope(service: Driver) -> None:
    boss = await service.open("boss", None)
    narrow = await narrowed(service, boss, "sing:songs")
    refused = 0
    for route in routes():
        if AuthMethod.ROLE_TOKEN not in route.auth or route.requires.kind is RequirementKind.COMMAND:
            continue
        path = route.path
        for param in route.path_params():
            path = path.replace(
                f"{{{param}}}", {"project": "p1", "user": "boss", "role": "AIZEN_ADMIN"}.get(param, "1")
            )
        body = None if route.body is None else BODIES.get(route.body.__name__, {})
        answer = await service.call(route.method, path, body, auth=narrow)
        if answer.status == 400:
            continue  # no valid body for it here
        refused += 1
        assert answer.status in (403, 404), (route.name, answer.body)
        decision = answer.json["decision"]
        assert not decision["allowed"], route.name
        assert decision["reason"] in ("outside-token", "no-assignment", "unknown-project"), (route.name, decision)
    assert refused > 40


BODIES: dict[str, dict[str, Any]] = {"PolicyDocument": {"policy": {}}, "UserChange": {"display_name": "x"}}
