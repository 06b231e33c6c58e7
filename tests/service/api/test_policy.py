"""A policy that is sent opens no file, builds no catalog and holds nobody up (R111, R125, T-28)."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.audit.search import AuditFilter, newest
from aizen_hub.policy.export import export as export_policy
from aizen_hub.policy.policy import MAX_MEMBERS, read_policy
from aizen_hub.problems import Conflict, TooLarge
from aizen_hub.service.api import policy as road
from tests.service.conftest import Driver

ADDRESS = "/api/v1/policy"


async def send(service: Driver, policy: dict[str, Any], auth: str, **headers: str) -> Any:
    return await service.call("POST", ADDRESS, {"policy": policy}, auth=auth, headers=headers)


@pytest.mark.proves("R111", "T-28")
async def test_a_path_in_the_place_of_the_catalog_says_nothing_about_this_machine(
    service: Driver, tmp_path: Path
) -> None:
    rob = await service.open("rob")
    secret = tmp_path / "secret.yaml"
    secret.write_text("db_password: hunter2\n")
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    answers = []
    for path in (secret, pipe, tmp_path, tmp_path / "missing.yaml", "/etc/passwd", "xat"):
        for headers in ({}, {"Prefer": "dry-run"}):
            # A pipe that somebody opened would keep this answer, and with it the only writer, waiting for ever.
            answers.append(await asyncio.wait_for(send(service, {"catalog": str(path)}, rob.auth, **headers), 10))
    assert {answer.status for answer in answers} == {Conflict.status}
    assert len({answer.json["detail"] for answer in answers}) == 1, "an answer that differs tells what is there"
    assert all(str(tmp_path) not in answer.body.decode() for answer in answers)


@pytest.mark.proves("R125")
async def test_a_catalog_that_is_sent_is_refused_unread(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a catalog was built from what somebody sent")

    for name in ("inline_catalog", "load_catalog"):
        monkeypatch.setattr(f"aizen_hub.policy.policy.{name}", never)
    rob = await service.open("rob")
    answer = await send(service, {"catalog": {"roles": {"r": {"permissions": ["read"]}}, "commands": []}}, rob.auth)
    assert answer.status == Conflict.status
    assert (await send(service, {"catalog": "aizen"}, rob.auth)).json["message"] == "nothing to change"
    assert (await send(service, {}, rob.auth)).json["message"] == "nothing to change"


@pytest.mark.proves("R125")
async def test_a_policy_is_read_after_the_right_and_outside_the_turn_to_write(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def looked(data: dict[str, Any], catalog: Any) -> Any:
        with service.house.store.one_writer():  # nobody gets the turn twice: inside a change this would fail
            read.append("free")
        return read_policy(data, catalog)

    monkeypatch.setattr(road, "read_policy", looked)
    rob = await service.open("rob")
    bot = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    for headers in ({}, {"Prefer": "dry-run"}):
        assert (await send(service, {}, rob.auth, **headers)).status == 200
    assert read == ["free", "free"]
    locked = {"target": "identity", "name": "user:rob", "reason": "test"}
    assert (await service.call("POST", "/api/v1/locks", locked, auth=bot)).status in (200, 201)
    assert (await send(service, {}, rob.auth)).status in (401, 403)
    assert read == ["free", "free"], "what somebody locked sends is not even read"


@pytest.mark.proves("R125", "R126")
async def test_what_a_policy_lists_and_what_its_faults_say_is_bounded(service: Driver) -> None:
    rob = await service.open("rob")
    answer = await send(service, {"groups": {"g": ["x" * 2000] * 200}}, rob.auth)
    assert (answer.status, answer.json["faults"], len(answer.json["errors"])) == (400, 200, 50)
    assert len(answer.body) < 50_000
    assert (await send(service, {"groups": {"g": ["x"] * 20_001}}, rob.auth)).status == TooLarge.status


@pytest.mark.proves("R100")
async def test_an_export_holds_up_nobody_who_writes_and_is_recorded(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def looked(tx: Any, actor: Any) -> Any:
        with service.house.store.one_writer():  # nobody gets the turn twice: inside a change this would fail
            threads.append(threading.current_thread().name)
        return export_policy(tx, actor)

    monkeypatch.setattr(road, "export_policy", looked)
    boss, rob = await service.open("boss", None), await service.open("rob")
    answer = await service.call("GET", ADDRESS, auth=boss.auth)
    assert (answer.status, answer.json["data"]["policy"]["catalog"]) == (200, "aizen")
    assert [name.partition("_")[0] for name in threads] == ["aizen-question"]
    assert (await service.call("GET", ADDRESS, auth=rob.auth)).status == 403
    with service.house.store.read() as tx:
        read = newest(tx.conn, AuditFilter(event="access.read"), 10)
    assert [(row["identity"], row["details"]) for row in read] == [("user:boss", {"question": "policy"})]


async def test_what_is_exported_may_have_as_many_members_as_it_may_have_things(service: Driver) -> None:
    rob = await service.open("rob")
    answer = await send(service, {"groups": {f"g{one}": ["x"] for one in range(MAX_MEMBERS - 4)}}, rob.auth)
    assert (answer.status, answer.json["faults"]) == (400, MAX_MEMBERS - 4), "read whole, and found wrong"
