"""The routes of the hub's spawn page: limits with their use, and a request for access."""

from __future__ import annotations

from aizen_hub.accounts.roles import limits
from aizen_hub.jobs import quota
from aizen_hub.rbac.identity import Identity
from tests.service.conftest import OPERATOR, Driver


async def test_each_project_has_its_roles_and_limits_with_their_use(service: Driver) -> None:
    eve = Identity.user("eve")
    with service.context.store.write(OPERATOR) as tx:
        limits.set_limit(tx, eve, "p1", "jobs", 5)
        limits.set_limit(tx, eve, "p1", "memory", 2**31)
        start = {"identity": eve, "project": "p1", "session": None, "command": "start training a", "key": "training a"}
        quota.start_job(tx, decision_id="a", **start)
    await service.open("eve")
    (project,) = (await service.hub("GET", "/sessions/choices?user=eve")).json["projects"]
    assert [(role["name"], role["ends"]) for role in project["roles"]] == [("PROJECT_EXECUTOR", None)]
    assert project["roles"][0]["text"]
    assert project["limits"] == [
        {"kind": "jobs", "label": "Jobs at once", "value": 5, "used": 1},
        {"kind": "memory", "label": "Memory of each server", "value": 2**31, "used": None},
    ]
    assert project["running_servers"] == 1


async def test_who_has_nothing_to_start_asks(service: Driver) -> None:
    before = (await service.hub("GET", "/sessions/choices?user=nil")).json
    assert "PROJECT_READER" in [role["name"] for role in before["askable_roles"]]
    assert before["pending_requests"] == []
    body = {"user": "nil", "project": "p1", "role": "PROJECT_READER", "duration": "8h", "because": "to read"}
    assert (await service.hub("POST", "/sessions/choices/requests", body)).status == 201
    after = (await service.hub("GET", "/sessions/choices?user=nil")).json
    assert [(row["role"], row["project"]) for row in after["pending_requests"]] == [("PROJECT_READER", "p1")]
    eve = (await service.hub("GET", "/sessions/choices?user=eve")).json
    assert (eve["askable_roles"], eve["pending_requests"]) == ([], []), "who can start a server asks in the panel"
    session = await service.open("eve")
    refused = await service.call("POST", "/api/v1/sessions/choices/requests", body, auth=session.auth)
    assert refused.status == 401, "the hub alone speaks for a user here"
