"""Access requests over HTTP: what cannot be granted is refused at once, and any grant settles a request."""

from __future__ import annotations

import pytest

from tests.service.conftest import Driver


@pytest.mark.parametrize(
    ("user", "role", "scope", "status"),
    [
        ("zoe", "PROJECT_READER", "system", 400),
        ("zoe", "PROJECT_CREATOR", "p1", 400),
        ("rob", "PROJECT_READER", "p1", 409),
        ("zoe", "PROJECT_READER", "no-such-project", 404),
    ],
)
async def test_a_request_that_cannot_be_granted_is_refused(
    service: Driver, user: str, role: str, scope: str, status: int
) -> None:
    session = await service.open(user, "p2" if user == "zoe" else "p1")
    body = {"role": role, "scope": scope, "reason": "please"}
    response = await service.call("POST", "/api/v1/requests", body, auth=session.auth)
    assert response.status == status, response.body
    own = await service.call("GET", "/api/v1/requests?which=mine", auth=session.auth)
    assert own.json["rows"] == []


async def test_a_grant_by_command_settles_the_request(service: Driver) -> None:
    rob, ada = await service.open("rob"), await service.open("ada")
    body = {"role": "PROJECT_EXECUTOR", "scope": "p1", "reason": "please"}
    asked = await service.call("POST", "/api/v1/requests", body, auth=rob.auth)
    assert asked.status == 201, asked.body
    table = (await service.call("GET", "/api/v1/requests?which=all", auth=ada.auth)).json
    (row,) = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert (row["id"], row["asked by"], row["state"]) == (asked.json["data"]["request"], "user:rob", "waiting for you")
    granted = await service.command(ada, "grant role PROJECT_EXECUTOR to rob")
    assert granted.status == 200, granted.body
    for session, state in ((ada, []), (rob, ["confirmed"])):
        rows = (await service.call("GET", "/api/v1/requests?which=all", auth=session.auth)).json["rows"]
        assert [row[table["columns"].index("state")] for row in rows] == state


@pytest.mark.proves("R72")
async def test_a_request_cannot_be_tried_out(service: Driver) -> None:
    rob = await service.open("rob")
    for project in ("p1", "nowhere"):
        body = {"role": "PROJECT_EXECUTOR", "scope": project}
        answer = await service.call("POST", "/api/v1/requests", body, auth=rob.auth, headers={"Prefer": "dry-run"})
        assert (answer.status, answer.json["detail"]) == (400, "an access request cannot be tried out")


async def test_a_short_id_is_enough(service: Driver) -> None:
    rob, ada = await service.open("rob"), await service.open("ada")
    body = {"role": "PROJECT_EXECUTOR", "scope": "p1"}
    request_id = (await service.call("POST", "/api/v1/requests", body, auth=rob.auth)).json["data"]["request"]
    path = f"/api/v1/requests/{request_id[:8]}/deny"
    assert (await service.call("POST", path, {"comment": "no"}, auth=ada.auth)).status == 200
