"""Logout at a real hub with a real OpenID provider: started at the hub, and by back-channel logout."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from aizen_hub.demo.page import HtmlPage
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.fixtures.identity.oidc_provider_server import Idp, RedirectingBrowser, running_idp
from tests.hub.credentials import (
    create_hub_token,
    has_running_server,
    is_allowed_now,
    is_allowed_with,
    project_of_session,
    renew_role_token,
    request_with_token,
    wait_until,
)

pytestmark = [pytest.mark.needs("oidc"), pytest.mark.slow]

BACKCHANNEL = "/hub/oidc/idp/backchannel-logout"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PEOPLE = ("bob", "carol")


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.accounts.users import registration
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("maker"))
    for name, provider in (("bob", "idp"), ("carol", "idp"), ("dave", "gentle")):
        registration.create_user(tx, name, provider=provider)
        assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(name), reason="test")


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    with running_idp() as running:
        yield running


@pytest.fixture(scope="module")
def hub(idp: Idp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    settings = {
        "providers": [
            {"name": "local", "kind": "local", "label": "Local account"},
            idp.entry("idp"),
            idp.entry("gentle", logout_ends_servers=False),
            idp.entry("second", client_id="other", client_secret="another-secret"),
        ],
    }
    with running_hub(
        tmp_path_factory.mktemp("logout"),
        settings,
        accounts={"boss": "AIZEN_ADMIN", "maker": "PROJECT_CREATOR"},
        seed=seed,
        fake_servers=("bob", "carol", "dave"),
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def reset_provider(idp: Idp, hub: HubHandle) -> None:
    idp.users.clear()
    for name in ("bob", "carol", "dave"):
        idp.add_user(name)
    idp.control(
        faults={},
        redirects=[f"{hub.url}/hub/oidc/{name}/callback" for name in ("idp", "gentle", "second")],
        logout={
            "post_logout_redirect_uris": [f"{hub.url}/hub/login"],
            "backchannel_logout_uri": hub.url + BACKCHANNEL,
            "backchannel_logout_session_required": True,
        },
    )


def signed_in(person: RedirectingBrowser) -> bool:
    return person.api("GET", "/hub/api/user").status == 200


def login(hub: HubHandle, name: str, provider: str = "idp") -> RedirectingBrowser:
    person = RedirectingBrowser(hub.url)
    page = person.sign_in(provider, name)
    assert person.name == name, page.text
    return person


def send_logout(hub: HubHandle, token: str, path: str = BACKCHANNEL) -> HtmlPage:
    """Send a back-channel logout as the provider does."""
    return RedirectingBrowser(hub.url).request("POST", path, urlencode({"logout_token": token}).encode(), FORM)


class TestLogoutAtTheHub:
    def test_logout_redirects_to_the_provider_and_back(self, hub: HubHandle) -> None:
        bob = login(hub, "bob")
        target = urlsplit(bob.redirect_target("/hub/logout"))
        query = parse_qs(target.query)
        assert target.path == "/session/end"
        assert query["client_id"] == ["hub"]
        assert query["post_logout_redirect_uri"] == [f"{hub.url}/hub/login"]
        assert query["id_token_hint"][0].count(".") == 2
        assert not signed_in(bob)

    def test_a_local_user_is_not_redirected(self, hub: HubHandle) -> None:
        boss = RedirectingBrowser(hub.url)
        boss.login("boss", hub.passwords["boss"])
        assert boss.redirect_target("/hub/logout").startswith("/hub/login")


class TestBackchannelLogout:
    @pytest.mark.proves("R46", "R129")
    def test_it_ends_everything_of_this_user_only(self, hub: HubHandle, idp: Idp) -> None:
        first, second, other = login(hub, "bob"), login(hub, "bob"), login(hub, "carol")
        environ, others = (environment_of(browser, browser.spawn("churn")) for browser in (first, other))
        own, other_token = create_hub_token(first), create_hub_token(other)
        assert is_allowed_now(environ)
        assert is_allowed_now(others)
        end = first.redirect_target("/hub/logout")
        secret = first.get(end).value("xsrf")
        # The provider notifies the hub before it responds to the browser.
        first.request(
            "POST",
            idp.issuer + "/session/end/confirm",
            urlencode({"xsrf": secret or "", "logout": "yes"}).encode(),
            FORM,
        )
        wait_until(lambda: not signed_in(second), 30)
        assert renew_role_token(environ) is None
        assert not is_allowed_with(environ, environ["AIZEN_TOKEN"]), "the previous role token"
        assert request_with_token(hub, own, "GET", "/hub/api/user").status == 403
        assert request_with_token(hub, environ["JUPYTERHUB_API_TOKEN"], "GET", "/hub/api/user").status == 403
        assert project_of_session(hub, "bob") is None
        wait_until(lambda: not has_running_server(hub, "bob"), 30)
        assert signed_in(other)
        assert request_with_token(hub, other_token, "GET", "/hub/api/user").status == 200
        assert is_allowed_now(others)
        assert has_running_server(hub, "carol")
        other.stop()
        again = login(hub, "bob")
        assert again.server() is None
        assert environment_of(again, again.spawn("churn"))["AIZEN_PROJECT"] == "churn"
        again.stop()

    def test_the_panel_is_signed_out_too(self, hub: HubHandle, idp: Idp) -> None:
        bob = login(hub, "bob")
        assert "My account" in bob.get("/services/aizen/account").words
        assert send_logout(hub, idp.logout_token("bob")).status == 200
        assert "My account" not in bob.get("/services/aizen/account").words

    def test_a_starting_server_is_stopped_too(self, hub: HubHandle, idp: Idp) -> None:
        bob = login(hub, "bob")
        token = create_hub_token(bob)
        body = {"user_options": {"project": "churn"}}
        assert request_with_token(hub, token, "POST", "/hub/api/users/bob/server", body).status in (201, 202)
        assert send_logout(hub, idp.logout_token("bob")).status == 200
        assert project_of_session(hub, "bob") is None
        wait_until(lambda: not has_running_server(hub, "bob"), 30)

    def test_kernels_keep_running_where_configured(self, hub: HubHandle, idp: Idp) -> None:
        dave = login(hub, "dave", "gentle")
        environ = environment_of(dave, dave.spawn("churn"))
        assert send_logout(hub, idp.logout_token("dave"), "/hub/oidc/gentle/backchannel-logout").status == 200
        assert not signed_in(dave)
        assert is_allowed_now(environ)
        assert has_running_server(hub, "dave")
        login(hub, "dave", "gentle").stop()

    @pytest.mark.parametrize("body", ["", "logout_token=x", "logout_token=a&logout_token=b", "logout_token=a.b.c"])
    def test_only_a_signed_logout_token_is_accepted(self, hub: HubHandle, body: str) -> None:
        page = RedirectingBrowser(hub.url).request("POST", BACKCHANNEL, body.encode(), FORM)
        assert page.status == 400
        assert page.json()["error"] == "invalid_request"
        assert page.headers["cache-control"] == "no-store"

    @pytest.mark.proves("T-12")
    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            ({"key": "foreign"}, "signature is invalid"),
            ({"key": "none", "header": {"alg": "none"}}, "compact form"),
            ({"key": "hmac", "header": {"alg": "HS256"}}, "`alg`"),
            ({"flip": True}, "signature is invalid"),
            ({"header": {"kid": "other"}}, "the provider does not publish its key"),
            ({"header": {"typ": "at+jwt"}}, "`typ`"),
            ({"claims": {"iss": "https://evil.example.org"}}, "`iss`"),
            ({"claims": {"aud": "other"}}, "`aud`"),
            ({"claims": {"aud": ["hub", "other"]}}, "`azp`"),
            ({"claims": {"events": None}}, "`events`"),
            ({"claims": {"events": {"http://schemas.openid.net/event/other": {}}}}, "`events`"),
            ({"claims": {"events": {EVENT: True}}}, "`events`"),
            ({"claims": {"nonce": "n"}}, "`nonce`"),
            ({"claims": {"sub": None}}, "neither a user"),
            ({"claims": {"jti": None}}, "`jti`"),
            ({"claims": {"exp": 1}}, "expired"),
            ({"claims": {"exp": None}}, "`exp`"),
            ({"claims": {"iat": int(time.time()) - 3600}}, "too old"),
            ({"claims": {"iat": int(time.time()) + 1_000_000}}, "future"),
        ],
        ids=lambda one: one if isinstance(one, str) else "fault",
    )
    def test_an_invalid_token_ends_nothing(self, hub: HubHandle, idp: Idp, fault: dict[str, Any], says: str) -> None:
        bob = login(hub, "bob")
        page = send_logout(hub, idp.logout_token("bob", **fault))
        assert page.status == 400
        assert says in page.json()["error_description"]
        assert signed_in(bob)

    def test_a_token_is_accepted_once(self, hub: HubHandle, idp: Idp) -> None:
        bob, token = login(hub, "bob"), idp.logout_token("bob")
        assert send_logout(hub, token).status == 200
        assert not signed_in(bob)
        again = login(hub, "bob")
        page = send_logout(hub, token)
        assert page.status == 400
        assert "used before" in page.json()["error_description"]
        assert signed_in(again)

    def test_a_provider_can_end_sessions_of_its_own_users_only(self, hub: HubHandle, idp: Idp) -> None:
        bob = login(hub, "bob")
        # Another provider entry of the same issuer is another client with other users.
        assert send_logout(hub, idp.logout_token("bob"), "/hub/oidc/second/backchannel-logout").status == 400
        assert send_logout(hub, idp.logout_token("bob"), "/hub/oidc/gentle/backchannel-logout").status == 200
        assert send_logout(hub, idp.logout_token("unknown")).status == 200
        assert signed_in(bob)

    def test_a_session_id_without_a_subject_is_enough(self, hub: HubHandle, idp: Idp) -> None:
        bob, watched = login(hub, "bob"), login(hub, "bob")
        # The logout redirect contains the session id; the hub stores that of the last login.
        hint = parse_qs(urlsplit(watched.redirect_target("/hub/logout")).query)["id_token_hint"][0]
        part = hint.split(".")[1]
        sid = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sid"]
        for other in ("another", sid + "x"):
            assert send_logout(hub, idp.logout_token("bob", claims={"sub": None, "sid": other})).status == 200
            assert signed_in(bob)
        assert send_logout(hub, idp.logout_token("bob", claims={"sub": None, "sid": sid})).status == 200
        assert not signed_in(bob)
