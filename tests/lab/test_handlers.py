"""The server extension in a user server of a real hub: what a browser may ask, and what it never gets."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser
from tests.fixtures.hub import FOREIGN_PREFIXES, HubHandle, running_hub, start_process
from tests.fixtures.network.ports import free_port
from tests.fixtures.security.jwts import find_jwts

pytestmark = pytest.mark.slow


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    for project in ("churn", "pricing", "doomed"):
        lifecycle.create_project(tx, project, owner=Identity.user("erin"))
        assignments.grant_roles(tx, ["PROJECT_READER"], project, Identity.user("bob"), reason="test")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    with running_hub(tmp_path_factory.mktemp("l"), accounts=("erin", "bob"), seed=seed) as running:
        yield running


@pytest.fixture(scope="module")
def bob(hub: HubHandle) -> Browser:
    return hub.login("bob")


@pytest.fixture(scope="module")
def home(hub: HubHandle, bob: Browser) -> str:
    return hub.spawn(bob, "churn")


def role_token(hub: HubHandle, bob: Browser, home: str) -> str:
    code = (
        "import os, pathlib; f = os.environ.get('AIZEN_TOKEN_FILE');"
        " print(pathlib.Path(f).read_text().strip() if f else os.environ['AIZEN_TOKEN'])"
    )
    with hub.kernel(bob, home) as kernel:
        return kernel.execute(code).stream.strip()


def test_the_browser_reads_its_session_and_never_a_token(hub: HubHandle, bob: Browser, home: str) -> None:
    page = bob.api("GET", f"{home}aizen/session", at=home)
    assert page.status == 200, page.text
    session = page.json()
    assert (session["user"], session["project"]) == ("bob", "churn")
    assert [role["role"] for role in session["roles"]] == ["PROJECT_READER"]
    token = role_token(hub, bob, home)
    assert find_jwts(token) == [token]
    switched = bob.api("POST", f"{home}aizen/project", {"project": "pricing"}, at=home)
    assert switched.json() == {"project": "pricing"}
    for answer in (page, switched, bob.api("GET", f"{home}aizen/jobs", at=home)):
        assert find_jwts(answer.text) == []
    assert bob.api("GET", f"{home}aizen/session", at=home).json()["project"] == "pricing"
    assert bob.api("POST", f"{home}aizen/project", {"project": "churn"}, at=home).status == 200


@pytest.mark.proves("T-10")
def test_a_server_writes_its_token_into_no_file_that_others_may_read(hub: HubHandle, bob: Browser, home: str) -> None:
    code = (
        "import jupyter_core.paths, pathlib; folder = pathlib.Path(jupyter_core.paths.jupyter_runtime_dir());"
        " print([(p.name.split('-')[0], oct(p.stat().st_mode)[-3:]) for p in folder.iterdir()"
        " if p.is_file() and os.environ['JUPYTERHUB_API_TOKEN'] in p.read_text()], oct(folder.stat().st_mode)[-3:])"
    )
    with hub.kernel(bob, home) as kernel:
        assert kernel.execute(f"import os; {code}").stream.strip() == "[('jpserver', '600')] 700"


def test_a_project_that_cannot_be_entered_is_refused_with_a_reason(bob: Browser, home: str) -> None:
    page = bob.api("POST", f"{home}aizen/project", {"project": "secret"}, at=home)
    assert page.status in (400, 403, 404)
    assert "secret" in page.json()["detail"]
    assert bob.api("GET", f"{home}aizen/session", at=home).json()["project"] == "churn"


def test_a_request_is_made_for_this_user_and_seen_at_once(bob: Browser, home: str) -> None:
    assert bob.api("GET", f"{home}aizen/session", at=home).json()["requests"] == []
    body = {"role": "PROJECT_EXECUTOR", "scope": "churn", "reason": "to run: start training churn"}
    page = bob.api("POST", f"{home}aizen/requests", body, at=home)
    assert page.status == 200, page.text
    assert "PROJECT_EXECUTOR" in page.json()["message"]
    requests = bob.api("GET", f"{home}aizen/session", at=home).json()["requests"]
    assert [(request["role"], request["state"]) for request in requests] == [("PROJECT_EXECUTOR", "waiting")]
    held = bob.api("POST", f"{home}aizen/requests", body | {"role": "PROJECT_READER"}, at=home)
    assert held.status == 409, held.text
    assert held.json()["detail"]


def test_stopping_reaches_the_service(bob: Browser, home: str) -> None:
    page = bob.api("POST", f"{home}aizen/jobs/{'f' * 32}/stop", {}, at=home)
    assert page.status == 404, page.text
    assert page.json()["detail"] == "you have no such job"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "aizen/me", None, 404),
        ("GET", "aizen/requests", None, 405),
        ("POST", "aizen/session", {}, 405),
        ("POST", "aizen/jobs/../commands/stop", {}, 404),
        ("POST", "aizen/jobs/a%2Fb/stop", {}, 404),
        ("POST", "aizen/requests", {"role": "R", "scope": "churn", "identity": "user:erin"}, 400),
        ("POST", "aizen/requests", {"role": ["R"]}, 400),
        ("POST", "aizen/requests", ["R"], 400),
        ("POST", "aizen/requests", {"role": "R", "scope": "churn", "reason": "x" * 20_000}, 400),
        ("POST", "aizen/project", {"text": "delete project churn"}, 400),
    ],
)
def test_nothing_but_the_allowed_calls_is_passed_on(
    bob: Browser, home: str, method: str, path: str, body: Any, status: int
) -> None:
    assert bob.api(method, home + path, body, at=home).status == status


def test_other_pages_and_other_users_get_nothing(hub: HubHandle, bob: Browser, home: str) -> None:
    address, body = f"{home}aizen/project", {"project": "pricing"}
    own = {"Content-Type": "application/json", "Sec-Fetch-Mode": "cors"}
    without_xsrf = bob.request("POST", address, json.dumps(body).encode(), own | {"Referer": hub.url + home})
    assert without_xsrf.status == 403
    foreign = own | {"X-XSRFToken": bob.xsrf(home), "Origin": "https://evil.example"}
    assert bob.request("POST", address, json.dumps(body).encode(), foreign).status in (403, 404)
    for other in (Browser(hub.url), hub.login("erin")):
        page = other.request("GET", f"{home}aizen/session", None, {"Accept": "application/json", **own})
        assert page.status in (401, 403), page.text
        assert "PROJECT_READER" not in page.text
    assert bob.api("GET", f"{home}aizen/session", at=home).json()["project"] == "churn"


def test_a_page_that_polls_does_not_keep_the_server_alive(bob: Browser, home: str) -> None:
    before = bob.api("GET", f"{home}api/status?no_track_activity=1", at=home).json()["last_activity"]
    assert bob.api("GET", f"{home}aizen/session", at=home).status == 200
    after = bob.api("GET", f"{home}api/status?no_track_activity=1", at=home).json()["last_activity"]
    assert after == before


def test_an_ended_session_says_until_when_to_save(hub: HubHandle, bob: Browser) -> None:
    home, erin = hub.spawn(bob, "doomed", "second"), hub.login("erin")
    assert bob.api("GET", f"{home}aizen/session", at=home).json()["session"]["server"] == "second"
    with hub.kernel(erin, hub.spawn(erin, "churn")) as kernel:
        assert "deleted" in kernel.execute("delete project doomed").text
    deadline = time.monotonic() + 60
    while (page := bob.api("GET", f"{home}aizen/session", at=home)).status == 200:
        assert time.monotonic() < deadline, "one answer serves all tabs for a second, not for longer"
        time.sleep(0.2)
    assert page.status == 403, page.text
    assert page.json()["code"] == "session-ended"
    assert "save your work" in page.json()["remedy"]


def test_someone_else_who_may_open_the_server_is_refused(tmp_path: Path) -> None:
    """A share, or a token of the server that was passed on: the role token is the owner's."""
    port = free_port()
    options = [
        f"--port={port}",
        "--IdentityProvider.token=passed-on",
        "--allow-root",
        f"--ServerApp.root_dir={tmp_path}",
    ]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    environ |= {"AIZEN_URL": f"http://127.0.0.1:{free_port()}", "AIZEN_TOKEN": "a.b.c", "HOME": str(tmp_path)}
    address = f"http://127.0.0.1:{port}/aizen/session?token=passed-on"
    for owner, status in (("rita", 403), ("", 503)):
        server = start_process(
            [sys.executable, "-m", "jupyter_server", *options], tmp_path, environ | {"JUPYTERHUB_USER": owner}
        )
        try:
            answer = wait_for_answer(address)
            assert answer.code == status
            assert ("acts for rita only" in answer.read().decode()) is bool(owner)
        finally:
            server.terminate()
            server.wait(60)


def wait_for_answer(address: str) -> urllib.error.HTTPError:
    """Return the error that a server answers once it runs."""
    deadline = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(address, timeout=20)
        except urllib.error.HTTPError as error:
            return error
        except OSError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.3)


def test_a_server_that_aizen_hub_did_not_start_has_no_handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jupyter_server.serverapp import ServerApp

    from aizen_hub.lab import _load_jupyter_server_extension

    monkeypatch.delenv("AIZEN_URL", raising=False)
    server = ServerApp(root_dir=str(tmp_path))
    server.web_app = SimpleNamespace(settings={})  # the real one needs a started server
    _load_jupyter_server_extension(server)
    assert server.web_app.settings == {}
