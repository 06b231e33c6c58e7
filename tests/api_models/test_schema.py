"""Text that people write has one bound, which the schemas check."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aizen_hub.validation.prose import MAX_PROSE
from tests.service.conftest import Driver, options, service  # noqa: F401 - fixtures

LONG = "ä" * MAX_PROSE
TOO_LONG = LONG + "!"

REQUESTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("POST", "/users", {"name": "amy"}, "display_name"),
    ("PATCH", "/users/nil", {}, "display_name"),
    ("POST", "/assignments", {"roles": ["PROJECT_READER"], "scope": "p1", "identity": "user:nil"}, "reason"),
    ("POST", "/assignments/revoke", {"roles": ["PROJECT_READER"], "scope": "p1", "identity": "user:rob"}, "reason"),
    ("POST", "/locks", {"target": "identity", "name": "user:nil"}, "reason"),
    ("POST", "/groups", {"name": "crew"}, "description"),
    ("POST", "/service-accounts", {"name": "bot"}, "description"),
    ("POST", "/tokens/revoke", {"target": "user", "name": "nil"}, "reason"),
    ("POST", "/requests", {"role": "PROJECT_ADMIN", "scope": "p1"}, "reason"),
]


@pytest.mark.proves("R141")
@pytest.mark.parametrize(("method", "path", "body", "field"), REQUESTS, ids=lambda value: str(value)[:30])
async def test_the_api_refuses_longer_text_with_422(
    service: Driver,  # noqa: F811
    method: str,
    path: str,
    body: dict[str, Any],
    field: str,
) -> None:
    robot = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    before = service.revision()
    answer = await service.call(method, "/api/v1" + path, {**body, field: TOO_LONG}, auth=robot)
    assert answer.status == 422, answer.body
    assert answer.json["type"] == "/services/aizen/docs/problems/text-too-long"
    assert "1001 characters" in answer.json["detail"]
    assert answer.json["errors"][0]["pointer"] == f"/{field}"
    assert service.revision() == before
    answer = await service.call(method, "/api/v1" + path, {**body, field: LONG}, auth=robot)
    assert answer.status != 422, answer.body


@pytest.mark.proves("R141")
async def test_what_is_accepted_is_stored_whole(service: Driver) -> None:  # noqa: F811
    robot = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    lock = {"target": "identity", "name": "user:nil", "reason": LONG}
    assert (await service.call("POST", "/api/v1/locks", lock, auth=robot)).status == 201
    assert LONG in json.dumps((await service.call("GET", "/api/v1/locks", auth=robot)).json, ensure_ascii=False)
    assert (await service.call("PATCH", "/api/v1/users/rob", {"display_name": LONG}, auth=robot)).status == 200
    users = (await service.call("GET", "/api/v1/users", auth=robot)).json
    assert LONG in json.dumps(users, ensure_ascii=False)
    with service.context.store.read() as tx:
        bodies = b"".join(row[0] for row in tx.conn.exec_driver_sql("SELECT body FROM audit WHERE event = 'lock.set'"))
    assert json.dumps(LONG).encode() in bodies, "the audit too"


@pytest.mark.proves("R74")
@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
async def test_a_time_that_utc_cannot_hold_is_refused(service: Driver, time: str) -> None:  # noqa: F811
    """Stored, it could never be read again, and would stop everyone whose rights are loaded with it."""
    boss = await service.open("boss", None)
    grant = {"roles": ["PROJECT_READER"], "scope": "p1", "identity": "user:nil", "starts": time}
    lock = {"target": "project", "name": "p1", "reason": "audit", "ends": time}
    for path, body, field in (("/assignments", grant, "starts"), ("/locks", lock, "ends")):
        answer = await service.call("POST", "/api/v1" + path, body, auth=boss.auth)
        assert answer.status == 400, answer.body
        assert answer.json["errors"] == [{"pointer": f"/{field}", "detail": "is not a valid date and time"}]
    assert (await service.call("GET", "/api/v1/locks", auth=boss.auth)).status == 200
