"""Completion names what the requesting user may see, and nothing else."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from sqlalchemy import insert

from aizen_hub.accounts.groups import management
from aizen_hub.store import tables
from tests.service.conftest import OPERATOR, Driver


async def completions(service: Driver, auth: str, **query: object) -> list[str]:
    response = await service.call("GET", f"/api/v1/completions?{urlencode(query)}", auth=auth)
    assert response.status == 200, response.body
    for item in response.json["completions"]:
        assert response.json["start"] <= response.json["end"], item
    return [item["text"] for item in response.json["completions"]]


def add_job(service: Driver, id: str, user: str, project: str, name: str, line: str) -> None:
    with service.context.store.write(OPERATOR) as tx:
        values = {"decision_id": id, "user": user, "project": project, "key": f"training {name}"}
        tx.conn.execute(insert(tables.jobs).values(**values, command=line, started=tx.now))


@pytest.mark.proves("R72")
async def test_people_and_projects_are_those_that_may_be_seen(service: Driver) -> None:
    with service.context.store.write(OPERATOR) as tx:
        management.create_group(tx, "data")
        management.create_group(tx, "domain users")
    boss, ada, rob = await service.open("boss", None), await service.open("ada"), await service.open("rob")
    assert await completions(service, rob.auth, line="set project ") == ["p1"]
    assert await completions(service, boss.auth, line="set project ") == ["p1", "p2"]
    assert await completions(service, rob.auth, line="list roles for ") == ["rob"], "a reader knows no other user"
    assert await completions(service, ada.auth, line="grant role PROJECT_READER to ") == ["ada", "eve", "rob"]
    assert "zoe" in await completions(service, boss.auth, line="grant role PROJECT_CREATOR to z")
    assert await completions(service, boss.auth, line="grant role PROJECT_CREATOR to group:da") == ["group:data"]
    quoted = await completions(service, boss.auth, line="grant role PROJECT_CREATOR to group:do")
    assert quoted == ['"group:domain users"'], "a line with this name in it can be given"
    assert await completions(service, boss.auth, kind="group", prefix="do") == ["domain users"]
    assert await completions(service, boss.auth, line="list roles for group:d") == [], "it is about users only"
    assert await completions(service, ada.auth, line="grant role PROJECT_READER to group:d") == []


async def test_roles_words_and_the_place_of_the_cursor(service: Driver) -> None:
    ada = await service.open("ada")
    roles = await completions(service, ada.auth, line="grant role PROJECT_READER,PROJECT_E")
    assert roles == ["PROJECT_EXECUTOR"]
    response = await service.call(
        "GET", f"/api/v1/completions?{urlencode({'line': 'grant role PROJECT_E to rob', 'cursor': 20})}", auth=ada.auth
    )
    assert (response.json["start"], response.json["end"]) == (11, 20)
    assert [item["kind"] for item in response.json["completions"]] == ["role"]
    assert "training" in await completions(service, ada.auth, line="start tr")
    neither = await service.call("GET", "/api/v1/completions?prefix=a", auth=ada.auth)
    assert neither.status == 400


@pytest.mark.proves("R72")
async def test_names_and_keys_come_from_jobs_that_may_be_seen(service: Driver) -> None:
    add_job(service, "1", "eve", "p1", "churn", "start training churn epochs=5 rate=0.1")
    add_job(service, "2", "rob", "p1", "chart", "start training chart")
    add_job(service, "3", "zoe", "p2", "chess", "start training chess depth=3")
    eve, rob = await service.open("eve"), await service.open("rob")
    assert await completions(service, eve.auth, line="start training ch") == ["chart", "churn"]
    assert await completions(service, eve.auth, line="start training churn ") == ["epochs=", "rate="]
    assert await completions(service, rob.auth, line="start training ch") == ["chart"], "may not start: own ones only"
    assert await completions(service, rob.auth, line="status training ch") == ["chart", "churn"]


async def test_names_of_one_kind_for_the_command_line(service: Driver) -> None:
    robot = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    assert await completions(service, robot, kind="user", prefix="e") == ["eve"]
    assert await completions(service, robot, kind="project", prefix="p") == ["p1", "p2"]
    assert await completions(service, robot, kind="service-account", prefix="ro") == ["robot"]
    response = await service.call("GET", "/api/v1/completions?kind=user&limit=2", auth=robot)
    assert (len(response.json["completions"]), response.json["more"]) == (2, True)
