"""Revocation at a hub that does not answer: late requests end nothing that began after the change."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import select

from aizen_hub.accounts.credentials import passwords
from aizen_hub.accounts.logins import login_report
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.service.background.hub_revocation import RevocationWorker
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.store import tables
from tests.service.conftest import PASSWORD, Driver


class FakeHubApi:
    """A hub that answers or does not; records the requests that it answered."""

    is_configured = True

    def __init__(self) -> None:
        self.answers = True
        self.requests: list[tuple[str, int | None]] = []

    async def revoke_user(self, name: str, secret: str, *, sign_out: int | None = None) -> dict[str, int]:
        if not self.answers:
            raise Unavailable("the hub does not answer")
        self.requests.append((name, sign_out))
        return {"tokens": 0, "servers": 0}


@pytest.fixture
def hub_api() -> FakeHubApi:
    return FakeHubApi()


@pytest.fixture
async def worker(service: Driver, hub_api: FakeHubApi) -> RevocationWorker:
    context = SimpleNamespace(
        hub_api=hub_api, hub_secret="secret", async_store=service.context.async_store, hub_revocations={}
    )
    worker = RevocationWorker(cast(ServiceContext, context))
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
