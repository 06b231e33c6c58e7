"""Policies and dry runs over HTTP."""

from __future__ import annotations

from typing import Any

from tests.service.conftest import Driver, Response

DRY = {"Prefer": "dry-run"}


async def send(service: Driver, method: str, path: str, body: Any = None, **headers: str) -> Response:
    session = await service.open("ada")
    return await service.call(method, f"/api/v1/{path}", body, auth=session.auth, headers=headers)


async def test_a_dry_run_shows_the_changes_and_writes_only_the_audit(service: Driver) -> None:
    body = {"roles": ["PROJECT_EXECUTOR"], "scope": "p1", "identity": "user:rob", "reason": ""}
    session = await service.open("ada")
    before = service.revision()
    answer = await service.call("POST", "/api/v1/assignments", body, auth=session.auth, headers=DRY)
    assert answer.status == 200, answer.body
    assert answer.headers["Preference-Applied"] == "dry-run"
    ((identity, scope, gains, losses),) = answer.json["rows"]
    assert (identity, scope, losses) == ("user:rob", "p1", [])
    assert gains == ["PROJECT_EXECUTOR"]
    assert "execute:training" in answer.json["data"]["permissions"][0]["gains"]
    assert service.revision() == before
    rob = await service.open("rob")
    assert (await service.command(rob, "start training churn")).status == 403


async def test_a_dry_run_is_refused_as_the_real_change(service: Driver) -> None:
    body = {"roles": ["PROJECT_CREATOR"], "scope": None, "identity": "user:rob", "reason": ""}
    real = await send(service, "POST", "assignments", body)
    dry_run = await send(service, "POST", "assignments", body, **DRY)
    assert dry_run.status == real.status == 403
    assert dry_run.json["type"] == real.json["type"]


async def test_a_policy_is_sent_as_json_and_its_faults_are_named(service: Driver) -> None:
    policy = {
        "projects": ["p1"],
        "assignments": [
            {"role": "PROJECT_ADMIN", "scope": "p1", "identity": "user:ada"},
            {"role": "PROJECT_READER", "scope": "p1", "identity": "user:nil"},
        ],
    }
    ada = (await service.open("ada")).auth

    async def run(policy: dict[str, Any], **headers: str) -> dict[str, Any]:
        body = {"policy": policy, "prune": True}
        started = await service.call("POST", "/api/v1/policy", body, auth=ada, headers=headers)
        assert started.headers.get("Preference-Applied") == headers.get("Prefer")
        return await service.finished(started, ada)

    plan = await run(policy, **DRY)
    assert {row[0] for row in plan["result"]["rows"]} == {"user:eve", "user:rob", "user:nil"}
    applied = await run(policy)
    assert (applied["state"], applied["kind"]) == ("succeeded", "policy-apply")
    bad = await run({**policy, "asignments": []})
    assert (bad["state"], bad["problem"]["status"]) == ("failed", 400)
    assert "asignments" in str(bad["problem"]["errors"])
    assert (await send(service, "GET", "policy")).status == 403, "exporting it requires a permission"
    boss = await service.open("boss", None)
    exported = await service.call("GET", "/api/v1/policy", auth=boss.auth)
    assert {"p1", "p2"} == set(exported.json["data"]["policy"]["projects"])
