"""One request registers the people of a table, as an operation; a dry run says what would become of each."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.service.conftest import Driver

PATH = "/api/v1/user-imports"
TABLE = "login,name,email\nrob,Rob,\nnora,Nora,nora@example.org\nolga,Olga,\n"
DRY_RUN = {"Prefer": "dry-run"}


async def users(service: Driver, auth: str) -> set[str]:
    return {row[0] for row in (await service.call("GET", "/api/v1/users", auth=auth)).json["rows"]}


async def follow(service: Driver, auth: str, operation: dict[str, Any]) -> dict[str, Any]:
    """Return the operation once it has ended."""
    for _ in range(600):
        response = await service.call("GET", f"/api/v1/operations/{operation['id']}", auth=auth)
        if response.json["ended"] is not None:
            return dict(response.json)
        await asyncio.sleep(0.1)
    raise AssertionError("the operation has not ended")


async def test_a_dry_run_says_what_becomes_of_each_and_changes_nothing(service: Driver) -> None:
    boss = await service.open("boss", None)
    before = await users(service, boss.auth)
    table = f"{TABLE}nora,Again,\n"
    response = await service.call("POST", PATH, {"table": table}, auth=boss.auth, headers=DRY_RUN)
    assert (response.status, response.headers["Preference-Applied"]) == (200, "dry-run")
    assert [row[:2] for row in response.json["rows"]] == [
        ["rob", "registered"], ["nora", "new"], ["olga", "new"], ["nora", "faulty"],
    ]  # fmt: skip
    assert response.json["rows"][3][2] == "line 5: this login is in line 3 already"
    data = response.json["data"]
    assert (data["new"], data["registered"], data["faulty"]) == (2, 1, 1)
    assert await users(service, boss.auth) == before


async def test_an_operation_registers_the_new_people(service: Driver) -> None:
    boss = await service.open("boss", None)
    response = await service.call("POST", PATH, {"table": TABLE}, auth=boss.auth)
    assert response.status == 202, response.body
    ended = await follow(service, boss.auth, response.json)
    assert (ended["state"], ended["progress"]["total"]) == ("succeeded", 2)
    assert ended["result"] == {"registered": 2, "left_out": 0, "unsent": [], "unsent_count": 0}
    assert {"nora", "olga"} <= await users(service, boss.auth)
    again = await service.call("POST", PATH, {"table": TABLE}, auth=boss.auth)
    assert again.status == 400
    assert "no new person" in again.json["detail"]


async def test_a_repeated_request_is_answered_as_the_first_one(service: Driver) -> None:
    """By then no person of the table is new."""
    boss = await service.open("boss", None)
    key = {"Idempotency-Key": '"import-1"'}
    first = await service.call("POST", PATH, {"table": TABLE}, auth=boss.auth, headers=key)
    assert first.status == 202, first.body
    await follow(service, boss.auth, first.json)
    again = await service.call("POST", PATH, {"table": TABLE}, auth=boss.auth, headers=key)
    assert (again.status, again.headers.get("Idempotency-Replayed")) == (202, "true"), again.body
    assert again.json["id"] == first.json["id"]
    other = await service.call("POST", PATH, {"table": TABLE + "rob,Rob,\n"}, auth=boss.auth, headers=key)
    assert other.status == 409, other.body


async def test_links_are_not_promised_without_a_mail_server(service: Driver) -> None:
    boss = await service.open("boss", None)
    response = await service.call("POST", PATH, {"table": TABLE, "mail_links": True}, auth=boss.auth)
    assert response.status == 400
    assert "no mail server" in response.json["detail"]


async def test_others_import_no_person(service: Driver) -> None:
    ada = await service.open("ada")
    for headers in (DRY_RUN, {}):
        response = await service.call("POST", PATH, {"table": TABLE}, auth=ada.auth, headers=headers)
        assert response.status == 403, response.body
