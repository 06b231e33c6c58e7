"""Options of a server start that a user may not set: dropped before the spawner reads them, on every channel."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from aizen_hub.demo.browser import Browser
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.hub.credentials import create_hub_token, request_with_token
from tests.hub.running.spawn_variants import wait_for_outcome

pytestmark = pytest.mark.slow

# As batchspawner 1.3.0 fills its script: the settings `req_…`, and over them the options of the user.
SPAWNER = """
import json
from jupyterhub.spawner import SimpleLocalProcessSpawner

class Batch(SimpleLocalProcessSpawner):
    async def start(self):
        values = {"memory": "1G", "options": "--account=team", "prologue": "", "profile": "small"}
        values.update(self.user_options)
        self.environment = {**self.environment, "BATCH": json.dumps(values)}
        return await super().start()

c.JupyterHub.spawner_class = Batch
"""
WISHES = {"memory": "3G", "options": "--account=other", "prologue": "touch /tmp/x", "profile": "large", "Project": "x"}
EXPECTED = {"memory": "1G", "options": "--account=team", "prologue": "", "profile": "large", "project": "churn"}


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("maker"))
    assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("erin"), reason="test")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    with running_hub(
        tmp_path_factory.mktemp("options"),
        {"spawn": {"user_options": ["profile"]}},
        accounts={"erin": "", "maker": "PROJECT_CREATOR"},
        seed=seed,
        config=SPAWNER,
        fake_servers=("erin",),
    ) as running:
        yield running


@pytest.fixture
def erin(hub: HubHandle) -> Iterator[Browser]:
    browser = hub.login("erin")
    yield browser
    for name in browser.api("GET", "/hub/api/users/erin").json()["servers"]:
        browser.stop(name)


def by_form(erin: Browser, hub: HubHandle) -> None:
    erin.get("/hub/spawn/erin")
    fields = {"project": "churn", **WISHES}
    wait_for_outcome(erin, erin._submit(f"/hub/spawn/erin?_xsrf={erin.xsrf('/hub/')}", fields))


def by_link(erin: Browser, hub: HubHandle) -> None:
    query = urlencode({f"opt-{name}": value for name, value in {"project": "churn", **WISHES}.items()})
    wait_for_outcome(erin, erin.get(f"/hub/spawn/erin?{query}"))


def by_old_link(erin: Browser, hub: HubHandle) -> None:
    wait_for_outcome(erin, erin.get("/hub/spawn/erin?" + urlencode({"project": "churn", **WISHES})))


def by_api(erin: Browser, hub: HubHandle) -> None:
    start_by_api(erin, hub, {"user_options": {"project": "churn", **WISHES}})


def by_api_without_the_key(erin: Browser, hub: HubHandle) -> None:
    start_by_api(erin, hub, {"project": "churn", **WISHES})


def by_stored_options(erin: Browser, hub: HubHandle) -> None:
    by_api(erin, hub)
    erin.wait_ready()
    erin.stop()
    token, body = create_hub_token(erin), {"user_options": {"project": "churn", **WISHES}}
    page = request_with_token(hub, token, "PATCH", "/hub/api/users/erin/servers/", body)
    assert page.status == 200, page.text
    start_by_api(erin, hub, None)


def start_by_api(erin: Browser, hub: HubHandle, body: Any) -> None:
    page = request_with_token(hub, create_hub_token(erin), "POST", "/hub/api/users/erin/server", body)
    assert page.status < 300, page.text


CHANNELS = [by_form, by_link, by_old_link, by_api, by_api_without_the_key, by_stored_options]


@pytest.mark.parametrize("start", CHANNELS)
@pytest.mark.proves("R138", "T-58")
def test_only_permitted_options_reach_the_spawner(
    hub: HubHandle, erin: Browser, start: Callable[[Browser, HubHandle], None]
) -> None:
    start(erin, hub)
    erin.wait_ready()
    values = json.loads(environment_of(erin, "/user/erin/")["BATCH"])
    if isinstance(values["profile"], list):
        values["profile"] = values["profile"][0]  # a form sends lists, which its spawner unpacks
    assert values == EXPECTED
    with sqlite3.connect(f"file:{hub.folder}/jupyterhub.sqlite?mode=ro", uri=True, timeout=10) as db:
        stored = json.loads(db.execute("select user_options from spawners where name = ''").fetchone()[0])
    assert set(stored) == {"project", "profile"}


@pytest.mark.proves("R138", "T-58")
def test_a_named_server_of_the_api(hub: HubHandle, erin: Browser) -> None:
    body = {"project": "churn", "memory": "3G", "options": "--account=other", "prologue": "touch /tmp/x"}
    page = request_with_token(hub, create_hub_token(erin), "POST", "/hub/api/users/erin/servers/y", body)
    assert page.status < 300, page.text
    erin.wait_ready("y")
    values = json.loads(environment_of(erin, "/user/erin/y/")["BATCH"])
    assert values == {**EXPECTED, "profile": "small"}
    assert "options that a user may not set were dropped" in hub.log
    assert "memory, options, prologue" in hub.log
