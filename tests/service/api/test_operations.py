"""Operations over HTTP: progress, visibility, cancellation, and what others and a restart see of one in the middle."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.accounts.roles import assignments
from aizen_hub.operations.control import OperationControl
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import build_context
from aizen_hub.service.server import Server
from tests.fixtures.databases.sqlite import create_database_file
from tests.fixtures.timing import until
from tests.policy.conftest import assigned, register_users, staged_rows
from tests.service.conftest import INSTANCE, OPERATOR, Driver, populate, settings_for

USERS = [f"u{number}" for number in range(120)]
POLICY = {
    "projects": ["p1"],
    "assignments": [{"role": "PROJECT_READER", "scope": "p1", "identity": f"user:{user}"} for user in USERS],
}


class Gate:
    """Stops every operation after the first batch that it staged, until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def pass_through(self) -> None:
        self.reached.set()
        assert self.opened.wait(60)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate, genuine = Gate(), OperationControl.write

    def write(self: OperationControl, change: Any, **options: Any) -> float:
        seconds = genuine(self, change, **options)
        if getattr(change, "func", None) is not None and change.func.__name__ == "stage_changes":
            gate.pass_through()
        return seconds

    monkeypatch.setattr(OperationControl, "write", write)
    yield gate
    gate.opened.set()


@pytest.fixture
async def crowd(service: Driver) -> Driver:
    """The service with many users more."""
    register_users(service.context.store, USERS)
    return service


async def start(service: Driver, auth: str, **body: Any) -> str:
    response = await service.call("POST", "/api/v1/policy", {"policy": POLICY, **body}, auth=auth)
    assert response.status == 202, response.body
    assert response.headers["Location"] == f"/api/v1/operations/{response.json['id']}"
    identifier: str = response.json["id"]
    return identifier


async def show(service: Driver, operation: str, auth: str) -> Any:
    return await service.call("GET", f"/api/v1/operations/{operation}", auth=auth)


async def test_it_is_followed_to_its_result(crowd: Driver) -> None:
    ada = (await crowd.open("ada")).auth
    operation = await start(crowd, ada)
    stream = await crowd.call("GET", f"/api/v1/operations/{operation}/events", auth=ada)
    *progress, end = stream.lines
    assert {line["event"] for line in progress} <= {"progress"}
    assert (end["event"], end["state"]) == ("end", "succeeded")
    assert end["operation"]["result"]["message"].startswith("120 changes")
    shown = await show(crowd, operation, ada)
    assert shown.json == end["operation"]
    listed = await crowd.call("GET", "/api/v1/operations", auth=ada)
    assert [(entry["id"], entry["result"]) for entry in listed.json["operations"]] == [(operation, None)]


@pytest.mark.proves("R72")
async def test_others_see_nothing_of_it_and_admins_everything(crowd: Driver, gate: Gate) -> None:
    ada, eve, boss = [(await crowd.open(name, project)).auth for name, project in PEOPLE]
    operation = await start(crowd, ada)
    await until(gate.reached.is_set)
    missing = await show(crowd, "0" * 32, eve)
    for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
        answer = await crowd.call(method, f"/api/v1/operations/{operation}{path}", auth=eve)
        assert (answer.status, answer.json["detail"]) == (404, missing.json["detail"])
    assert (await crowd.call("GET", "/api/v1/operations", auth=eve)).json == {"operations": []}
    shown = (await show(crowd, operation, boss)).json
    assert (shown["state"], shown["requested_by"], shown["progress"]["phase"]) == ("running", "user:ada", "staging")
    gate.opened.set()


PEOPLE = (("ada", "p1"), ("eve", "p1"), ("boss", None))


