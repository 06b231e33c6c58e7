"""One server that does not stop holds up nobody else's end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.hub import HubHandle, running_hub
from tests.hub.roads import api_token, runs, wait_for, with_token

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
c.JupyterHub.cleanup_servers = False  # at the end of the test nobody waits for it
"""


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import projects
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    projects.create(tx, "churn", owner=Identity.user("maker"))
    for name in PEOPLE:
        assignments.grant(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(name), reason="test")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    accounts = {"boss": "AIZEN_ADMIN", "maker": "PROJECT_CREATOR", **dict.fromkeys(PEOPLE, "")}
    folder = tmp_path_factory.mktemp("hub")
    with running_hub(folder, config=STUBBORN, accounts=accounts, seed=seed, tiny=PEOPLE) as running:
        yield running


@pytest.mark.proves("R78", "T-08")
def test_the_others_are_stopped_and_heartbeats_go_on(hub: HubHandle) -> None:
    for name in PEOPLE:
        hub.spawn(hub.login(name), "churn")
    boss = api_token(hub.login("boss"))

    def lock(*undo: str) -> None:
        body = {"target": "project", "name": "churn", **({} if undo else {"reason": "test"})}
        answer = with_token(hub, boss, "POST", "/".join(["/services/aizen/api/v1/locks", *undo]), body)
        assert answer.status in (200, 201), answer.text

    lock()
    wait_for(lambda: not runs(hub, "cyd"), 30)
    wait_for(lambda: "`bea` could not be stopped" in hub.log, 10)
    assert "server `` of `ann`: its session was ended" in hub.log
    # And again, while the one still does not stop.
    lock("remove")
    hub.spawn(hub.login("cyd"), "churn")
    lock()
    wait_for(lambda: not runs(hub, "cyd"), 30)
