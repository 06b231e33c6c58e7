"""Signing out, at a real hub with a real OpenID provider: from here to there, and the provider's word from there."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from aizen_hub.demo.page import Page
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.fixtures.oidc_provider_server import Idp, Traveller, running_idp
from tests.hub.roads import api_token, holds, may, project_of_session, renewed, runs, wait_for, with_token

pytestmark = [pytest.mark.needs("oidc"), pytest.mark.slow]

TOLD = "/hub/oidc/idp/backchannel-logout"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PEOPLE = ("bob", "carol")


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import projects
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.accounts.users import users
    from aizen_hub.rbac.identity import Identity

    projects.create(tx, "churn", owner=Identity.user("maker"))
    for name, provider in (("bob", "idp"), ("carol", "idp"), ("dave", "gentle")):
        users.create(tx, name, provider=provider)
        assignments.grant(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(name), reason="test")


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
        tiny=("bob", "carol", "dave"),
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def honest(idp: Idp, hub: HubHandle) -> None:
    idp.people.clear()
    for name in ("bob", "carol", "dave"):
        idp.person(name)
    idp.control(
        faults={},
        redirects=[f"{hub.url}/hub/oidc/{name}/callback" for name in ("idp", "gentle", "second")],
        logout={
            "post_logout_redirect_uris": [f"{hub.url}/hub/login"],
            "backchannel_logout_uri": hub.url + TOLD,
            "backchannel_logout_session_required": True,
        },
    )


def signed_in(person: Traveller) -> bool:
    return person.api("GET", "/hub/api/user").status == 200


def traveller(hub: HubHandle, name: str, provider: str = "idp") -> Traveller:
    person = Traveller(hub.url)
    page = person.sign_in(provider, name)
    assert person.name == name, page.text
    return person


def tell(hub: HubHandle, token: str, path: str = TOLD) -> Page:
    """Be the provider."""
    return Traveller(hub.url).request("POST", path, urlencode({"logout_token": token}).encode(), FORM)


class TestFromHere:
    def test_signing_out_goes_to_the_provider_and_comes_back(self, hub: HubHandle) -> None:
        bob = traveller(hub, "bob")
        where = urlsplit(bob.stopped("/hub/logout"))
        query = parse_qs(where.query)
        assert where.path == "/session/end"
        assert query["client_id"] == ["hub"]
        assert query["post_logout_redirect_uri"] == [f"{hub.url}/hub/login"]
        assert query["id_token_hint"][0].count(".") == 2
        assert not signed_in(bob)

    def test_somebody_of_the_form_stays_here(self, hub: HubHandle) -> None:
        boss = Traveller(hub.url)
        boss.login("boss", hub.passwords["boss"])
        assert boss.stopped("/hub/logout").startswith("/hub/login")


class TestFromThere:
    @pytest.mark.proves("R46", "R129")
    def test_it_ends_what_the_sign_in_opened_and_nobody_elses(self, hub: HubHandle, idp: Idp) -> None:
        first, second, other = traveller(hub, "bob"), traveller(hub, "bob"), traveller(hub, "carol")
        environ, others = (environment_of(one, one.spawn("churn")) for one in (first, other))
        own, kept = api_token(first), api_token(other)
        assert may(environ)
        assert may(others)
        end = first.stopped("/hub/logout")
        secret = first.get(end).value("xsrf")
        # The provider tells the hub before it answers the browser.
        first.request(
            "POST",
            idp.issuer + "/session/end/confirm",
            urlencode({"xsrf": secret or "", "logout": "yes"}).encode(),
            FORM,
        )
        wait_for(lambda: not signed_in(second), 5)
        assert renewed(environ) is None
        assert not holds(environ, environ["AIZEN_TOKEN"]), "the role token that it had before"
        assert with_token(hub, own, "GET", "/hub/api/user").status == 403
        assert with_token(hub, environ["JUPYTERHUB_API_TOKEN"], "GET", "/hub/api/user").status == 403
        assert project_of_session(hub, "bob") is None
        wait_for(lambda: not runs(hub, "bob"), 15)
        assert signed_in(other)
        assert with_token(hub, kept, "GET", "/hub/api/user").status == 200
        assert may(others)
        assert runs(hub, "carol")
        other.stop()
        again = traveller(hub, "bob")
        assert again.server() is None
        assert environment_of(again, again.spawn("churn"))["AIZEN_PROJECT"] == "churn"
        again.stop()

    def test_the_panel_is_signed_out_too(self, hub: HubHandle, idp: Idp) -> None:
        bob = traveller(hub, "bob")
        assert "My account" in bob.get("/services/aizen/account").words
        assert tell(hub, idp.logout_token("bob")).status == 200
        assert "My account" not in bob.get("/services/aizen/account").words

    def test_a_server_that_is_starting_does_not_get_away(self, hub: HubHandle, idp: Idp) -> None:
        bob = traveller(hub, "bob")
        token = api_token(bob)
        body = {"user_options": {"project": "churn"}}
        assert with_token(hub, token, "POST", "/hub/api/users/bob/server", body).status in (201, 202)
        assert tell(hub, idp.logout_token("bob")).status == 200
        assert project_of_session(hub, "bob") is None
        wait_for(lambda: not runs(hub, "bob"), 30)

    def test_where_the_operator_says_so_kernels_go_on(self, hub: HubHandle, idp: Idp) -> None:
        dave = traveller(hub, "dave", "gentle")
        environ = environment_of(dave, dave.spawn("churn"))
        assert tell(hub, idp.logout_token("dave"), "/hub/oidc/gentle/backchannel-logout").status == 200
        assert not signed_in(dave)
        assert may(environ)
        assert runs(hub, "dave")
        traveller(hub, "dave", "gentle").stop()

    @pytest.mark.parametrize("body", ["", "logout_token=x", "logout_token=a&logout_token=b", "logout_token=a.b.c"])
    def test_only_a_signed_logout_token_counts(self, hub: HubHandle, body: str) -> None:
        page = Traveller(hub.url).request("POST", TOLD, body.encode(), FORM)
        assert page.status == 400
        assert page.json()["error"] == "invalid_request"
        assert page.headers["cache-control"] == "no-store"

    @pytest.mark.proves("T-12")
    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            ({"key": "foreign"}, "signature is wrong"),
            ({"key": "none", "header": {"alg": "none"}}, "compact form"),
            ({"key": "hmac", "header": {"alg": "HS256"}}, "`alg`"),
            ({"flip": True}, "signature is wrong"),
            ({"header": {"kid": "other"}}, "a key that the provider does not publish"),
            ({"header": {"typ": "at+jwt"}}, "`typ`"),
            ({"claims": {"iss": "https://evil.example.org"}}, "`iss`"),
            ({"claims": {"aud": "other"}}, "`aud`"),
            ({"claims": {"aud": ["hub", "other"]}}, "`azp`"),
            ({"claims": {"events": None}}, "`events`"),
            ({"claims": {"events": {"http://schemas.openid.net/event/other": {}}}}, "`events`"),
            ({"claims": {"events": {EVENT: True}}}, "`events`"),
            ({"claims": {"nonce": "n"}}, "`nonce`"),
            ({"claims": {"sub": None}}, "neither a person"),
            ({"claims": {"jti": None}}, "`jti`"),
            ({"claims": {"exp": 1}}, "expired"),
            ({"claims": {"exp": None}}, "`exp`"),
            ({"claims": {"iat": int(time.time()) - 3600}}, "too old"),
            ({"claims": {"iat": int(time.time()) + 3600}}, "future"),
        ],
        ids=lambda one: one if isinstance(one, str) else "told",
    )
    def test_a_false_one_ends_nothing(self, hub: HubHandle, idp: Idp, fault: dict[str, Any], says: str) -> None:
        bob = traveller(hub, "bob")
        page = tell(hub, idp.logout_token("bob", **fault))
        assert page.status == 400
        assert says in page.json()["error_description"]
        assert signed_in(bob)

    def test_one_counts_once(self, hub: HubHandle, idp: Idp) -> None:
        bob, token = traveller(hub, "bob"), idp.logout_token("bob")
        assert tell(hub, token).status == 200
        assert not signed_in(bob)
        again = traveller(hub, "bob")
        page = tell(hub, token)
        assert page.status == 400
        assert "used before" in page.json()["error_description"]
        assert signed_in(again)

    def test_one_provider_speaks_for_its_own_people(self, hub: HubHandle, idp: Idp) -> None:
        bob = traveller(hub, "bob")
        # Another entry of the same issuer is another client, and its people are others.
        assert tell(hub, idp.logout_token("bob"), "/hub/oidc/second/backchannel-logout").status == 400
        assert tell(hub, idp.logout_token("bob"), "/hub/oidc/gentle/backchannel-logout").status == 200
        assert tell(hub, idp.logout_token("nobody")).status == 200
        assert signed_in(bob)

    def test_a_session_of_the_provider_without_a_person_is_enough(self, hub: HubHandle, idp: Idp) -> None:
        bob, watched = traveller(hub, "bob"), traveller(hub, "bob")
        # What the browser takes along when it signs out names the session; the hub keeps that of the last sign-in.
        hint = parse_qs(urlsplit(watched.stopped("/hub/logout")).query)["id_token_hint"][0]
        part = hint.split(".")[1]
        sid = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sid"]
        for other in ("another", sid + "x"):
            assert tell(hub, idp.logout_token("bob", claims={"sub": None, "sid": other})).status == 200
            assert signed_in(bob)
        assert tell(hub, idp.logout_token("bob", claims={"sub": None, "sid": sid})).status == 200
        assert not signed_in(bob)