async def test_a_cancellation_in_the_middle_changes_nothing(crowd: Driver, gate: Gate) -> None:
    ada = (await crowd.open("ada")).auth
    before = assigned(crowd.context.store)
    operation = await start(crowd, ada)
    await until(gate.reached.is_set)
    cancelled = await crowd.call("DELETE", f"/api/v1/operations/{operation}", auth=ada)
    assert (cancelled.status, cancelled.json["cancelled_by"]) == (202, "user:ada")
    gate.opened.set()
    ended = await crowd.finished(cancelled, ada)
    assert (ended["state"], ended["problem"]["detail"]) == (
        "cancelled",
        "the operation was cancelled, and nothing was changed",
    )
    assert assigned(crowd.context.store) == before
    assert staged_rows(crowd.context.store) == 0
    again = await crowd.call("DELETE", f"/api/v1/operations/{operation}", auth=ada)
    assert (again.status, again.json["detail"]) == (409, "the operation has already ended: cancelled")


async def test_others_decide_and_change_while_it_is_staged(crowd: Driver, gate: Gate) -> None:
    ada, rob = await crowd.open("ada"), await crowd.open("rob")
    operation = await start(crowd, ada.auth)
    await until(gate.reached.is_set)
    decided = await crowd.call("POST", "/api/v1/decisions", {"permission": "read:training"}, auth=rob.auth)
    assert decided.json["decision"]["allowed"]
    body = {"roles": ["PROJECT_EXECUTOR"], "scope": "p1", "identity": "user:rob", "reason": "now"}
    assert (await crowd.call("POST", "/api/v1/assignments", body, auth=ada.auth)).status == 201
    gate.opened.set()
    ended = await crowd.finished(await show(crowd, operation, ada.auth), ada.auth)
    assert ended["state"] == "succeeded"
    assert ("PROJECT_EXECUTOR", "p1", "user:rob") in assigned(crowd.context.store)


@pytest.mark.proves("R48")
async def test_who_is_locked_meanwhile_changes_nothing(crowd: Driver, gate: Gate) -> None:
    ada = (await crowd.open("ada")).auth
    operation = await start(crowd, ada)
    await until(gate.reached.is_set)
    robot = f"Bearer {crowd.robot}"  # type: ignore[attr-defined]
    with crowd.context.store.write(OPERATOR) as tx:  # the last admin of a project cannot be locked
        assignments.unauthorized_write_assignment(tx, "PROJECT_ADMIN", "p1", Identity.user("eve"))
    before = assigned(crowd.context.store)
    lock = {"target": "identity", "name": "user:ada", "reason": "test"}
    assert (await crowd.call("POST", "/api/v1/locks", lock, auth=robot)).status in (200, 201)
    assert (await show(crowd, operation, ada)).status in (401, 403)
    gate.opened.set()
    ended = await crowd.finished(await show(crowd, operation, robot), robot)
    assert ended["state"] == "failed"
    assert assigned(crowd.context.store) == before


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Driver]:
    context = build_context(settings_for(folder), instance=INSTANCE, environ={})
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


async def test_a_restart_in_the_middle_changes_nothing(gate: Gate, tmp_path: Path) -> None:
    create_database_file(tmp_path / "data")
    async with running(tmp_path) as first:
        populate(first.context)
        register_users(first.context.store, USERS)
        before = assigned(first.context.store)
        operation = await start(first, (await first.open("ada")).auth)
        await until(gate.reached.is_set)
        first.context.operations.stop()
        gate.opened.set()
    async with running(tmp_path) as second:
        ada = (await second.open("ada")).auth
        ended = await second.finished(await show(second, operation, ada), ada)
        assert ended["state"] == "interrupted"
        assert ended["problem"]["remedy"] == "start the operation again"
        assert assigned(second.context.store) == before
        assert staged_rows(second.context.store) == 0


async def test_too_many_of_one_user_are_refused(crowd: Driver, gate: Gate) -> None:
    ada = (await crowd.open("ada")).auth
    operations = [await start(crowd, ada) for _ in range(4)]
    refused = await crowd.call("POST", "/api/v1/policy", {"policy": POLICY}, auth=ada)
    assert (refused.status, refused.json["remedy"]) == (429, "wait for one of them, or cancel it")
    gate.opened.set()
    for operation in operations:
        assert (await crowd.finished(await show(crowd, operation, ada), ada))["state"] == "succeeded"
