"""An existing hub with users and running servers starts to use aizen-hub, and loses none of them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from aizen_hub.demo.browser import Browser
from tests.fixtures.hub import BIN, HubHandle, environment_of, running_hub
from tests.hub.credentials import create_hub_token, request_with_token, wait_until

pytestmark = pytest.mark.slow

PLAIN = """
import os
if os.path.exists('plain'):
    def configure(c, path):
        c.JupyterHub.authenticator_class = 'dummy'
        c.DummyAuthenticator.allow_all = True
        c.JupyterHub.cleanup_servers = False
"""


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("maker"))
    assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("erin"), reason="test")


def server_pid(hub: HubHandle, user: str) -> int | None:
    with sqlite3.connect(f"file:{hub.folder}/jupyterhub.sqlite?mode=ro", uri=True, timeout=10) as db:
        query = "select s.state from spawners s join users u on u.id = s.user_id where u.name = ?"
        row = db.execute(query + " and s.server_id is not null", (user,)).fetchone()
    return None if row is None else int(json.loads(row[0])["pid"])


def command_line(hub: HubHandle, token: str, *words: str) -> str:
    environ = {"PATH": os.defpath, "AIZEN_HUB_URL": hub.url, "AIZEN_HUB_TOKEN": token}
    ran = subprocess.run([str(BIN / "aizen-hub"), *words], env=environ, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


def test_servers_keep_running_without_rights_and_can_be_restarted(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    kept: list[int] = []
    accounts = {"erin": "", "boss": "AIZEN_ADMIN", "maker": "PROJECT_CREATOR"}
    try:
        with running_hub(
            tmp_path, config=PLAIN, accounts=accounts, seed=seed, fake_servers=("erin", "stranger")
        ) as hub:
            for name in ("erin", "stranger"):
                person = Browser(hub.url)
                # A hub with default settings starts the server at once.
                person.login(name, "x")
                person.wait_ready()
                kept.append(server_pid(hub, name) or 0)
            hub.process.terminate()
            hub.process.wait(20)
            assert all(map(psutil.pid_exists, kept))
            (tmp_path / "plain").unlink()
            hub.restart()
            end = time.monotonic() + 60
            while "has no session" not in hub.log:
                assert time.monotonic() < end, hub.log[-3000:]
                time.sleep(0.2)
            time.sleep(3)  # several heartbeats
            assert [server_pid(hub, name) for name in ("erin", "stranger")] == kept, hub.log[-5000:]
            assert all(map(psutil.pid_exists, kept))
            erin, boss = hub.login("erin"), hub.login("boss")
            state = erin.server()
            assert state is not None
            assert state["ready"]
            token = create_hub_token(boss)
            listed = request_with_token(hub, token, "GET", "/services/aizen/api/v1/sessions")
            assert listed.status == 200, listed.text
            assert {(row[0], row[1]) for row in listed.json()["rows"]} >= {(None, "erin"), (None, "stranger")}
            output = command_line(hub, token, "session", "list")
            assert "2 servers have no session" in output
            assert "stranger" in output
            assert "was started before projects were introduced" in erin.get("/hub/home").words
            assert "was started before" not in boss.get("/hub/home").words
            erin.stop()
            wait_until(lambda: "was started before" not in erin.get("/hub/home").words, 30)
            environ = environment_of(erin, erin.spawn("churn"))
            assert environ["AIZEN_PROJECT"] == "churn"
            assert server_pid(hub, "erin") not in kept
            assert server_pid(hub, "stranger") == kept[1]
    finally:
        for pid in filter(None, kept):
            if psutil.pid_exists(pid):
                psutil.Process(pid).kill()
