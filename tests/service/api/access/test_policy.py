"""A policy sent to the service opens no file, builds no catalog and blocks no other request (R111, R125, T-28)."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.policy.export import export_policy
from aizen_hub.policy.loader import MAX_ENTRIES, MAX_MEMBERS, read_policy
from aizen_hub.problems import Conflict, TooLarge
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.api.access import policy as policy_api
from aizen_hub.service.factory import SERVICE_ACTOR
from tests.service.conftest import Driver

ADDRESS = "/api/v1/policy"


async def send(service: Driver, policy: dict[str, Any], auth: str, **headers: str) -> Any:
    return await service.call("POST", ADDRESS, {"policy": policy}, auth=auth, headers=headers)


async def apply(service: Driver, policy: dict[str, Any], auth: str, **headers: str) -> dict[str, Any]:
    """Return the operation of a policy, as it ended."""
    return await service.finished(await send(service, policy, auth, **headers), auth)


@pytest.mark.proves("R111", "T-28")
async def test_a_path_as_the_catalog_reveals_nothing_about_the_files(service: Driver, tmp_path: Path) -> None:
    rob = await service.open("rob")
    secret = tmp_path / "secret.yaml"
    secret.write_text("db_password: hunter2\n")
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    responses = []
    for path in (secret, pipe, tmp_path, tmp_path / "missing.yaml", "/etc/passwd", "xat"):
        for headers in ({}, {"Prefer": "dry-run"}):
            # Opening the pipe would block this response, and with it the only writer, for ever.
            responses.append(await asyncio.wait_for(apply(service, {"catalog": str(path)}, rob.auth, **headers), 30))
    assert {response["problem"]["status"] for response in responses} == {Conflict.status}
    assert len({response["problem"]["detail"] for response in responses}) == 1, (
        "a different response would reveal which file exists"
    )
    assert all(str(tmp_path) not in str(response) for response in responses)


@pytest.mark.proves("R125")
async def test_a_catalog_in_the_request_is_refused_unread(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a catalog was built from the request")

    for name in ("inline_catalog", "load_catalog"):
        monkeypatch.setattr(f"aizen_hub.policy.loader.{name}", never)
    rob = await service.open("rob")
    refused = await apply(service, {"catalog": {"roles": {"r": {"permissions": ["read"]}}, "commands": []}}, rob.auth)
    assert refused["problem"]["status"] == Conflict.status
    for policy in ({"catalog": "aizen"}, {}):
        assert (await apply(service, policy, rob.auth))["result"]["message"] == "nothing to change"


@pytest.mark.proves("R125")
async def test_a_policy_is_parsed_after_authorization_and_outside_the_write_lock(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def observed(data: dict[str, Any], catalog: Any) -> Any:
        with service.context.store.write_lock():  # fails inside a write transaction, which holds the lock
            read.append("free")
        return read_policy(data, catalog)

    monkeypatch.setattr(policy_api, "read_policy", observed)
    rob = await service.open("rob")
    bot = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    for headers in ({}, {"Prefer": "dry-run"}):
        assert (await apply(service, {}, rob.auth, **headers))["state"] == "succeeded"
    assert read == ["free", "free"]
    locked = {"target": "identity", "name": "user:rob", "reason": "test"}
    assert (await service.call("POST", "/api/v1/locks", locked, auth=bot)).status in (200, 201)
    assert (await send(service, {}, rob.auth)).status in (401, 403)
    assert read == ["free", "free"], "a request of a locked user is not parsed"


@pytest.mark.proves("R125", "R126")
async def test_the_size_of_a_policy_and_of_its_faults_is_bounded(service: Driver) -> None:
    rob = await service.open("rob")
    problem = (await apply(service, {"groups": {"g": ["x" * 2000] * 200}}, rob.auth))["problem"]
    assert (problem["status"], problem["faults"], len(problem["errors"])) == (400, 200, 50)
    assert len(json.dumps(problem)) < 50_000
    problem = (await apply(service, {"groups": {"g": ["x"] * (MAX_ENTRIES + 1)}}, rob.auth))["problem"]
    assert problem["status"] == TooLarge.status


@pytest.mark.proves("R100")
async def test_an_export_does_not_block_writes_and_is_recorded(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def observed(tx: Any, actor: Any) -> Any:
        with service.context.store.write_lock():  # fails inside a write transaction, which holds the lock
            threads.append(threading.current_thread().name)
        return export_policy(tx, actor)

    monkeypatch.setattr(policy_api, "export_policy", observed)
    boss, rob = await service.open("boss", None), await service.open("rob")
    response = await service.call("GET", ADDRESS, auth=boss.auth)
    assert (response.status, response.json["data"]["policy"]["catalog"]) == (200, "aizen")
    assert [name.partition("_")[0] for name in threads] == ["aizen-query"]
    assert (await service.call("GET", ADDRESS, auth=rob.auth)).status == 403
    with service.context.store.read() as tx:
        read = search_newest(tx.conn, AuditFilter(event="access.read"), 10)
    assert [(row["identity"], row["details"]) for row in read] == [("user:boss", {"query": "policy"})]


async def test_a_policy_can_have_as_many_members_as_its_limit(service: Driver) -> None:
    rob = await service.open("rob")
    for more, status in ((0, 202), (1, TooLarge.status)):
        # The body has two members more, `policy` and `groups`.
        groups = {f"g{number}": [] for number in range(MAX_MEMBERS - 2 + more)}
        started = await send(service, {"groups": groups}, rob.auth)
        assert started.status == status, started.body[:500]
        if status == 202:
            await service.call("DELETE", f"/api/v1/operations/{started.json['id']}", auth=rob.auth)


@pytest.mark.proves("R72")
async def test_a_plan_does_not_tell_who_is_in_a_group(service: Driver) -> None:
    with service.context.store.write(SERVICE_ACTOR) as tx:
        management.create_group(tx, "crew")
        membership.add_member(tx, "crew", Identity.user("zoe"))
    rob = await service.open("rob")
    problems = []
    for groups in ({"crew": ["user:zoe"]}, {"crew": ["user:eve"]}, {"crew": []}, {"ghost": ["user:zoe"]}):
        for prune in (False, True):
            body = {"policy": {"groups": groups}, "prune": prune}
            sent = await service.call("POST", ADDRESS, body, auth=rob.auth, headers={"Prefer": "dry-run"})
            problems.append((await service.finished(sent, rob.auth))["problem"])
    assert {problem["status"] for problem in problems} == {403}
    assert len({json.dumps(problem, sort_keys=True) for problem in problems}) == 1
