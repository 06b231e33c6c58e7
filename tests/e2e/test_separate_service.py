"""A service that the hub does not start (`managed: false`), set up from nothing as docs/separate-service.md says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError
from tests.fixtures.hub import BIN, FOREIGN_PREFIXES, HubHandle, is_up, start_process, wait_until_running
from tests.fixtures.ports import free_ports

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.slow]

DOCUMENT = Path(__file__).parents[2] / "docs" / "separate-service.md"
PASSWORD = "four unrelated words of mine"


@contextmanager
def serving(hub: HubHandle, command: list[str], config: Path) -> Iterator[None]:
    """Run a documented command beside a hub, until it is ready."""
    log_size = len(hub.log)
    process = start_process([*command, "-c", str(config)], hub.folder, hub.environ)
    try:
        end = time.monotonic() + 60
        while not is_up(hub.service_url + "/readyz"):
            assert process.poll() is None, hub.log[log_size:]
            assert time.monotonic() < end, hub.log[log_size:]
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)


def documented_commands() -> list[list[str]]:
    """Return the commands of the document, in order, with the programs of this environment."""
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [[str(BIN / command[0]), *command[1:]] for command in commands]


def test_the_documented_way_from_nothing(tmp_path: Path, postgres_url: str) -> None:
    init, serve, recover, hub_command = documented_commands()
    public, hub_port, proxy, service = free_ports(4)
    url, service_url = f"http://127.0.0.1:{public}", f"http://127.0.0.1:{service}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    environ |= {"AIZEN_SERVICE__PORT": str(service), "HOME": str(tmp_path)}
    # Only the addresses are those of this test.
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
    ports = [f"--JupyterHub.hub_port={hub_port}", f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{proxy}"]
    hub = HubHandle(url, service_url, tmp_path, {}, start_process([*hub_command, *ports], tmp_path, environ), environ)
    try:
        wait_until_running(hub)
        with pytest.raises(LoginRejectedError):
            hub.login("admin", PASSWORD)
        checked = subprocess.run(
            [str(BIN / "aizen-hub"), "doctor"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        assert "aizen-hub serve" in re.sub(r"\s+", " ", checked.stdout), checked.stdout
        with serving(hub, serve, tmp_path / "aizen.yaml"):
            link = subprocess.run(
                recover, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=True
            ).stdout.strip()
            set_password(hub, link)
            page = hub.login("admin", PASSWORD).get("/services/aizen/")
            assert page.status == 200, page.text
            assert Browser(hub.url).get("/services/aizen/nothing").status == 404
        assert "recover-admin" in hub.log, "the first start says how the first admin gets in"
        check_without_hub(hub, serve)
    finally:
        hub.stop()


def set_password(hub: HubHandle, link: str) -> None:
    """Do what the page of an activation link does."""
    token = link.rpartition("#")[2]
    body = json.dumps({"token": token, "password": PASSWORD}).encode()
    headers = {"Content-Type": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    answer = Browser(hub.url).request("POST", "/services/aizen/api/v1/activate", body, headers)
    assert answer.status < 300, answer.text


def check_without_hub(hub: HubHandle, serve: list[str]) -> None:
    """Without `hub` in aizen.yaml, the panel names that key."""
    text = (hub.folder / "aizen.yaml").read_text(encoding="utf-8")
    start = text.index("hub:\n")
    unaware = hub.folder / "unaware.yaml"
    unaware.write_text(text[:start] + text[text.index("\n\n", start) :], encoding="utf-8")
    with serving(hub, serve, unaware):
        page = hub.login("admin", PASSWORD).get("/services/aizen/")
        assert page.status == 503
        assert "hub in aizen.yaml" in page.words.replace("`", "")
        assert "have no sign-in" in hub.log
