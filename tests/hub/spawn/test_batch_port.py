"""Servers of a batch system, which report their port long after the session was opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.hub.credentials import create_hub_token, is_allowed_now, project_of_session, request_with_token

pytestmark = pytest.mark.slow

LATE = Path(__file__).parents[2] / "fixtures" / "fake_batch_server.py"

# As batchspawner 1.3.0: a spawner that waits for the port, and an endpoint that sets any attribute.
SPAWNER = f"""
import asyncio, json, subprocess, sys
from jupyterhub.apihandlers import APIHandler, default_handlers
from jupyterhub.spawner import SimpleLocalProcessSpawner

class Late(SimpleLocalProcessSpawner):
    async def start(self):
        self.port = 0
        self.proc = subprocess.Popen([sys.executable, {str(LATE)!r}], env=self.get_env(), start_new_session=True)
        self.pid = self.proc.pid
        while self.port == 0:
            await asyncio.sleep(0.05)
        return "127.0.0.1", self.port

class SetsWhatItIsSent(APIHandler):
    def check_xsrf_cookie(self):
        pass
    def post(self):
        for spawner in self.current_user.spawners.values():
            for key, value in self.get_json_body().items():
                setattr(spawner, key, value)
        self.set_status(201)
        self.finish("{{}}")

default_handlers.append((r"/api/batchspawner", SetsWhatItIsSent))
c.JupyterHub.spawner_class = Late
"""


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("maker"))
    assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("erin"), reason="test")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    with running_hub(
        tmp_path_factory.mktemp("batch"), accounts={"erin": "", "maker": "PROJECT_CREATOR"}, seed=seed, config=SPAWNER
    ) as running:
        yield running


@pytest.mark.proves("T-03", "R34")
def test_a_server_reports_its_port_and_can_set_no_other_attribute(hub: HubHandle) -> None:
    erin = hub.login("erin")
    environ = environment_of(erin, erin.spawn("churn"))
    answers = json.loads(environ["LATE_ANSWERS"])
    assert answers == [400] * 10 + [403, 403, 201, 403]
    assert environ["AIZEN_PROJECT"] == "churn"
    assert project_of_session(hub, "erin") == "churn"
    assert is_allowed_now(environ)
    # The user's own token is not the server's, and the server's is rejected here once it runs.
    for token in (create_hub_token(erin), environ["JUPYTERHUB_API_TOKEN"]):
        assert request_with_token(hub, token, "POST", "/hub/api/batchspawner", {"port": 4242}).status == 403
    erin.stop()
    assert project_of_session(hub, "erin") is None
