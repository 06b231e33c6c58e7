"""Policies and dry runs over HTTP."""

from __future__ import annotations

from typing import Any

from tests.service.conftest import Driver, Response

DRY = {"Prefer": "dry-run"}


async def send(service: Driver, method: str, path: str, body: Any = None, **headers: str) -> Response:
    session = await service.open("ada")
    return await service.call(method, f"/api/v1/{path}", body, auth=session.auth, headers=headers)


async def test_a_dry_run_shows_who_gains_and_changes_nothing_but_the_audit(service: Driver) -> None:
    body = {"roles": ["PROJECT_EXECUTOR"], "scope": "p1", "identity": "user:rob", "reason": ""}
    session = await service.open("ada")
    before = service.revision()
    answer = await service.call("POST", "/api/v1/assignments", body, auth=session.auth, headers=DRY)
    assert answer.status == 200, answer.body
    assert answer.headers["Preference-Applied"] == "dry-run"
    ((identity, scope, gains, losses),) = answer.json["rows"]
    assert (identity, scope, losses) == ("user:rob", "p1", [])
    assert "execute:training" in gains
    assert service.revision() == before
    rob = await service.open("rob")
    assert (await service.command(rob, "start training churn")).status == 403


async def test_a_dry_run_meets_the_refusals_of_the_real_one(service: Driver) -> None:
    body = {"roles": ["PROJECT_CREATOR"], "scope": None, "identity": "user:rob", "reason": ""}
    real = await send(service, "POST", "assignments", body)
    tried = await send(service, "POST", "assignments", body, **DRY)
    assert tried.status == real.status == 403
    assert tried.json["type"] == real.json["type"]


async def test_a_policy_travels_as_json_and_names_its_faults(service: Driver) -> None:
    policy = {
        "projects": ["p1"],
        "assignments": [
            {"role": "PROJECT_ADMIN", "scope": "p1", "identity": "user:ada"},
            {"role": "PROJECT_READER", "scope": "p1", "identity": "user:nil"},
        ],
    }
    plan = await send(service, "POST", "policy", {"policy": policy}, **DRY)
    assert plan.status == 200, plan.body
    assert {row[0] for row in plan.json["rows"]} == {"user:eve", "user:rob", "user:nil"}
    assert (await send(service, "POST", "policy", {"policy": policy})).status == 200
    bad = await send(service, "POST", "policy", {"policy": {**policy, "asignments": []}})
    assert bad.status == 400
    assert "asignments" in str(bad.json["errors"])
    assert (await send(service, "GET", "policy")).status == 403, "the whole state is for those who may read it"
    boss = await service.open("boss", None)
    whole = await service.call("GET", "/api/v1/policy", auth=boss.auth)
    assert {"p1", "p2"} == set(whole.json["data"]["policy"]["projects"])
