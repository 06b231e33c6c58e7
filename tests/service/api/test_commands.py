"""An end in a command is that of the caller's zone, and the answer, the record and the assignment agree."""

from __future__ import annotations

from tests.service.conftest import Driver


async def test_a_day_ends_in_the_zone_of_the_caller(service: Driver) -> None:
    ada = await service.open("ada")
    line, ends = "grant role PROJECT_READER to eve until 2098-12-31", "2099-01-01T00:00:00+01:00"
    response = await service.command(ada, line, day_ends={"2098-12-31": ends})
    assert response.status == 200, response.body
    assert "until 2099-01-01 00:00 UTC+01:00" in response.json["result"]["message"]
    assert response.json["canonical"] == "grant role PROJECT_READER to eve until 2099-01-01T00:00+01:00"
    assignments = await service.call("GET", "/api/v1/assignments?identity=user:eve&scope=p1", auth=ada.auth)
    assert "2098-12-31T23:00:00Z" in assignments.body.decode()


async def test_without_it_a_day_is_that_of_utc(service: Driver) -> None:
    ada = await service.open("ada")
    response = await service.command(ada, "grant role PROJECT_READER to eve until 2098-12-31")
    assert "until 2099-01-01 00:00 UTC" in response.json["result"]["message"]


async def test_a_time_that_does_not_fit_the_day_is_refused(service: Driver) -> None:
    ada = await service.open("ada")
    line, ends = "grant role PROJECT_READER to eve until 2098-12-31", "2199-01-01T00:00:00+01:00"
    response = await service.command(ada, line, day_ends={"2098-12-31": ends})
    assert response.status == 400, response.body
    assert response.json["errors"][0]["pointer"] == "/day_ends/2098-12-31"
