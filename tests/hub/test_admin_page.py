"""The hub's own admin page for an AIZEN_ADMIN: list users and servers, stop servers, enter none."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.hub.credentials import (
    create_hub_token,
    has_running_server,
    project_of_session,
    request_with_token,
    wait_until,
)

pytestmark = pytest.mark.slow

LIST = "/hub/api/users?include_stopped_servers&limit=50&sort=id"


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("maker"))
    for name in ("erin", "lena"):
        assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(name), reason="test")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    accounts = {"boss": "AIZEN_ADMIN", "chief": "AIZEN_ADMIN", "maker": "PROJECT_CREATOR", "erin": "", "lena": ""}
    with running_hub(
        tmp_path_factory.mktemp("admin"),
        # A change of the protected role would require a recent login, which is tested elsewhere.
        {"confirm_protected": False},
        accounts=accounts,
        seed=seed,
        fake_servers=("erin", "chief", "maker"),
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
    def test_the_page_opens_and_lists_users_and_servers(self, hub: HubHandle, erin: Browser) -> None:
        boss = hub.login("boss")
        page = boss.get("/hub/admin")
        assert page.status == 200
        assert "admin-react" in page.text
        assert 'href="/hub/admin"' in boss.get("/hub/home").text, "the link to the page"
        listed = {user["name"]: user for user in boss.api("GET", LIST).json()}
        assert {"boss", "erin"} <= set(listed)
        assert listed["erin"]["servers"][""]["ready"] is True
        assert listed["erin"]["groups"] == ["aizen:churn"], "the hub's own filters see projects, not roles"
        assert "auth_state" not in listed["erin"] or listed["erin"]["auth_state"] is None
        assert "token" not in json.dumps(listed["erin"]["servers"])

    @pytest.mark.proves("R130")
    def test_a_server_can_be_stopped_there(self, hub: HubHandle, erin: Browser) -> None:
        boss = hub.login("boss")
        assert boss.api("DELETE", "/hub/api/users/erin/servers/", None).status in (202, 204)
        wait_until(lambda: not has_running_server(hub, "erin"), 30)
        assert project_of_session(hub, "erin") is None

    def test_servers_of_other_users_cannot_be_entered(self, hub: HubHandle) -> None:
        boss, lena = hub.login("boss"), hub.login("lena")
        # A Jupyter server, which checks access at the hub.
        lena.spawn("churn")
        assert lena.get("/user/lena/api/status").status == 200
        for path in ("", "api/status", "api/contents"):
            assert boss.get("/user/lena/" + path).status == 403, path
            page = Browser(hub.url).get("/user/lena/" + path, Authorization=f"token {create_hub_token(boss)}")
            assert page.status == 403, path
        assert {scope for scope in scopes(boss) if scope.startswith("access:servers")} == {"access:servers!user=boss"}
        lena.stop()

    def test_no_other_action_on_other_users_is_permitted(self, hub: HubHandle, erin: Browser) -> None:
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
        assert has_running_server(hub, "erin")

    def test_other_users_are_denied(self, hub: HubHandle, erin: Browser) -> None:
        maker = hub.login("maker")
        for person in (erin, maker):
            assert person.get("/hub/admin").status == 403
            assert person.api("GET", LIST).status == 403
            assert not scopes(person) & {"admin-ui", "list:users", "delete:servers"}
        assert maker.api("DELETE", "/hub/api/users/erin/servers/").status in (403, 404)
        assert has_running_server(hub, "erin")


def test_access_ends_with_the_role(hub: HubHandle, erin: Browser) -> None:
    chief = hub.login("chief")
    token = create_hub_token(chief)
    assert chief.get("/hub/admin").status == 200
    assert request_with_token(hub, token, "GET", LIST).status == 200
    chief_server = environment_of(chief, chief.spawn(""))
    entry = {"id": "chief", "roles": ["PROJECT_CREATOR"]}
    run(chief_server, "alter users fewer.json", {"fewer.json": json.dumps([entry])})
    wait_until(lambda: request_with_token(hub, token, "GET", LIST).status == 403, 30)
    assert chief.get("/hub/admin").status == 403
    assert chief.api("DELETE", "/hub/api/users/erin/servers/").status in (403, 404)
    assert has_running_server(hub, "erin")
    assert chief.api("GET", "/hub/api/user").status == 200, "the user stays signed in"
    chief.stop()


def test_people_are_registered_in_the_panel_and_not_here(hub: HubHandle) -> None:
    boss = hub.login("boss")
    page = boss.get("/hub/admin")
    assert "People are registered in Aizen" in page.words
    token = create_hub_token(boss)
    for path, body in (("/hub/api/users", {"usernames": ["nova"]}), ("/hub/api/users/nova", {})):
        answer = request_with_token(hub, token, "POST", path, body)
        assert answer.status == 403
        assert "registered in Aizen" in answer.text
