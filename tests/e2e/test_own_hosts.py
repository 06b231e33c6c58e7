"""A hub whose user servers and panel have hosts of their own (`subdomain_host`), in a real browser."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.hub import BIN, HubHandle, running_hub

if TYPE_CHECKING:
    from tests.fixtures.browser.pages import BrowserUser

pytestmark = [pytest.mark.needs("browser"), pytest.mark.slow]

PANEL = "/services/aizen/"
CREATE_TOKEN = """async () => {
  const xsrf = document.cookie.match(/_xsrf=([^;]+)/)?.[1] ?? window.jhdata.xsrf_token;
  const answer = await fetch(`/hub/api/users/erin/tokens?_xsrf=${encodeURIComponent(xsrf)}`,
    {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"note": "test", "expires_in": 600}'});
  return (await answer.json()).token;
}"""


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("erin"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    with running_hub(
        tmp_path_factory.mktemp("o"),
        {"insecure_same_origin": False},
        accounts=("erin",),
        seed=seed,
        fake_servers=("erin",),
        config="c.JupyterHub.subdomain_host = c.JupyterHub.bind_url.replace('127.0.0.1', 'hub.localhost')",
    ) as running:
        running.url = running.url.replace("127.0.0.1", "hub.localhost")
        yield running


@pytest.fixture
def erin(hub: HubHandle, person: Callable[[], BrowserUser]) -> BrowserUser:
    user = person()
    user.login("erin", hub.passwords["erin"])
    user.page.wait_for_url(lambda url: "/hub/login" not in url)
    return user


@pytest.mark.proves("R137")
def test_the_panel_has_its_own_host(hub: HubHandle, erin: BrowserUser) -> None:
    own = hub.url.replace("hub.localhost", "aizen--service.hub.localhost") + PANEL
    erin.page.goto(hub.url + "/hub/home")
    erin.page.click("#aizen-panel")
    erin.page.wait_for_url(own + "**")
    erin.page.goto(own + "me")
    assert "PROJECT_ADMIN" in erin.visible_text()
    erin.page.fill("#project", "churn")
    erin.page.select_option("#role", "PROJECT_READER")
    erin.page.click("main button:has-text('Send request')")
    erin.page.wait_for_load_state()
    assert erin.page.url.startswith(own)
    # Links that name the hub's address only.
    erin.page.goto(hub.url + PANEL + "account?done=on")
    assert erin.page.url == own + "account?done=on"
    erin.page.goto(hub.url + PANEL + "activate#not-a-link")
    assert erin.page.url.startswith(own + "activate")
    erin.page.goto(hub.url + PANEL + "x//evil.example")
    assert erin.page.url == own + "x//evil.example", "no other host"


def test_a_server_has_its_own_host(hub: HubHandle, erin: BrowserUser) -> None:
    erin.page.goto(hub.url + "/hub/spawn")
    assert erin.page.input_value("input[name=project]") == "churn", "the only choice"
    erin.page.click("input[type=submit], button[type=submit]")
    erin.page.wait_for_url(hub.url.replace("hub.localhost", "erin.hub.localhost") + "/user/erin/**")
    assert "AIZEN_TOKEN" in erin.page.content()


def test_the_command_line_finds_the_service(hub: HubHandle, erin: BrowserUser) -> None:
    erin.page.goto(hub.url + "/hub/token")
    token = erin.page.evaluate(CREATE_TOKEN)
    environ = {**os.environ, "AIZEN_HUB_URL": hub.url, "AIZEN_HUB_TOKEN": token}
    for arguments, expected in (
        (["whoami"], "PROJECT_ADMIN"),
        (["request", "ask", "PROJECT_READER", "--project", "churn", "--reason", "test"], ""),
    ):
        command = [str(BIN / "aizen-hub"), *arguments]
        answer = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
        assert "redirect" not in answer.stderr, answer.stderr
        assert expected in answer.stdout, answer.stderr
