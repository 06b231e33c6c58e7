"""Login by the form, and the rights of a user at the hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError
from tests.fixtures.hub import HubHandle
from tests.hub.running.hub_log import unexpected

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]


class TestLogin:
    def test_by_a_local_account(self, browser: Callable[..., Browser]) -> None:
        assert browser("erin").name == "erin"

    def test_by_the_directory(self, browser: Callable[..., Browser]) -> None:
        assert browser("alice", "alice-has-a-secret", provider="lab").name == "alice"

    def test_one_page_offers_both(self, hub: HubHandle) -> None:
        page = Browser(hub.url).get("/hub/login")
        assert [field["value"] for field in page.fields if field["tag"] == "option"] == ["local", "lab"]
        assert "Lab directory" in page.words

    @pytest.mark.parametrize(
        ("name", "password", "provider"),
        [
            ("erin", "wrong", "local"),
            ("unknown", "wrong", "local"),
            ("alice", "wrong", "lab"),
            ("unknown", "wrong", "lab"),
            ("alice", "alice-has-a-secret", "local"),
            ("alice", "", "lab"),
            ("*)(uid=*", "alice-has-a-secret", "lab"),
            ("erin", "x", "none-such"),
        ],
    )
    @pytest.mark.proves("T-17", "T-18")
    def test_wrong_is_wrong_in_one_text(self, hub: HubHandle, name: str, password: str, provider: str) -> None:
        with pytest.raises(LoginRejectedError, match=r"^Invalid username or password$"):
            hub.login(name, password, provider=provider)

    def test_an_unregistered_user_gets_the_reason(self, hub: HubHandle) -> None:
        browser = Browser(hub.url)
        with pytest.raises(LoginRejectedError) as refusal:
            browser.login("bob", "bob-has-a-secret", provider="lab")
        assert "Lab directory recognised you as bob. You are not registered here" in str(refusal.value)
        assert "administrator" in str(refusal.value)
        assert browser.get("/hub/home").url.endswith("/hub/login?next=%2Fhub%2Fhome")
        # The page has a heading, and a link to sign in as another user instead of the form.
        page = browser.request("POST", "/hub/login", _form(browser, "bob", "bob-has-a-secret", "lab"))
        assert page.status == 403
        assert "You are not registered here yet" in page.words
        assert 'data-aizen-denied="not-registered"' in page.text
        assert not [field for field in page.fields if field.get("name") == "password"]

    @pytest.mark.proves("R115")
    def test_only_who_was_signed_in_asks_to_be_registered(self, hub: HubHandle) -> None:
        browser = Browser(hub.url)
        with pytest.raises(LoginRejectedError):
            browser.login("bob", "bob-has-a-secret", provider="lab")
        xsrf = urlencode({"_xsrf": browser.xsrf("/hub/")}).encode()
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        stranger = Browser(hub.url)
        stranger.get("/hub/login")
        theirs = urlencode({"_xsrf": stranger.xsrf("/hub/")}).encode()
        assert stranger.request("POST", "/hub/aizen/register", theirs, form).status == 400
        assert browser.request("POST", "/hub/aizen/register", b"", form).status == 403, "without the XSRF token"
        page = browser.request("POST", "/hub/aizen/register", xsrf, form)
        assert page.status == 200
        assert "Your request was sent" in page.words
        assert browser.request("POST", "/hub/aizen/register", xsrf, form).status == 400, "once"

    def test_a_user_outside_the_allowed_groups_gets_the_reason(self, hub: HubHandle) -> None:
        with pytest.raises(LoginRejectedError, match="not in a group that may use this hub"):
            hub.login("carol", "carol-has-a-secret", provider="lab")

    def test_a_locked_user_gets_the_reason(self, hub: HubHandle) -> None:
        with pytest.raises(LoginRejectedError, match="locked"):
            hub.login("stopped")

    @pytest.mark.proves("T-22")
    def test_a_hung_directory_is_named_and_other_logins_work(self, hub: HubHandle, directory: Any) -> None:
        with directory.hung():
            # Its deadline is six seconds, and the directory hangs for as long as the login takes.
            with pytest.raises(LoginRejectedError, match="Lab directory` cannot be reached at the moment"):
                hub.login("alice", "alice-has-a-secret", provider="lab")
            assert hub.login("erin").name == "erin"

    def test_the_password_for_token_endpoint_uses_the_same_checks(self, hub: HubHandle) -> None:
        for auth, status in (
            ({"username": "erin", "password": "wrong"}, 403),
            ({"username": ["erin"], "password": {"x": 1}}, 403),
            ({"username": "bob", "password": "bob-has-a-secret", "provider": "lab"}, 403),
        ):
            page = Browser(hub.url).api("POST", "/hub/api/users/erin/tokens", {"auth": auth})
            assert page.status == status, page.text
        assert unexpected(hub.log) == []

    @pytest.mark.proves("T-15")
    @pytest.mark.parametrize("name", ["BOSS", "bo\u0455s", "\uff42oss", "boss\u200b", "boss\n", "b\u0000oss"])
    def test_no_variant_of_a_name_gives_another_account(self, hub: HubHandle, name: str) -> None:
        try:
            browser = hub.login(name, hub.passwords["erin"], provider="local")
        except LoginRejectedError:
            return
        raise AssertionError(f"{browser.name} signed in")

    @pytest.mark.proves("T-24")
    def test_a_form_without_the_token_against_forgery_is_refused(self, hub: HubHandle) -> None:
        body = f"username=erin&password={hub.passwords['erin']}".encode()
        page = Browser(hub.url).request(
            "POST", "/hub/login", body, {"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert page.status == 403


class TestAdmin:
    def test_no_user_is_administrator_of_the_hub(self, browser: Callable[..., Browser]) -> None:
        model = browser("boss").api("GET", "/hub/api/user").json()
        assert model["admin"] is False
        assert not [
            scope for scope in model["scopes"] if scope.startswith(("admin:", "access:servers!server", "shares"))
        ]
        assert all(scope.endswith("!user=boss") for scope in model["scopes"] if scope.startswith("access:servers"))

    def test_users_reach_the_service_and_no_other_servers(self, browser: Callable[..., Browser]) -> None:
        scopes = browser("erin").api("GET", "/hub/api/user").json()["scopes"]
        assert "access:services!service=aizen" in scopes
        assert [scope for scope in scopes if "access:servers" in scope] == ["access:servers!user=erin"]


def _form(browser: Browser, name: str, password: str, provider: str) -> bytes:
    from urllib.parse import urlencode

    page = browser.get("/hub/login")
    token = next(field["value"] for field in page.fields if field.get("name") == "_xsrf")
    return urlencode({"_xsrf": token, "username": name, "password": password, "provider": provider}).encode()
