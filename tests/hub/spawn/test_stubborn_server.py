"""A server that does not stop must not delay the end of others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fixtures.hub import HubHandle, running_hub
from tests.hub.credentials import create_hub_token, has_running_server, request_with_token, wait_until

pytestmark = pytest.mark.slow

PEOPLE = ("ann", "bea", "cyd")
STUBBORN = """
import asyncio
from jupyterhub.spawner import SimpleLocalProcessSpawner
class Stubborn(SimpleLocalProcessSpawner):
    async def stop(self, now=False):
        if self.user.name == 'ann' and not now:
            await asyncio.sleep(3600)
        if self.user.name == 'bea' and not now:
            raise RuntimeError('it does not stop')
        await super().stop(now)
c.JupyterHub.spawner_class = Stubborn
c.JupyterHub.cleanup_servers = False  # the end of the test does not wait for it
"""


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("maker"))
    for name in PEOPLE:
        assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(name), reason="test")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    accounts = {"boss": "AIZEN_ADMIN", "maker": "PROJECT_CREATOR", **dict.fromkeys(PEOPLE, "")}
    folder = tmp_path_factory.mktemp("hub")
    settings = {"session": {"heartbeat_seconds": 1, "project_end_grace_seconds": 0}}
    with running_hub(folder, settings, config=STUBBORN, accounts=accounts, seed=seed, fake_servers=PEOPLE) as running:
        yield running


@pytest.mark.proves("R78", "T-08")
def test_other_servers_are_stopped_and_heartbeats_continue(hub: HubHandle) -> None:
    for name in PEOPLE:
        hub.spawn(hub.login(name), "churn")
    boss = create_hub_token(hub.login("boss"))

    def lock(**more: str) -> None:
        body = {"target": "project", "name": "churn", "reason": "test", **more}
        answer = request_with_token(hub, boss, "POST", "/services/aizen/api/v1/locks", body)
        assert answer.status in (200, 201), answer.text

    ends = datetime.now(UTC) + timedelta(seconds=20)
    lock(ends=ends.isoformat())
    wait_until(lambda: not has_running_server(hub, "cyd"), 30)
    wait_until(lambda: "`bea` could not be stopped" in hub.log, 30)
    assert "server `` of `ann`: its session was ended" in hub.log
    # Again, after that lock has ended, while that server still does not stop.
    wait_until(lambda: datetime.now(UTC) > ends, 30)
    hub.spawn(hub.login("cyd"), "churn")
    lock()
    wait_until(lambda: not has_running_server(hub, "cyd"), 30)
