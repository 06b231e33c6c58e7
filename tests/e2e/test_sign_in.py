"""Signing in, in a real browser: one page with a form and a button, by a directory, a provider and an own password."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.hub import HubHandle, running_hub
from tests.hub.roads import api_token, with_token

if TYPE_CHECKING:
    from tests.fixtures.oidc_provider_server import Idp
    from tests.fixtures.pages import Person

pytestmark = [
    pytest.mark.needs("browser", "slapd", "oidc"),
    pytest.mark.slow,
]

NEW_PASSWORD = "four unrelated words of mine"


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import projects
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.accounts.users import users
    from aizen_hub.rbac.identity import Identity

    users.create(tx, "alice", provider="lab")
    users.create(tx, "olga", provider="house")
    projects.create(tx, "churn", owner=Identity.user("boss"))
    for name in ("alice", "olga"):
        assignments.grant(tx, ["PROJECT_READER"], "churn", Identity.user(name), reason="test")


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    from tests.fixtures.oidc_provider_server import running_idp

    with running_idp() as running:
        for name in ("olga", "stranger", "alice-elsewhere"):
            running.person(name)
        yield running


@pytest.fixture(scope="module")
def hub(idp: Idp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    from tests.fixtures.slapd import running_directory

    with running_directory(tmp_path_factory.mktemp("d")) as directory:
        settings = {
            "providers": [
                {"name": "lab", "kind": "ldap", "label": "Laboratory", "config": directory.settings()},
                {"name": "local", "kind": "local", "label": "Own password"},
                {"name": "house", "kind": "oidc", "label": "House", "config": idp.settings(oauth_callback_url=None)},
            ]
        }
        accounts = {"boss": "AIZEN_ADMIN"}
        with running_hub(tmp_path_factory.mktemp("h"), settings, accounts=accounts, seed=seed) as running:
            idp.control(redirects=[f"{running.url}/hub/oidc/house/callback"])
            yield running


def by_form(one: Person, provider: str, name: str, password: str) -> None:
    one.page.select_option("#provider_input", provider)
    one.login(name, password)


def at_provider(one: Person, name: str) -> None:
    from tests.fixtures.oidc_provider_server import PASSWORD

    one.page.fill("input[name=login]", name)
    one.page.fill("input[name=password]", PASSWORD)
    one.page.click("button")


def offered(one: Person) -> list[str]:
    """The projects on the start page, where a sign-in ends."""
    one.page.wait_for_url("**/hub/spawn**")
    return list(one.page.locator(".aizen-picker strong").all_inner_texts())


def test_one_page_offers_form_and_button(person: Callable[[], Person]) -> None:
    page = person().page
    assert page.locator("#provider_input option").all_inner_texts() == ["Laboratory", "Own password"]
    assert page.locator("[data-aizen-provider]").all_inner_texts() == ["Sign in with House"]
    # Each field has its label, for people who hear the page.
    for field in ("provider_input", "username_input", "password_input"):
        assert page.locator(f"label[for={field}]").count() == 1, field


def test_the_form_and_a_wrong_password(person: Callable[[], Person]) -> None:
    from tests.fixtures.slapd import PASSWORDS

    alice = person()
    by_form(alice, "lab", "alice", "not my password")
    assert "Invalid username or password" in alice.page.inner_text(".login_error")
    assert alice.page.input_value("#username_input") == "alice"
    assert alice.page.input_value("#password_input") == ""
    by_form(alice, "lab", "alice", PASSWORDS["alice"])
    assert offered(alice) == ["churn"]
    alice.page.goto("/hub/logout")
    alice.page.goto("/hub/login")
    assert alice.page.input_value("#provider_input") == "lab", "the choice is remembered"


def test_the_button_and_a_sign_in_that_was_given_up(person: Callable[[], Person]) -> None:
    olga = person()
    olga.page.click("text=Sign in with House")
    olga.page.wait_for_selector("input[name=login]")
    olga.page.goto("/hub/login")
    olga.page.click("text=Sign in with House")
    at_provider(olga, "olga")
    assert offered(olga) == ["churn"]
    olga.page.go_back()
    olga.page.goto("/hub/home")
    assert "olga" in olga.page.inner_text("nav")


def test_a_person_whom_nobody_registered_reads_what_to_do(person: Callable[[], Person]) -> None:
    from tests.fixtures.slapd import PASSWORDS

    carol = person()
    by_form(carol, "lab", "carol", PASSWORDS["carol"])
    said = carol.page.inner_text("[role=alert]")
    assert "You are not registered here yet" in said
    assert "Laboratory knows you as carol" in said
    assert "administrator" in said
    assert carol.page.locator("#password_input").count() == 0
    carol.page.click("text=Sign in as somebody else")
    carol.page.wait_for_selector("#password_input")
    carol.page.click("text=Sign in with House")
    at_provider(carol, "stranger")
    carol.page.wait_for_selector("[data-aizen-refusal=not-registered]")
    said = carol.page.inner_text("[role=alert]")
    assert "House knows you as stranger" in said
    carol.page.goto("/hub/home")
    assert "/hub/login" in carol.page.url


@pytest.mark.proves("R115")
def test_from_an_activation_link_to_the_form(hub: HubHandle, person: Callable[[], Person]) -> None:
    boss = hub.login("boss", provider="local")
    body = {"name": "nora", "provider": "local"}
    made = with_token(hub, api_token(boss), "POST", "/services/aizen/api/v1/users", body)
    assert made.status == 201, made.text
    link = made.json()["activation"]["link"]
    nora = person()
    by_form(nora, "local", "nora", NEW_PASSWORD)
    assert "Invalid username or password" in nora.page.inner_text(".login_error"), "not before the link was used"
    nora.page.goto(link)
    nora.page.fill("#password", NEW_PASSWORD)
    nora.page.fill("#again", "something else entirely")
    nora.page.click("button[type=submit]")
    assert nora.page.locator("#outcome:has-text('active')").count() == 0
    nora.page.fill("#again", NEW_PASSWORD)
    nora.page.click("button[type=submit]")
    nora.page.wait_for_selector("#outcome:has-text('active')")
    thief = person()
    thief.page.goto(link)
    thief.page.fill("#password", "another password of four words")
    thief.page.fill("#again", "another password of four words")
    thief.page.click("button[type=submit]")
    thief.page.wait_for_function("document.querySelector('#outcome').innerText.trim().length > 0")
    assert "active" not in thief.page.inner_text("#outcome")
    nora.page.goto("/hub/login")
    by_form(nora, "local", "nora", NEW_PASSWORD)
    nora.page.wait_for_url("**/hub/spawn**")
    assert "There is no project for you yet" in nora.words()


@pytest.mark.proves("R77")
def test_a_further_login_is_linked_and_opens_the_same_account(person: Callable[[], Person]) -> None:
    from tests.fixtures.slapd import PASSWORDS

    alice = person()
    by_form(alice, "lab", "alice", PASSWORDS["alice"])
    alice.page.wait_for_url("**/hub/spawn**")
    alice.page.goto("/services/aizen/account")
    alice.page.click("#aizen-again")
    alice.prove_again("not my password")
    assert "not right" in alice.page.inner_text("#aizen-fault")
    alice.prove_again(PASSWORDS["alice"])
    alice.page.wait_for_url("**/account")
    alice.page.click("text=Link a login of House")
    alice.page.click("#aizen-prove")
    at_provider(alice, "alice-elsewhere")
    alice.page.wait_for_url("**/services/aizen/account**")
    assert "House" in alice.page.inner_text("section[aria-labelledby=links-title]")
    elsewhere = person()
    elsewhere.page.click("text=Sign in with House")
    at_provider(elsewhere, "alice-elsewhere")
    assert offered(elsewhere) == ["churn"]
    assert "alice" in elsewhere.page.inner_text("nav")
