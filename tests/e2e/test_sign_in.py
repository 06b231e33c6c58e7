"""Login in a real browser: one page with form and button, for a directory, an identity provider and a password."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.browser.hub_pages import check_hub_page
from tests.fixtures.hub import HubHandle, running_hub
from tests.hub.credentials import create_hub_token, request_with_token

if TYPE_CHECKING:
    from tests.fixtures.browser.pages import BrowserUser
    from tests.fixtures.identity.oidc_provider_server import Idp

pytestmark = [
    pytest.mark.needs("browser", "axe", "slapd", "oidc"),
    pytest.mark.slow,
]

NEW_PASSWORD = "four unrelated words of mine"


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.accounts.users import registration
    from aizen_hub.rbac.identity import Identity

    registration.create_user(tx, "alice", provider="lab")
    registration.create_user(tx, "olga", provider="company")
    lifecycle.create_project(tx, "churn", owner=Identity.user("boss"))
    for name in ("alice", "olga"):
        assignments.grant_roles(tx, ["PROJECT_READER"], "churn", Identity.user(name), reason="test")


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    from tests.fixtures.identity.oidc_provider_server import running_idp

    with running_idp() as running:
        for name in ("olga", "stranger", "alice-elsewhere"):
            running.add_user(name)
        yield running


@pytest.fixture(scope="module")
def hub(idp: Idp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    from tests.fixtures.identity.slapd import running_directory

    with running_directory(tmp_path_factory.mktemp("d")) as directory:
        settings = {
            "providers": [
                {"name": "lab", "kind": "ldap", "label": "Laboratory", "config": directory.settings()},
                {"name": "local", "kind": "local", "label": "Own password"},
                {
                    "name": "company",
                    "kind": "oidc",
                    "label": "Company",
                    "config": idp.settings(oauth_callback_url=None),
                },
            ]
        }
        accounts = {"boss": "AIZEN_ADMIN"}
        with running_hub(tmp_path_factory.mktemp("h"), settings, accounts=accounts, seed=seed) as running:
            idp.control(redirects=[f"{running.url}/hub/oidc/company/callback"])
            yield running


def sign_in_by_form(person: BrowserUser, provider: str, name: str, password: str) -> None:
    person.page.select_option("#provider_input", provider)
    person.login(name, password)


def sign_in_at_provider(person: BrowserUser, name: str) -> None:
    from tests.fixtures.identity.oidc_provider_server import PASSWORD

    person.page.fill("input[name=login]", name)
    person.page.fill("input[name=password]", PASSWORD)
    person.page.click("button")


def offered_projects(person: BrowserUser) -> list[str]:
    """Return the projects on the spawn page, which follows the login."""
    person.page.wait_for_url("**/hub/spawn**")
    return list(person.page.locator(".aizen-options strong").all_inner_texts())


def test_one_page_offers_form_and_button(person: Callable[[], BrowserUser]) -> None:
    page = person().page
    assert page.locator("#provider_input option").all_inner_texts() == ["Laboratory", "Own password"]
    assert page.locator("[data-aizen-provider]").all_inner_texts() == ["Sign in with Company"]
    # Each field has a label, for screen readers.
    for field in ("provider_input", "username_input", "password_input"):
        assert page.locator(f"label[for={field}]").count() == 1, field
    check_hub_page(page)


def test_the_form_and_a_wrong_password(person: Callable[[], BrowserUser]) -> None:
    from tests.fixtures.identity.slapd import PASSWORDS

    alice = person()
    sign_in_by_form(alice, "lab", "alice", "not my password")
    assert "Invalid username or password" in alice.page.inner_text(".login_error")
    check_hub_page(alice.page)
    assert alice.page.input_value("#username_input") == "alice"
    assert alice.page.input_value("#password_input") == ""
    sign_in_by_form(alice, "lab", "alice", PASSWORDS["alice"])
    assert offered_projects(alice) == ["churn"]
    alice.page.goto("/hub/logout")
    alice.page.goto("/hub/login")
    assert alice.page.input_value("#provider_input") == "lab", "the choice is remembered"


def test_the_button_after_an_abandoned_login(person: Callable[[], BrowserUser]) -> None:
    olga = person()
    olga.page.click("text=Sign in with Company")
    olga.page.wait_for_selector("input[name=login]")
    olga.page.goto("/hub/login")
    olga.page.click("text=Sign in with Company")
    sign_in_at_provider(olga, "olga")
    assert offered_projects(olga) == ["churn"]
    olga.page.go_back()
    olga.page.goto("/hub/home")
    assert "olga" in olga.page.inner_text("nav")


def test_an_unregistered_user_gets_instructions(person: Callable[[], BrowserUser]) -> None:
    from tests.fixtures.identity.slapd import PASSWORDS

    carol = person()
    sign_in_by_form(carol, "lab", "carol", PASSWORDS["carol"])
    alert = carol.page.inner_text("[role=alert]")
    assert "You are not registered here yet" in alert
    assert "Laboratory recognised you as carol" in alert
    assert "administrator" in alert
    assert carol.page.locator("#password_input").count() == 0
    check_hub_page(carol.page)
    carol.page.click("#aizen-ask-registration")
    assert "carol asks to be registered" in carol.page.inner_text("#aizen-registration-asked")
    check_hub_page(carol.page)
    carol.page.goto("/hub/login")
    carol.page.wait_for_selector("#password_input")
    carol.page.click("text=Sign in with Company")
    sign_in_at_provider(carol, "stranger")
    carol.page.wait_for_selector("[data-aizen-denied=not-registered]")
    alert = carol.page.inner_text("[role=alert]")
    assert "Company recognised you as stranger" in alert
    carol.page.click("text=Sign in as another user")
    carol.page.wait_for_selector("#password_input")
    carol.page.goto("/hub/home")
    assert "/hub/login" in carol.page.url


@pytest.mark.proves("R115")
def test_from_an_activation_link_to_the_form(hub: HubHandle, person: Callable[[], BrowserUser]) -> None:
    boss = hub.login("boss", provider="local")
    body = {"name": "nora", "provider": "local"}
    created = request_with_token(hub, create_hub_token(boss), "POST", "/services/aizen/api/v1/users", body)
    assert created.status == 201, created.text
    link = created.json()["activation"]["link"]
    nora = person()
    sign_in_by_form(nora, "local", "nora", NEW_PASSWORD)
    assert "Invalid username or password" in nora.page.inner_text(".login_error"), "the link was not used yet"
    assert "open the link that was sent to you" in nora.page.inner_text("#aizen-activation-hint")
    nora.page.goto(link)
    nora.page.fill("#password", NEW_PASSWORD)
    nora.page.fill("#repeated", "something else entirely")
    nora.page.click("button[type=submit]")
    assert nora.page.locator("#outcome:has-text('active')").count() == 0
    nora.page.fill("#repeated", NEW_PASSWORD)
    nora.page.click("button[type=submit]")
    nora.page.wait_for_selector("#outcome:has-text('active')")
    thief = person()
    thief.page.goto(link)
    thief.page.fill("#password", "another password of four words")
    thief.page.fill("#repeated", "another password of four words")
    thief.page.click("button[type=submit]")
    thief.page.wait_for_function("document.querySelector('#outcome').innerText.trim().length > 0")
    assert "active" not in thief.page.inner_text("#outcome")
    nora.page.goto("/hub/login")
    sign_in_by_form(nora, "local", "nora", NEW_PASSWORD)
    nora.page.wait_for_url("**/hub/spawn**")
    assert "you have no role in any project" in nora.visible_text()


@pytest.mark.proves("R77")
def test_a_linked_login_opens_the_same_account(person: Callable[[], BrowserUser]) -> None:
    from tests.fixtures.identity.slapd import PASSWORDS

    alice = person()
    sign_in_by_form(alice, "lab", "alice", PASSWORDS["alice"])
    alice.page.wait_for_url("**/hub/spawn**")
    alice.page.goto("/services/aizen/account")
    alice.page.click("#aizen-sign-in-again")
    alice.reauthenticate("not my password")
    assert "is wrong" in alice.page.inner_text("#aizen-error")
    check_hub_page(alice.page)
    alice.reauthenticate(PASSWORDS["alice"])
    alice.page.wait_for_url("**/account")
    alice.page.click("text=Link a login of Company")
    alice.page.click("#aizen-submit")
    sign_in_at_provider(alice, "alice-elsewhere")
    alice.page.wait_for_url("**/services/aizen/account**")
    assert "Company" in alice.page.inner_text("section[aria-labelledby=links-title]")
    elsewhere = person()
    elsewhere.page.click("text=Sign in with Company")
    sign_in_at_provider(elsewhere, "alice-elsewhere")
    assert offered_projects(elsewhere) == ["churn"]
    assert "alice" in elsewhere.page.inner_text("nav")
