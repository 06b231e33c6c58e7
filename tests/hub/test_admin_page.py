"""The hub's own admin page in the hands of an AIZEN_ADMIN: list people and servers, stop servers, enter none."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.hub.roads import api_token, project_of_session, runs, wait_for, with_token

pytestmark = pytest.mark.slow

LIST = "/hub/api/users?include_stopped_servers&limit=50&sort=id"


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import projects
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    projects.create(tx, "churn", owner=Identity.user("maker"))
    for name in ("erin", "lena"):
        assignments.grant(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(name), reason="test")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    accounts = {"boss": "AIZEN_ADMIN", "chief": "AIZEN_ADMIN", "maker": "PROJECT_CREATOR", "erin": "", "lena": ""}
    with running_hub(
        tmp_path_factory.mktemp("admin"),
        # A change of the protected role would wait for a fresh sign-in, which is tested elsewhere.
        {"confirm_protected": False},
        accounts=accounts,
        seed=seed,
        tiny=("erin", "chief", "maker"),
    ) as running:
        yield running


@pytest.fixture
def erin(hub: HubHandle) -> Iterator[Browser]:
    person = hub.login("erin")
    person.spawn("churn")
    yield person
    person.stop()


def run(environ: dict[str, str], text: str, files: dict[str, str]) -> None:
    """Run a command as a kernel does."""
    body = json.dumps({"text": text, "files": files}).encode()
    headers = {"Authorization": f"Bearer {environ['AIZEN_TOKEN']}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(environ["AIZEN_URL"] + "/api/v1/commands", body, headers)):
        pass


def scopes(person: Browser) -> set[str]:
    return set(person.api("GET", "/hub/api/user").json()["scopes"])


class TestAdmin:
    def test_the_page_opens_and_lists_people_and_servers(self, hub: HubHandle, erin: Browser) -> None:
        boss = hub.login("boss")
        page = boss.get("/hub/admin")
        assert page.status == 200
        assert "admin-react" in page.text
        assert 'href="/hub/admin"' in boss.get("/hub/home").text, "the way there"
        listed = {one["name"]: one for one in boss.api("GET", LIST).json()}
        assert {"boss", "erin"} <= set(listed)
        assert listed["erin"]["servers"][""]["ready"] is True
        assert listed["erin"]["groups"] == ["aizen:churn"], "the hub's own filters know projects, and no roles"
        assert "auth_state" not in listed["erin"] or listed["erin"]["auth_state"] is None
        assert "token" not in json.dumps(listed["erin"]["servers"])

    @pytest.mark.proves("R130")
    def test_a_server_can_be_stopped_there(self, hub: HubHandle, erin: Browser) -> None:
        boss = hub.login("boss")
        assert boss.api("DELETE", "/hub/api/users/erin/servers/", None).status in (202, 204)
        wait_for(lambda: not runs(hub, "erin"), 15)
        assert project_of_session(hub, "erin") is None

    def test_no_server_of_somebody_else_opens(self, hub: HubHandle) -> None:
        boss, lena = hub.login("boss"), hub.login("lena")
        # A server of Jupyter, which asks the hub who may come in.
        lena.spawn("churn")
        assert lena.get("/user/lena/api/status").status == 200
        for path in ("", "api/status", "api/contents"):
            assert boss.get("/user/lena/" + path).status == 403, path
            page = Browser(hub.url).get("/user/lena/" + path, Authorization=f"token {api_token(boss)}")
            assert page.status == 403, path
        assert {one for one in scopes(boss) if one.startswith("access:servers")} == {"access:servers!user=boss"}
        lena.stop()

    def test_nothing_else_of_somebody_else_can_be_done(self, hub: HubHandle, erin: Browser) -> None:
        boss = hub.login("boss")
        for method, path, body in (
            ("POST", "/hub/api/users/erin/tokens", {"note": "x"}),
            ("GET", "/hub/api/users/erin/tokens", None),
            ("POST", "/hub/api/users/erin/servers/other", {"user_options": {"project": "churn"}}),
            ("POST", "/hub/api/users/maker/server", {"user_options": {"project": "churn"}}),
            ("POST", "/hub/api/users/mallory", {}),
            ("PATCH", "/hub/api/users/erin", {"admin": True}),
            ("PATCH", "/hub/api/users/boss", {"admin": True}),
            ("DELETE", "/hub/api/users/erin", None),
            ("POST", "/hub/api/groups/aizen-admins/users", {"users": ["erin"]}),
            ("POST", "/hub/api/shares/erin/", {"user": "boss"}),
            ("POST", "/hub/api/shutdown", {}),
            ("GET", "/hub/api/services", None),
            ("GET", "/hub/api/proxy", None),
        ):
            page = boss.api(method, path, body)
            assert page.status in (403, 404) or page.json() in ({}, []), f"{method} {path}: {page.status} {page.text}"
        assert runs(hub, "erin")

    def test_nobody_else_gets_there(self, hub: HubHandle, erin: Browser) -> None:
        maker = hub.login("maker")
        for person in (erin, maker):
            assert person.get("/hub/admin").status == 403
            assert person.api("GET", LIST).status == 403
            assert not scopes(person) & {"admin-ui", "list:users", "delete:servers"}
        assert maker.api("DELETE", "/hub/api/users/erin/servers/").status in (403, 404)
        assert runs(hub, "erin")


def test_it_goes_when_the_role_goes(hub: HubHandle, erin: Browser) -> None:
    chief = hub.login("chief")
    token = api_token(chief)
    assert chief.get("/hub/admin").status == 200
    assert with_token(hub, token, "GET", LIST).status == 200
    chief_server = environment_of(chief, chief.spawn(""))
    entry = {"id": "chief", "roles": ["PROJECT_CREATOR"]}
    run(chief_server, "alter users fewer.json", {"fewer.json": json.dumps([entry])})
    wait_for(lambda: with_token(hub, token, "GET", LIST).status == 403, 10)
    assert chief.get("/hub/admin").status == 403
    assert chief.api("DELETE", "/hub/api/users/erin/servers/").status in (403, 404)
    assert runs(hub, "erin")
    assert chief.api("GET", "/hub/api/user").status == 200, "the person stays"
    chief.stop()
