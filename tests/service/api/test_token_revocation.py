"""Ending role tokens over HTTP: acknowledged, and the next command is refused until the server has renewed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.conftest import Driver, Response, Session

URL = "/api/v1/tokens/revoke"


async def revoke(service: Driver, body: dict[str, Any], auth: str | None = None, **headers: str) -> Response:
    robot = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    return await service.call("POST", URL, body, auth=auth or robot, headers=headers)


async def asked(service: Driver, token: str) -> tuple[int, str | None]:
    answer = await service.call("POST", "/api/v1/decisions", {"permission": "read:training"}, auth=f"Bearer {token}")
    return answer.status, answer.json.get("code")


async def renewed(service: Driver, session: Session) -> str:
    answer = await service.renew(session)
    assert answer.status == 200, answer.body
    token: str = answer.json["access_token"]
    return token


@pytest.mark.proves("R47", "R48", "T-07")
@pytest.mark.parametrize(("target", "name"), [("user", "eve"), ("project", "p1")])
async def test_the_next_command_is_refused_until_the_server_has_renewed(
    service: Driver, target: str, name: str
) -> None:
    eve, zoe = await service.open("eve"), await service.open("zoe", "p2")
    token = eve.token
    for _ in range(3):
        assert (await asked(service, token))[0] == 200
        answer = await revoke(service, {"target": target, "name": name, "reason": "seen elsewhere"})
        assert (answer.status, answer.json["data"]["sessions"]) == (200, 1), answer.body
        assert await asked(service, token) == (401, "revoked")
        token = await renewed(service, eve)
    assert (await asked(service, token))[0] == 200
    assert (await asked(service, zoe.token))[0] == 200


@pytest.mark.proves("R46", "R47")
async def test_a_session_that_ended_does_not_come_back_by_it(service: Driver) -> None:
    eve = await service.open("eve")
    assert (await revoke(service, {"target": "user", "name": "eve"})).status == 200
    ended = {"user": "eve", "server": "", "reason": "stopped"}
    assert (await service.hub("POST", "/sessions/end", ended)).status == 200
    assert (await service.renew(eve)).status == 400


@pytest.mark.proves("R47", "R70")
async def test_one_s_own_and_nobody_else_s(service: Driver) -> None:
    eve, rob = await service.open("eve"), await service.open("rob")
    second = await service.open("eve", server="second")
    assert (await revoke(service, {"target": "user", "name": "rob"}, eve.auth)).status == 403
    assert (await revoke(service, {"target": "project", "name": "p1"}, eve.auth)).status == 403
    assert (await revoke(service, {"target": "project", "name": "p2"}, eve.auth)).status == 404
    assert (await revoke(service, {"target": "all"}, eve.auth)).status == 403
    assert (await revoke(service, {"target": "user", "name": "eve"}, eve.auth)).status == 200
    assert [(await asked(service, one.token))[0] for one in (eve, second, rob)] == [401, 401, 200]


@pytest.mark.proves("R77")
async def test_all_from_a_program_waits_for_a_person(service: Driver) -> None:
    eve = await service.open("eve")
    answer = await revoke(service, {"target": "all", "reason": "leaked"})
    assert answer.status == 202
    assert answer.json["data"]["pending"]
    assert (await asked(service, eve.token))[0] == 200


@pytest.mark.proves("R103")
async def test_a_repetition_ends_nothing_twice(service: Driver) -> None:
    eve, body = await service.open("eve"), {"target": "user", "name": "eve"}
    key = {"Idempotency-Key": "one"}
    first = await revoke(service, body, **key)
    token = await renewed(service, eve)
    again = await revoke(service, body, **key)
    assert (again.status, again.json) == (200, first.json)
    assert (await asked(service, token))[0] == 200


@pytest.mark.proves("R74")
@pytest.mark.parametrize(
    "body", [{"target": "user"}, {"target": "project"}, {"target": "all", "name": "eve"}, {"target": "group"}, {}]
)
async def test_it_says_what_it_needs(service: Driver, body: dict[str, Any]) -> None:
    answer = await revoke(service, body)
    assert answer.status == 400
    assert answer.json["errors"][0]["pointer"] in ("/name", "/target")
