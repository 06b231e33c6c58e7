"""docs/how-to/install.md as written: `init`, the directory, `doctor`, the hub, a role by a group of the directory."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from aizen_hub.demo.browser import Browser
from tests.fixtures.hub import BIN, FOREIGN_PREFIXES, HubHandle, start_process, wait_until_running
from tests.fixtures.ports import free_ports

pytestmark = [pytest.mark.needs("slapd", "browser"), pytest.mark.slow]

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "install.md"


def documented(language: str) -> list[str]:
    """Return the blocks of the document in one language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def documented_commands() -> list[list[str]]:
    """Return the commands of the document that start a program of this environment, in order.

    Without `login`, which asks a person for a code: the commands after it get a token of the hub.
    """
    lines = [shlex.split(line) for block in documented("sh") for line in block.splitlines()]
    lines = [words for words in lines if words[:2] != ["aizen-hub", "login"]]
    return [[str(BIN / words[0]), *words[1:]] for words in lines if words[0] in ("aizen-hub", "jupyterhub")]


def write_directory(folder: Path, directory: Any) -> None:
    """Put the providers of the document into the file of `init`; only the directory is that of this test."""
    from tests.fixtures.slapd import GROUPS_DN, READER_PASSWORD

    (wanted,) = (yaml.safe_load(block) for block in documented("yaml"))
    config, real = wanted["providers"][0]["config"], directory.settings(group_search_base=GROUPS_DN)
    password = folder / config["lookup_dn_search_password_file"]
    password.write_text(READER_PASSWORD + "\n", encoding="ascii")
    password.chmod(0o600)
    del real["lookup_dn_search_password"]
    assert config.keys() | {"server_port"} == real.keys() | {"lookup_dn_search_password_file"}
    config |= real
    file = folder / "aizen.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump(settings | wanted), encoding="utf-8")


def test_the_documented_way(tmp_path: Path, chromium: Any) -> None:
    from tests.fixtures.slapd import GROUPS_DN, PASSWORDS, USERS_DN, running_directory

    init, doctor, hub_command, *changes = documented_commands()
    public, hub_port, proxy, service = free_ports(4)
    url = f"http://127.0.0.1:{public}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    environ |= {"AIZEN_SERVICE__PORT": str(service), "HOME": str(tmp_path)}
    (tmp_path / "hub.log").touch()

    def run(command: list[str], **more: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environ | more, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    with running_directory(tmp_path, member_of=False) as directory:
        directory.ldapadd(
            f"dn: cn=scientists,{GROUPS_DN}\nobjectClass: groupOfNames\ncn: scientists\nmember: uid=bob,{USERS_DN}\n"
        )
        run([*init, "--hub-url", url])
        write_directory(tmp_path, directory)
        assert "ldap" in run(doctor)
        ports = [f"--JupyterHub.hub_port={hub_port}", f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{proxy}"]
        process = start_process([*hub_command, *ports], tmp_path, environ)
        hub = HubHandle(url, f"http://127.0.0.1:{service}", tmp_path, {}, process, environ)
        try:
            wait_until_running(hub)
            token = token_of(hub.login("alice", PASSWORDS["alice"], provider="ldap"), "alice")
            for command in changes:
                run(command, AIZEN_HUB_URL=url, AIZEN_HUB_TOKEN=token)
            confirm_rule(chromium, url, "alice", PASSWORDS["alice"])
            question = [str(BIN / "aizen-hub"), "can-i", "enter:project", "--as", "bob", "--project", "churn"]
            with pytest.raises(AssertionError, match="enter:project"):
                run(question, AIZEN_HUB_URL=url, AIZEN_HUB_TOKEN=token)
            hub.login("bob", PASSWORDS["bob"], provider="ldap")
            run(question, AIZEN_HUB_URL=url, AIZEN_HUB_TOKEN=token)
        finally:
            hub.stop()


def confirm_rule(chromium: Any, url: str, name: str, password: str) -> None:
    """Confirm the change that waits, after a new sign-in, in the panel."""
    from tests.fixtures.pages import BrowserUser

    user = BrowserUser(chromium, url)
    user.page.goto("/services/aizen/account")
    user.login(name, password)
    user.page.click("#aizen-sign-in-again")
    user.reauthenticate(password)
    user.page.wait_for_url("**/services/aizen/account")
    user.page.goto("/services/aizen/requests")
    user.page.click("#aizen-changes a[href*='changes/']")
    user.page.click("#aizen-confirm")
    user.page.wait_for_selector("#aizen-confirmed")
    user.context.close()


def token_of(browser: Browser, name: str) -> str:
    page = browser.api("POST", f"/hub/api/users/{name}/tokens", {"note": "test", "expires_in": 600})
    return str(page.json()["token"])
