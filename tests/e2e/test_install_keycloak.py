"""docs/how-to/keycloak.md as written, with a real Keycloak: sign-in in a browser, and a role by a group's path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.guide import Guide, HubPorts, confirm_change_in_panel
from tests.fixtures.identity.keycloak import Keycloak, running_keycloak

pytestmark = [pytest.mark.needs("keycloak", "browser"), pytest.mark.slow]

PASSWORD = "a password of a user"
KEYCLOAK_MS = 60_000
"""Keycloak compiles its pages when they are first shown, on two cores that other tests use too."""
REQUEST_TOKEN = """async name => {
    const xsrf = document.cookie.split("; ").find(cookie => cookie.startsWith("_xsrf=")).slice("_xsrf=".length);
    const answer = await fetch(`/hub/api/users/${name}/tokens`, {
        method: "POST",
        headers: {"X-XSRFToken": xsrf, "Content-Type": "application/json"},
        body: JSON.stringify({note: "test", expires_in: 600}),
    });
    return (await answer.json()).token;
}"""


def write_provider(guide: Guide, keycloak: Keycloak) -> None:
    """Put the provider of the document into the file of `init`; only issuer and secret are those of this test."""
    wanted = guide.provider()
    (provider,) = wanted["providers"]
    guide.write_secret(provider["config"]["client_secret_file"], keycloak.client_secret("aizen-hub"))
    provider["config"]["issuer"] = keycloak.issuer
    provider["deadline_seconds"] = 20
    guide.write_settings(wanted)


def enter_password(user: Any, name: str, target: str) -> None:
    """Fill in the form of Keycloak, which names a person who signs in again, and wait for an address at the hub."""
    user.page.wait_for_selector("#password", timeout=KEYCLOAK_MS)
    if user.page.locator("input#username:visible").count():
        user.page.fill("#username", name)
    user.page.fill("#password", PASSWORD)
    user.page.click("#kc-login")
    user.page.wait_for_url(target, timeout=KEYCLOAK_MS)


def sign_in(chromium: Any, url: str, name: str) -> Any:
    from tests.fixtures.browser.pages import BrowserUser

    user = BrowserUser(chromium, url)
    user.page.goto("/hub/login")
    user.page.click("[data-aizen-provider=keycloak]")
    enter_password(user, name, f"{url}/hub/**")
    user.page.wait_for_url(lambda address: "/oidc/" not in address, timeout=KEYCLOAK_MS)
    return user


def test_the_documented_way(tmp_path: Path, chromium: Any) -> None:
    guide = Guide(Path("docs/how-to/keycloak.md"), tmp_path)
    init, doctor, hub_command, *changes = guide.commands()
    ports = HubPorts.reserve(guide)
    with running_keycloak(ports.url) as keycloak:
        keycloak.create_user("alice", PASSWORD)
        keycloak.create_user("bob", PASSWORD, ("/projects/churn",))
        guide.run([*init, "--hub-url", ports.url])
        write_provider(guide, keycloak)
        assert "keycloak" in guide.run(doctor)
        with guide.running_hub(hub_command, ports):
            alice = sign_in(chromium, ports.url, "alice")
            token = alice.page.evaluate(REQUEST_TOKEN, "alice")
            credentials = {"AIZEN_HUB_URL": ports.url, "AIZEN_HUB_TOKEN": token}
            for command in changes:
                guide.run(command, **credentials)
            alice.page.goto("/services/aizen/account")
            alice.page.click("#aizen-sign-in-again")
            enter_password(alice, "alice", "**/services/aizen/account")
            confirm_change_in_panel(alice)
            guide.assert_let_in("bob", "churn", lambda: sign_in(chromium, ports.url, "bob"), **credentials)
