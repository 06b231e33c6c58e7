"""Revocation at a hub that does not answer: late requests end nothing that began after the change."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from aizen_hub.accounts.credentials import passwords
from aizen_hub.accounts.logins import login_report
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.service.auth.hub_connection import HubConnection
from aizen_hub.service.background.revocation_worker import RevocationWorker
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.service.hub_revocations import HubRevocations
from aizen_hub.store import tables
from tests.service.conftest import PASSWORD, Driver
from tests.service.fake_hub_api import FakeHubApi


@pytest.fixture
def hub_api() -> FakeHubApi:
    return FakeHubApi()


def worker_of(service: Driver, hub: HubConnection) -> RevocationWorker:
    return RevocationWorker(HubRevocations([hub]), hub, service.context.async_store)


@pytest.fixture
async def worker(service: Driver, hub_api: FakeHubApi) -> RevocationWorker:
    worker = worker_of(service, hub_api.connection("main"))
    await worker.poll()
    hub_api.requests.clear()
    return worker


def change(service: Driver, operation: Any) -> Any:
    with service.context.store.write(SERVICE_ACTOR) as tx:
        return operation(tx)


@pytest.mark.proves("R142")
async def test_a_lock_that_was_lifted_before_the_hub_was_reached_is_not_executed(
    service: Driver, worker: RevocationWorker, hub_api: FakeHubApi
) -> None:
    hub_api.answers = False
    change(service, lambda tx: registration.create_user(tx, "olaf", provider="local"))
    for name in ("user:eve", "user:olaf"):
        change(service, partial(locks.lock_target, target=LockTarget.IDENTITY, name=name, reason="test"))
    await worker.poll()
    change(service, lambda tx: locks.unlock_target(tx, LockTarget.IDENTITY, "user:eve", reason="a mistake"))
    hub_api.answers = True
    await worker.poll()
    await worker.poll()
    assert hub_api.requests == [("olaf", None)]


@pytest.mark.proves("R142")
async def test_what_was_read_is_revoked_though_the_next_read_fails(
    service: Driver, worker: RevocationWorker, hub_api: FakeHubApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(service, partial(locks.lock_target, target=LockTarget.IDENTITY, name="user:eve", reason="test"))
    store = service.context.async_store
    read, reads = store.read, list[object]()

    async def fail_second(operation: Any) -> Any:
        reads.append(operation)
        if len(reads) == 2:
            raise Unavailable("the store did not answer in time")
        return await read(operation)

    monkeypatch.setattr(store, "read", fail_second)
    with pytest.raises(Unavailable):
        await worker.poll()
    await worker.poll()
    assert hub_api.requests == [("eve", None)]


@pytest.mark.proves("R142")
async def test_a_sign_out_has_the_revision_that_a_later_login_report_names(
    service: Driver, worker: RevocationWorker, hub_api: FakeHubApi
) -> None:
    change(service, lambda tx: registration.create_user(tx, "nora", provider="local"))
    change(service, lambda tx: passwords.set_password(tx, "nora", PASSWORD))
    hub_api.answers = False
    await worker.poll()
    with service.context.store.read() as tx:
        revision = tx.revision
        subject = tx.conn.execute(select(tables.users.c.subject).where(tables.users.c.name == "nora")).scalar_one()
    change(service, lambda tx: registration.create_user(tx, "olaf", provider="local"))
    report = change(service, lambda tx: login_report.report_login(tx, "local", subject, "nora"))
    assert (report.user, report.sign_out_revision) == ("nora", revision)
    hub_api.answers = True
    await worker.poll()
    assert ("nora", revision) in hub_api.requests
    assert ("nora", None) not in hub_api.requests


@pytest.mark.proves("R146")
async def test_a_hub_that_does_not_answer_holds_up_no_other(service: Driver) -> None:
    main, gpu = FakeHubApi(), FakeHubApi("another")
    workers = {hub.id: worker_of(service, hub) for hub in (main.connection("main"), gpu.connection("gpu"))}
    for worker in workers.values():
        await worker.poll()
    main.requests.clear()
    gpu.requests.clear()
    main.hangs.clear()
    change(service, partial(locks.lock_target, target=LockTarget.IDENTITY, name="user:eve", reason="test"))
    waiting = asyncio.ensure_future(workers["main"].poll())
    await workers["gpu"].poll()
    change(service, partial(locks.lock_target, target=LockTarget.IDENTITY, name="user:rob", reason="test"))
    await workers["gpu"].poll()
    assert gpu.requests == [("eve", None), ("rob", None)]
    assert (main.requests, waiting.done()) == ([], False)
    main.hangs.set()
    await waiting
    await workers["main"].poll()
    assert main.requests == [("eve", None), ("rob", None)]
