"""`aizen-hub login` and `logout` at a running hub: in the browser, by a pasted code, and what an attacker tries."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from aizen_hub.cli import browser_sign_in
from aizen_hub.cli.browser_sign_in import PendingSignIn
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.main import cli
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.demo.browser import Browser, BrowserError
from aizen_hub.demo.page import HtmlPage
from aizen_hub.problems import NotAuthenticated
from tests.fixtures.hub import HubHandle, running_hub

SECONDS = 60
ENTRY = "from aizen_hub.cli.main import main; main()"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    accounts = {"ada": "AIZEN_ADMIN", "rob": ""}
    with running_hub(tmp_path_factory.mktemp("login"), {}, accounts=accounts) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration folder of a person without contexts."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("AIZEN_HUB_URL", "AIZEN_HUB_TOKEN", "AIZEN_HUB_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "aizen-hub"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), standalone_mode=False)


def who_am_i() -> str:
    answer = run("whoami", "-o", "json")
    assert answer.exception is None, answer.exception
    return str(json.loads(answer.stdout)["user"])


def link_of(page: HtmlPage) -> str:
    assert page.status == 200, page.text
    found = re.search(r'href="([^"]*api/oauth2/authorize[^"]*)"', page.text)
    assert found is not None, page.text
    return unescape(found[1])


def code_of(page: HtmlPage) -> str:
    found = re.search(r'<code class="az-free">([^<]+)</code>', page.text)
    assert found is not None, page.text
    return unescape(found[1])


def follow_in_browser(hub: HubHandle, name: str) -> Callable[[str], bool]:
    """Return a stand-in for the browser window: the user is signed in, compares the word and goes on."""

    def open_page(address: str) -> bool:
        def visit() -> None:
            page = hub.login(name).get(address)
            seen = hub_redirect(hub, name, link_of(page))
            urllib.request.urlopen(seen, timeout=SECONDS).close()

        threading.Thread(target=visit, daemon=True).start()
        return True

    return open_page


def hub_redirect(hub: HubHandle, name: str, link: str) -> str:
    """Return the loopback address to which the panel sends the browser."""
    # It follows no redirect to another address, and names it.
    with pytest.raises(BrowserError, match=r"redirects to another site: http://127.0.0.1:") as refused:
        hub.login(name).get(link)
    return str(refused.value).partition("site: ")[2]


@pytest.mark.usefixtures("config")
def test_login_in_the_browser_and_logout(hub: HubHandle, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_sign_in, "WAIT_SECONDS", SECONDS)
    monkeypatch.setattr(webbrowser, "open", follow_in_browser(hub, "rob"))
    monkeypatch.setattr("aizen_hub.cli.commands.account.sign_in.can_open_browser", lambda: True)
    answer = run("login", hub.url, "--context", "lab")
    assert answer.exception is None, answer.output
    assert f"signed in as rob at {hub.url}" in answer.stderr
    token_file = config / "tokens" / "lab"
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    token = token_file.read_text()
    assert who_am_i() == "rob"
    assert json.loads(run("context", "list", "-o", "json").stdout)[0]["signed_in"] is True
    # It identifies rob at the service, and opens nothing else at the hub.
    hub_api = SyncClient(hub.url, f"token {token}")
    assert hub_api.get("/hub/api/user")["name"] == "rob"
    scopes = set(hub_api.get("/hub/api/user")["scopes"])
    assert "access:services!service=aizen" in scopes
    assert not any(scope.startswith(("tokens", "servers", "access:servers", "admin")) for scope in scopes)
    answer = run("logout")
    assert answer.exception is None, answer.output
    assert not token_file.exists()
    with pytest.raises(NotAuthenticated):
        SyncClient(f"{hub.url}/services/aizen", f"token {token}").get("/api/v1/me")
    assert isinstance(run("whoami").exception, NotAuthenticated)
    assert run("logout").return_value == ExitCode.DONE, "twice is no error"


def test_login_without_a_browser_on_this_machine(hub: HubHandle, config: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "login", hub.url, "--no-browser"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    try:
        assert process.stdin is not None
        assert process.stderr is not None
        lines = []
        while not any("It shows the word" in line for line in lines):
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        address = next(line.strip() for line in lines if "/command-line?" in line)
        browser = hub.login("ada")
        page = browser.get(address)
        word = re.search(r"[B-Z]{4}-[B-Z]{4}", lines[-1])
        assert word is not None
        assert word[0] in page.text, "people compare it"
        process.stdin.write(code_of(browser.get(link_of(page))) + "\n")
        process.stdin.close()
        rest = process.stderr.read()
        assert process.wait(SECONDS) == 0, rest
    finally:
        process.kill()
        process.wait()
    assert "signed in as ada" in rest
    host = urlsplit(hub.url)
    assert (config / "tokens" / f"{host.hostname}_{host.port}").exists()
    assert who_am_i() == "ada"


def test_a_code_is_of_no_use_without_its_verifier_and_only_once(hub: HubHandle) -> None:
    panel = f"{hub.url}/services/aizen"
    pending, other = PendingSignIn(), PendingSignIn()
    browser = hub.login("rob")
    code = code_of(browser.get(link_of(browser.get(pending.page(panel, None)))))
    client = SyncClient(panel)
    with pytest.raises(NotAuthenticated):
        client.post("/api/v1/command-line/token", {"code": code, "verifier": other.verifier})
    code = code_of(browser.get(link_of(browser.get(pending.page(panel, None)))))
    body = {"code": code, "verifier": pending.verifier}
    assert client.post("/api/v1/command-line/token", body)["user"] == "rob"
    with pytest.raises(NotAuthenticated):
        client.post("/api/v1/command-line/token", body)


def test_signing_out_in_the_browser_ends_the_token(hub: HubHandle) -> None:
    """The page of the sign-in promises it; the browser of another sign-in does not matter."""
    panel = f"{hub.url}/services/aizen"
    browser, other = hub.login("rob"), hub.login("rob")
    pending = PendingSignIn()
    code = code_of(browser.get(link_of(browser.get(pending.page(panel, None)))))
    answer = SyncClient(panel).post("/api/v1/command-line/token", {"code": code, "verifier": pending.verifier})
    client = SyncClient(panel, f"token {answer['token']}")
    other.logout()
    assert client.get("/api/v1/me")["user"] == "rob"
    browser.logout()
    with pytest.raises(NotAuthenticated):
        client.get("/api/v1/me")


@pytest.mark.proves("T-13")
def test_a_code_that_was_asked_for_without_a_challenge_is_of_no_use(hub: HubHandle) -> None:
    """The hub does not demand PKCE: a link of an attacker may leave it out, and the code is then in an address."""
    panel = f"{hub.url}/services/aizen"
    browser = hub.login("rob")
    link = link_of(browser.get(PendingSignIn().page(panel, None)))
    without = re.sub(r"&code_challenge(_method)?=[^&]*", "", link)
    assert "challenge" not in without
    page = browser.get(re.sub(r"state=[^&]*", "state=of-the-attacker", without))
    assert page.status == 401
    leaked = parse_qs(urlsplit(page.url).query)["code"][0]
    shown = code_of(browser.get(without))
    for code in (leaked, f"{leaked}.x", shown):
        with pytest.raises(NotAuthenticated):
            SyncClient(panel).post("/api/v1/command-line/token", {"code": code, "verifier": PendingSignIn().verifier})


@pytest.mark.proves("T-13")
def test_a_link_of_another_user_signs_no_user_in(hub: HubHandle) -> None:
    """An attacker prepares everything up to the hub's address, and has the victim open that."""
    panel = f"{hub.url}/services/aizen"
    attacker, victim = hub.login("rob"), hub.login("ada")
    link = link_of(attacker.get(PendingSignIn().page(panel, None)))
    page = victim.get(link)
    assert page.status == 401
    assert "confirmed by another user" in page.text
    assert "az-free" not in page.text


def test_only_addresses_of_this_machine_get_a_code(hub: HubHandle) -> None:
    browser = hub.login("rob")
    pending = PendingSignIn()
    for query in (f"challenge={pending.challenge}&state={pending.state}&port=80", f"challenge=x&state={pending.state}"):
        assert browser.get(f"/services/aizen/command-line?{query}").status == 400
    link = link_of(browser.get(pending.page(f"{hub.url}/services/aizen", 45_123)))
    location = hub_redirect(hub, "rob", link)
    assert location.startswith("http://127.0.0.1:45123/?")
    assert parse_qs(urlsplit(location).query)["state"] == [pending.state]


def test_a_stranger_is_sent_to_the_sign_in_and_back(hub: HubHandle) -> None:
    pending = PendingSignIn()
    page = Browser(hub.url).get(pending.page(f"{hub.url}/services/aizen", None))
    assert "/hub/login" in page.url
    assert pending.challenge not in page.text.replace(page.url, "")
