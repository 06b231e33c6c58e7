"""A stolen credential of a service account can do little, and a lock ends it at once (T-46)."""

from __future__ import annotations

import asyncio

import pytest

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.rbac.identity import Identity
from tests.service.conftest import OPERATOR, Driver

WORKERS, EACH = 6, 10


@pytest.fixture
def thief(service: Driver) -> str:
    """The stolen credential of ``scorer``, a reader of ``p1``, as a header."""
    with service.context.store.write(OPERATOR) as tx:
        accounts.create_service_account(tx, "scorer")
        assignments.unauthorized_write_assignment(
            tx, "PROJECT_READER", "p1", Identity.service_account("scorer"), reason="test"
        )
        credential: str = credentials.issue_credential(tx, "scorer").data["credential"]
    return f"Bearer {credential}"


async def ask(service: Driver, auth: str) -> int:
    body = {"permission": "read:model", "project": "p1"}
    return (await service.call("POST", "/api/v1/decisions", body, auth=auth)).status


@pytest.mark.proves("T-46", "R78")
async def test_requests_after_the_lock_are_denied(service: Driver, thief: str) -> None:
    """Under load: every request that starts after the lock was acknowledged is refused."""
    locked, enough = asyncio.Event(), asyncio.Event()
    before: list[int] = []
    after: list[int] = []

    async def send_requests() -> None:
        count = 0
        while count < EACH:
            is_after = locked.is_set()
            (after if is_after else before).append(await ask(service, thief))
            count += is_after
            if len(before) >= EACH * WORKERS:
                enough.set()

    workers = [asyncio.create_task(send_requests()) for _ in range(WORKERS)]
    await asyncio.wait_for(enough.wait(), 60)
    lock = {"target": "identity", "name": "service-account:scorer", "reason": "its credential was stolen"}
    response = await service.call("POST", "/api/v1/locks", lock, auth=f"Bearer {service.robot}")  # type: ignore[attr-defined]
    assert response.status == 201, response.body
    locked.set()
    await asyncio.wait_for(asyncio.gather(*workers), 60)
    assert before[0] == 200
    assert set(after) <= {401, 403}


@pytest.mark.proves("T-46", "R134")
async def test_it_has_only_the_rights_of_its_role(service: Driver, thief: str) -> None:
    assert await ask(service, thief) == 200
    for method, path, body in (
        ("GET", "/api/v1/audit", None),
        ("POST", "/api/v1/users", {"name": "mallory"}),
        ("POST", "/api/v1/service-accounts/robot/credentials", {}),
        ("POST", "/api/v1/sessions/heartbeat", {"live": []}),
    ):
        assert (await service.call(method, path, body, auth=thief)).status in (401, 403, 404), path


@pytest.mark.proves("T-46", "R134")
async def test_it_expires_and_ends_with_its_account(service: Driver, thief: str) -> None:
    from sqlalchemy import update

    from aizen_hub.store import tables

    assert await ask(service, thief) == 200
    with service.context.store.write(OPERATOR) as tx:
        scorer = tables.service_accounts.select().where(tables.service_accounts.c.name == "scorer")
        account_id = tx.conn.execute(scorer).one().id
        expired = update(tables.credentials).where(tables.credentials.c.service_account_id == account_id)
        tx.conn.execute(expired.values(expires=tx.now))
    assert await ask(service, thief) == 401
    with service.context.store.write(OPERATOR) as tx:
        renewed = f"Bearer {credentials.issue_credential(tx, 'scorer').data['credential']}"
    assert await ask(service, renewed) == 200
    with service.context.store.write(OPERATOR) as tx:
        accounts.delete_service_account(tx, "scorer")
    assert await ask(service, renewed) == 401
