"""Revocation of role tokens over HTTP: the next command is refused until the server has renewed its token."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.conftest import Driver, Response, Session

URL = "/api/v1/tokens/revoke"


async def revoke(service: Driver, body: dict[str, Any], auth: str | None = None, **headers: str) -> Response:
    robot = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    return await service.call("POST", URL, body, auth=auth or robot, headers=headers)


async def decide(service: Driver, token: str) -> tuple[int, str | None]:
    response = await service.call("POST", "/api/v1/decisions", {"permission": "read:training"}, auth=f"Bearer {token}")
    return response.status, response.json.get("code")


async def renew(service: Driver, session: Session) -> str:
    response = await service.renew(session)
    assert response.status == 200, response.body
    token: str = response.json["access_token"]
    return token


@pytest.mark.proves("R47", "R48", "T-07")
@pytest.mark.parametrize(("target", "name"), [("user", "eve"), ("project", "p1")])
async def test_the_next_command_is_refused_until_the_server_has_renewed(
    service: Driver, target: str, name: str
) -> None:
    eve, zoe = await service.open("eve"), await service.open("zoe", "p2")
    token = eve.token
    for _ in range(3):
        assert (await decide(service, token))[0] == 200
        response = await revoke(service, {"target": target, "name": name, "reason": "seen elsewhere"})
        assert (response.status, response.json["data"]["sessions"]) == (200, 1), response.body
        assert await decide(service, token) == (401, "revoked")
        token = await renew(service, eve)
    assert (await decide(service, token))[0] == 200
    assert (await decide(service, zoe.token))[0] == 200


@pytest.mark.proves("R46", "R47")
async def test_an_ended_session_is_not_revived(service: Driver) -> None:
    eve = await service.open("eve")
    assert (await revoke(service, {"target": "user", "name": "eve"})).status == 200
    ended = {"user": "eve", "server": "", "reason": "stopped"}
    assert (await service.hub("POST", "/sessions/end", ended)).status == 200
    assert (await service.renew(eve)).status == 400


@pytest.mark.proves("R47", "R70")
async def test_users_can_revoke_only_their_own_tokens(service: Driver) -> None:
    eve, rob = await service.open("eve"), await service.open("rob")
    second = await service.open("eve", server="second")
    assert (await revoke(service, {"target": "user", "name": "rob"}, eve.auth)).status == 403
    assert (await revoke(service, {"target": "project", "name": "p1"}, eve.auth)).status == 403
    assert (await revoke(service, {"target": "project", "name": "p2"}, eve.auth)).status == 404
    assert (await revoke(service, {"target": "all"}, eve.auth)).status == 403
    assert (await revoke(service, {"target": "user", "name": "eve"}, eve.auth)).status == 200
    assert [(await decide(service, session.token))[0] for session in (eve, second, rob)] == [401, 401, 200]


@pytest.mark.proves("R77")
async def test_revoking_all_tokens_by_a_service_account_needs_confirmation(service: Driver) -> None:
    eve = await service.open("eve")
    response = await revoke(service, {"target": "all", "reason": "leaked"})
    assert response.status == 202
    assert response.json["data"]["pending"]
    assert (await decide(service, eve.token))[0] == 200


@pytest.mark.proves("R103")
async def test_a_repeated_request_has_no_further_effect(service: Driver) -> None:
    eve, body = await service.open("eve"), {"target": "user", "name": "eve"}
    key = {"Idempotency-Key": "one"}
    first = await revoke(service, body, **key)
    token = await renew(service, eve)
    repeated = await revoke(service, body, **key)
    assert (repeated.status, repeated.json) == (200, first.json)
    assert (await decide(service, token))[0] == 200


@pytest.mark.proves("R74")
@pytest.mark.parametrize(
    "body", [{"target": "user"}, {"target": "project"}, {"target": "all", "name": "eve"}, {"target": "group"}, {}]
)
async def test_invalid_targets_are_refused(service: Driver, body: dict[str, Any]) -> None:
    response = await revoke(service, body)
    assert response.status == 400
    assert response.json["errors"][0]["pointer"] in ("/name", "/target")
