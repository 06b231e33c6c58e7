"""Release of a deleted user's name over HTTP: what the hub deletes, and when it does not (R31)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aizen_hub.jobs import quota
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth.hub_api import HubApiClient
from tests.service.conftest import OPERATOR, Driver

PATH = "/api/v1/users/rob/release"
DELETE = {"delete_hub_user": True}
DEADLINE = 5.0


@pytest.fixture
def options() -> dict[str, Any]:
    return {"service": {"deadline_seconds": DEADLINE}}


class FakeHub:
    """A hub that records which users it deleted."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.seconds = 0.0

    async def revoke_user(
        self, name: str, secret: str, *, sign_out: int | None = None, delete: bool = False
    ) -> dict[str, int] | None:
        if delete:
            await asyncio.sleep(self.seconds)
            self.deleted.append(name)
        return {"tokens": 0, "servers": 0}


@pytest.fixture
def hub(service: Driver, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    hub = FakeHub()
    monkeypatch.setattr(HubApiClient, "is_configured", True)
    monkeypatch.setattr(service.context.main_hub.api, "revoke_user", hub.revoke_user)
    return hub


async def delete_rob(service: Driver) -> str:
    """Delete `rob`; returns the credential of an administrator."""
    boss = await service.open("boss", None)
    assert (await service.call("DELETE", "/api/v1/users/rob", auth=boss.auth)).status == 200
    return boss.auth


@pytest.mark.proves("R31")
async def test_a_dry_run_deletes_nothing_at_the_hub(service: Driver, hub: FakeHub) -> None:
    auth = await delete_rob(service)
    preview = await service.call("POST", PATH, DELETE, auth=auth, headers={"Prefer": "dry-run"})
    assert preview.status == 200, preview.body
    assert "would do" in preview.json["message"]
    assert hub.deleted == []
    assert (await service.call("POST", PATH, DELETE, auth=auth)).status == 200
    assert hub.deleted == ["rob"]


@pytest.mark.proves("R31")
async def test_the_hub_deletes_nothing_while_something_is_left(service: Driver, hub: FakeHub) -> None:
    with service.context.store.write(OPERATOR) as tx:
        rob = Identity.user("rob")
        quota.start_job(tx, decision_id="d", identity=rob, project="p1", session=None, command="c", key="k")
    auth = await delete_rob(service)
    refused = await service.call("POST", PATH, DELETE, auth=auth)
    assert (refused.status, "still has running jobs" in refused.json["detail"]) == (409, True), refused.body
    assert hub.deleted == []


async def test_the_hub_may_take_longer_than_a_request(service: Driver, hub: FakeHub) -> None:
    auth = await delete_rob(service)
    hub.seconds = DEADLINE + 0.5
    response = await service.call("POST", PATH, DELETE, auth=auth)
    assert response.status == 200, response.body
    assert hub.deleted == ["rob"]
