"""A service that the hub does not start (`managed: false`), set up from nothing as docs/separate-service.md says.

Two replicas on PostgreSQL behind the HAProxy of the document; only addresses and accounts are those of this test.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from aizen_hub.client.sync_client import SyncClient
from aizen_hub.demo.browser import Browser, LoginRejectedError
from tests.fixtures.hub import BIN, FOREIGN_PREFIXES, HubHandle, is_up, start_process, wait_until_running
from tests.fixtures.network.haproxy import DOCUMENT, running_haproxy
from tests.fixtures.network.ports import free_ports

pytestmark = [pytest.mark.needs("postgres", "haproxy"), pytest.mark.slow]

PASSWORD = "four unrelated words of mine"
PROJECT, ROLE = "churn", "PROJECT_READER"


@contextmanager
def serving(hub: HubHandle, command: list[str], port: int, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a replica by a documented command, until it is ready; its port is the only difference between replicas."""
    log_size = len(hub.log)
    environ = {**hub.environ, "AIZEN_SERVICE__PORT": str(port)}
    process = start_process([*command, "-c", str(config)], hub.folder, environ)
    try:
        wait_until_up(f"http://127.0.0.1:{port}/readyz", process, hub, log_size)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def wait_until_up(url: str, process: subprocess.Popen[bytes], hub: HubHandle, log_size: int = 0) -> None:
    end = time.monotonic() + 60
    while not is_up(url):
        assert process.poll() is None, hub.log[log_size:]
        assert time.monotonic() < end, hub.log[log_size:]
        time.sleep(0.1)


def documented_commands() -> list[list[str]]:
    """Return the commands of the document, in order, with the programs of this environment."""
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [[str(BIN / command[0]), *command[1:]] for command in commands]


def test_the_documented_way_from_nothing(tmp_path: Path, postgres_url: str) -> None:
    init, serve, recover, hub_command = documented_commands()
    public, hub_port, proxy, front, *ports = free_ports(6)
    url, service_url = f"http://127.0.0.1:{public}", f"http://127.0.0.1:{front}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    environ |= {"HOME": str(tmp_path)}
    for option, value in (
        ("--hub-url", url),
        ("--hub-api-url", f"http://127.0.0.1:{hub_port}/hub/api"),
        ("--service-url", service_url),
        ("--database", postgres_url),
    ):
        init[init.index(option) + 1] = value
    (tmp_path / "hub.log").touch()
    written = subprocess.run(init, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert "key-encryption-key to every replica" in written.stderr
    own_ports = [f"--JupyterHub.hub_port={hub_port}", f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{proxy}"]
    hub_process = start_process([*hub_command, *own_ports], tmp_path, environ)
    hub = HubHandle(url, service_url, tmp_path, {}, hub_process, environ)
    config = tmp_path / "aizen.yaml"
    try:
        wait_until_running(hub)
        with pytest.raises(LoginRejectedError):
            hub.login("admin", PASSWORD)
        checked = subprocess.run(
            [str(BIN / "aizen-hub"), "doctor"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        report = re.sub(r"\s+", " ", checked.stdout)
        assert "aizen-hub serve" in report, checked.stdout
        assert "the service's token gives it no rights at the hub" in report, checked.stdout
        assert "this machine's clock agrees with the hub's" in report, checked.stdout
        with ExitStack() as running:
            balancer = running.enter_context(running_haproxy(hub.folder, front, ports))
            first, _ = [running.enter_context(serving(hub, serve, port, config)) for port in ports]
            wait_until_up(service_url + "/readyz", balancer, hub)
            link = subprocess.run(
                recover, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=True
            ).stdout.strip()
            set_password(hub, link)
            browser = hub.login("admin", PASSWORD)
            page = browser.get("/services/aizen/")
            assert page.status == 200, page.text
            assert Browser(hub.url).get("/services/aizen/nothing").status == 404
            check_decisions(hub, browser, ports)
            check_end_of_a_replica(hub, browser, first)
        assert "recover-admin" in hub.log, "the first start says how the first admin gets in"
        check_without_hub(hub, serve, front)
    finally:
        hub.stop()


def check_decisions(hub: HubHandle, admin: Browser, ports: Sequence[int]) -> None:
    """Each replica decides for a session, and what one revokes the other denies."""
    answer = admin.api("POST", "/hub/api/users/admin/tokens", {"note": "test", "expires_in": 600})
    token = str(answer.json()["token"])
    environ = {**hub.environ, "AIZEN_HUB_URL": hub.url, "AIZEN_HUB_TOKEN": token}

    def run(line: str) -> str:
        command = [str(BIN / "aizen-hub"), *line.split()]
        done = subprocess.run(
            command, cwd=hub.folder, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    run("grant PROJECT_CREATOR --to admin")
    run(f"project create {PROJECT}")
    set_password(hub, run("user create bob").strip())
    run(f"grant {ROLE} --to bob --project {PROJECT}")
    credential = hashlib.sha256(secrets.token_bytes(16)).hexdigest()
    wanted = {"user": "bob", "requester": "bob", "server": PROJECT, "project": PROJECT, "credential": credential}
    role_token = hub.hub_client().post("/api/v1/sessions", wanted)["token"]

    def is_allowed(port: int) -> bool:
        client = SyncClient(f"http://127.0.0.1:{port}", f"Bearer {role_token}")
        answer = client.post("/api/v1/decisions", {"permission": "enter:project"})
        return bool(answer["decision"]["allowed"])

    def change(port: int, path: str) -> None:
        body = {"roles": [ROLE], "scope": PROJECT, "identity": "user:bob", "reason": "test"}
        SyncClient(f"http://127.0.0.1:{port}/services/aizen", f"token {token}").post(path, body)

    one, other = ports
    assert [is_allowed(port) for port in ports] == [True, True]
    change(one, "/api/v1/assignments/revoke")
    assert not is_allowed(other), "a revocation at one replica counts at the other at once"
    change(other, "/api/v1/assignments")
    assert is_allowed(one)
    change(other, "/api/v1/assignments/revoke")
    assert [is_allowed(port) for port in ports] == [False, False]


def check_end_of_a_replica(hub: HubHandle, browser: Browser, replica: subprocess.Popen[bytes]) -> None:
    """The other one takes all requests: no page is refused while the first stops or after it."""
    replica.terminate()
    replica.wait(60)
    assert [browser.get("/services/aizen/").status for _ in range(4)] == [200] * 4


def set_password(hub: HubHandle, link: str) -> None:
    """Do what the page of an activation link does."""
    token = link.rpartition("#")[2]
    body = json.dumps({"token": token, "password": PASSWORD}).encode()
    headers = {"Content-Type": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    answer = Browser(hub.url).request("POST", "/services/aizen/api/v1/activate", body, headers)
    assert answer.status < 300, answer.text


def check_without_hub(hub: HubHandle, serve: list[str], port: int) -> None:
    """Without `hub` in aizen.yaml, the panel names that key."""
    text = (hub.folder / "aizen.yaml").read_text(encoding="utf-8")
    start = text.index("hub:\n")
    unaware = hub.folder / "unaware.yaml"
    unaware.write_text(text[:start] + text[text.index("\n\n", start) :], encoding="utf-8")
    with serving(hub, serve, port, unaware):
        page = hub.login("admin", PASSWORD).get("/services/aizen/")
        assert page.status == 503
        assert "hub in aizen.yaml" in page.words.replace("`", "")
        assert "have no sign-in" in hub.log
