"""Times and identities in the API, in every valid notation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.service.conftest import Driver, Response

TIMES = ["2031-01-01T00:00:00Z", "2031-01-01t01:00:00.000+01:00", "2030-12-31T19:00:00-05:00"]
NOT_TIMES: list[Any] = ["2031-01-01", "2031-01-01T00:00:00", "2031-13-01T00:00:00Z", "soon", 1924992000, True, ""]


async def post(service: Driver, path: str, body: dict[str, Any]) -> Response:
    return await service.call("POST", "/api/v1" + path, body, auth=f"Bearer {service.robot}")  # type: ignore[attr-defined]


async def assignments_of(service: Driver, name: str) -> list[dict[str, Any]]:
    path = f"/api/v1/assignments?identity=user:{name}"
    result = (await service.call("GET", path, auth=f"Bearer {service.robot}")).json  # type: ignore[attr-defined]
    return [dict(zip(result["columns"], row, strict=True)) for row in result["rows"]]


def same(text: str) -> bool:
    return datetime.fromisoformat(text) == datetime(2031, 1, 1, tzinfo=UTC)


@pytest.mark.proves("R64")
@pytest.mark.parametrize("time", TIMES)
async def test_an_assignment_ends_at_the_given_time(service: Driver, time: str) -> None:
    body = {"roles": ["PROJECT_CREATOR"], "identity": "user:nil", "starts": "2030-01-01T00:00:00Z", "ends": time}
    assert (await post(service, "/assignments", body)).status == 201
    (held,) = await assignments_of(service, "nil")
    assert same(held["until"])


@pytest.mark.parametrize("time", NOT_TIMES)
async def test_an_invalid_time_is_refused_with_a_pointer(service: Driver, time: Any) -> None:
    response = await post(service, "/assignments", {"roles": ["PROJECT_CREATOR"], "identity": "user:nil", "ends": time})
    assert response.status == 400
    assert response.json["errors"][0]["pointer"] == "/ends"
    assert await assignments_of(service, "nil") == []


async def test_locks_and_stops_can_expire(service: Driver) -> None:
    lock = {"target": "identity", "name": "user:nil", "reason": "away", "ends": TIMES[0]}
    assert (await post(service, "/locks", lock)).status == 201
    stop = await post(service, "/users/rob/stop", {"reason": "away", "ends": TIMES[0]})
    assert stop.status == 200
    rows = (await service.call("GET", "/api/v1/locks", auth=f"Bearer {service.robot}")).json["rows"]  # type: ignore[attr-defined]
    assert {row[1] for row in rows if same(row[3])} == {"user:nil", "user:rob"}


async def test_the_end_of_a_request_and_the_date_of_a_query(service: Driver) -> None:
    kernel = await service.open("rob")
    body = {"role": "PROJECT_EXECUTOR", "scope": "p1", "reason": "for a while", "until": TIMES[0]}
    response = await service.call("POST", "/api/v1/requests", body, auth=kernel.auth)
    assert response.status == 201, response.body
    query = {
        "permission": "manage:users",
        "scope": "system",
        "identity": "user:nil",
        "at": TIMES[0],
        "assignments": [{"role": "AIZEN_ADMIN", "scope": "system", "identity": "user:nil"}],
    }
    response = await post(service, "/access-queries/what-if", query)
    assert response.status == 200, response.body
    assert response.json["data"]["allowed"] is True


@pytest.mark.proves("R27")
@pytest.mark.parametrize("spelling", ["user:NIL", "user:Nil", "user:\uff4e\uff49\uff4c"])
async def test_every_spelling_of_a_name_is_the_same_user(service: Driver, spelling: str) -> None:
    lock = {"target": "identity", "name": spelling, "reason": "away"}
    assert (await post(service, "/locks", lock)).status == 201
    unlock = {"target": "identity", "name": spelling, "reason": "back"}
    assert (await post(service, "/locks/remove", unlock)).status == 202, "a program unlocks after confirmation only"
    assert (await post(service, "/assignments", {"roles": ["PROJECT_CREATOR"], "identity": spelling})).status == 201
    (held,) = await assignments_of(service, "nil")
    assert held["identity"] == "user:nil"
