"""A real hub, its proxy and a real OpenID provider: login, spawn, refresh, logout; and forged responses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from aizen_hub.demo.page import HtmlPage
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.fixtures.identity.oidc_provider_server import PASSWORD, Idp, RedirectingBrowser, running_idp
from tests.fixtures.security.jwts import find_jwts

pytestmark = [pytest.mark.needs("oidc"), pytest.mark.slow]


def seed(tx: Any) -> None:
    from aizen_hub.accounts.groups import management
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.accounts.users import registration
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("maker"))
    management.create_group(tx, "/projects/churn", provider="idp")
    management.create_group(tx, "churn", provider="idp")
    assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.group("/projects/churn"), reason="test")
    for name in ("alice", "bob", "carol", "dave"):
        registration.create_user(tx, name, provider="idp")


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    with running_idp() as running:
        yield running


@pytest.fixture(scope="module")
def hub(idp: Idp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    settings = {
        "providers": [
            {"name": "local", "kind": "local", "label": "Local account"},
            idp.entry("idp", auth_state_groups_key="oauth_user.groups"),
            idp.entry("second", client_id="other", client_secret="another-secret"),
        ],
    }
    config = "c.AizenAuthenticator.auth_refresh_age = 1"
    with running_hub(
        tmp_path_factory.mktemp("oidc"),
        settings,
        accounts={"boss": "AIZEN_ADMIN", "maker": "PROJECT_CREATOR"},
        seed=seed,
        config=config,
        fake_servers=("alice", "bob"),
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def reset_provider(idp: Idp, hub: HubHandle) -> None:
    idp.users.clear()
    for name in ("alice", "bob", "carol", "dave"):
        idp.add_user(name, groups=["/projects/churn"])
    idp.add_user("stranger")
    idp.control(
        faults={},
        conform=True,
        rotate=False,
        redirects=[f"{hub.url}/hub/oidc/{name}/callback" for name in ("idp", "second")],
        logout={
            "post_logout_redirect_uris": [f"{hub.url}/hub/login"],
            "backchannel_logout_uri": f"{hub.url}/hub/oidc/idp/backchannel-logout",
            "backchannel_logout_session_required": True,
        },
    )


def signed_in(person: RedirectingBrowser) -> bool:
    return person.api("GET", "/hub/api/user").status == 200


def buttons(page: HtmlPage) -> list[str]:
    return [part.split('"')[0] for part in page.text.split('data-aizen-provider="')[1:]]


class TestPage:
    def test_one_page_with_form_and_buttons(self, hub: HubHandle) -> None:
        page = RedirectingBrowser(hub.url).get("/hub/login")
        assert {"username", "password", "provider"} <= {field.get("name") for field in page.fields}
        assert buttons(page) == ["idp", "second"]
        assert "Sign in with Lab idp" in page.words

    def test_the_form_still_works(self, hub: HubHandle) -> None:
        boss = RedirectingBrowser(hub.url)
        boss.login("boss", hub.passwords["boss"])
        assert signed_in(boss)

    def test_the_choice_is_remembered(self, hub: HubHandle) -> None:
        alice = RedirectingBrowser(hub.url)
        alice.sign_in("second", "alice")  # no user of that provider is registered, so nothing is remembered
        assert "You used this last time" not in alice.get("/hub/login").words
        alice.sign_in("idp", "bob")
        alice.get("/hub/logout")
        page = alice.get("/hub/login")
        assert "You used this last time" in page.words
        assert buttons(page)[0] == "idp"
        # The remembered name from the browser is compared with the list, and not used otherwise.
        page = RedirectingBrowser(hub.url).get("/hub/login", Cookie='aizen-provider="><script>')
        assert "<script>&" not in page.text
        assert '"><script>' not in page.text.partition("aizen-buttons")[2].partition("</div>")[0]

    @pytest.mark.parametrize(
        ("wanted", "lands"),
        [
            ("/hub/token", "/hub/token"),
            ("https://evil.example.org/", "/hub/"),
            ("//evil.example.org/", "/hub/"),
            ("\\\\evil.example.org", "/hub/"),
            ("javascript:alert(1)", "/hub/"),
        ],
    )
    @pytest.mark.proves("R120", "T-34")
    def test_next_stays_on_this_hub(self, hub: HubHandle, wanted: str, lands: str) -> None:
        carol = RedirectingBrowser(hub.url)
        page = carol.sign_in("idp", "carol", query="?" + urlencode({"next": wanted}))
        assert page.url.startswith(hub.url + lands), page.url


class TestLogin:
    @pytest.mark.proves("R63", "T-50")
    def test_login_spawn_and_a_removed_group(self, hub: HubHandle, idp: Idp) -> None:
        alice = RedirectingBrowser(hub.url)
        page = alice.sign_in("idp", "alice")
        assert alice.name == "alice", page.text
        assert alice.offered_projects() == ["churn"]
        environment = environment_of(alice, alice.spawn("churn"))
        assert environment["AIZEN_PROJECT"] == "churn"
        # Neither the provider's tokens nor the client's secret are in a server.
        assert "the-secret-of-the-hub" not in json.dumps(environment)
        assert "refresh" not in json.dumps(environment).lower()
        alice.stop()
        idp.add_user("alice", groups=["churn"])  # the leaf of the path is another group
        time.sleep(1.1)
        assert alice.offered_projects() == []
        assert signed_in(alice)

    def test_a_replaced_refresh_token_is_stored(self, hub: HubHandle, idp: Idp) -> None:
        idp.control(rotate=True)
        bob = RedirectingBrowser(hub.url)
        bob.sign_in("idp", "bob")
        for _ in range(3):
            time.sleep(1.1)
            assert signed_in(bob)

    def test_a_user_removed_at_the_provider_is_signed_out(self, hub: HubHandle, idp: Idp) -> None:
        bob = RedirectingBrowser(hub.url)
        bob.sign_in("idp", "bob")
        idp.control(people={})
        time.sleep(1.1)
        assert not signed_in(bob)

    def test_users_stay_signed_in_during_a_short_outage(self, hub: HubHandle, idp: Idp) -> None:
        bob = RedirectingBrowser(hub.url)
        bob.sign_in("idp", "bob")
        idp.control(faults={"token": {"status": 503}})
        time.sleep(1.1)
        assert signed_in(bob)
        page = RedirectingBrowser(hub.url).sign_in("idp", "carol")
        assert page.status == 503
        assert "cannot be reached" in page.alert
        idp.control(faults={"token": {"delay": 60_000}})
        before = idp.control()["calls"]["token"]
        time.sleep(1.1)
        with ThreadPoolExecutor(1) as pool:
            refreshing, answers = pool.submit(signed_in, bob), 0
            while idp.control()["calls"]["token"] == before:
                assert not refreshing.done()
            # A hub that waited for the provider would not respond before the end of the refresh.
            while not refreshing.done():
                assert RedirectingBrowser(hub.url).get("/hub/health").status == 200
                answers += 1
            assert refreshing.result()
        assert answers > 2

    def test_a_malformed_claim_is_named_on_the_page(self, hub: HubHandle, idp: Idp) -> None:
        idp.add_user("carol", groups="AIZEN_ADMIN")
        page = RedirectingBrowser(hub.url).sign_in("idp", "carol")
        assert page.status == 403
        assert "oauth_user.groups" in page.alert
        assert "one text" in page.alert

    def test_an_unregistered_user_is_told_what_to_do(self, hub: HubHandle) -> None:
        page = RedirectingBrowser(hub.url).sign_in("idp", "stranger")
        assert page.status == 403
        assert "Lab idp recognised you as stranger" in page.alert

    @pytest.mark.proves("T-16", "R32")
    def test_a_second_subject_with_the_same_name_is_denied(self, hub: HubHandle, idp: Idp) -> None:
        RedirectingBrowser(hub.url).sign_in("idp", "dave")
        idp.add_user("dave", sub="another-subject", groups=["/projects/churn"])
        other = RedirectingBrowser(hub.url)
        page = other.sign_in("idp", "dave")
        assert not signed_in(other)
        assert page.status == 403
        idp.add_user("dave")
        # The same subject by another provider entry of the same issuer is another identity.
        assert RedirectingBrowser(hub.url).sign_in("second", "dave").status == 403


class TestForgery:
    """R26 and T-56: a response counts once, in the browser of the request, from the provider of the request."""

    def callback(
        self, hub: HubHandle, person: RedirectingBrowser, provider: str = "idp", name: str = "carol"
    ) -> dict[str, str]:
        back = person.redirect_target(f"/hub/oidc/{provider}/login")
        for _ in range(12):
            if back.startswith(f"{hub.url}/hub/oidc/"):
                break
            back = person.redirect_target(
                back, {"login": name, "password": PASSWORD} if "/interaction/" in back else None
            )
        return {key: values[0] for key, values in parse_qs(urlsplit(back).query).items()}

    def test_the_callback_works_once(self, hub: HubHandle) -> None:
        carol = RedirectingBrowser(hub.url)
        callback_args = self.callback(hub, carol)
        cookies = carol.cookies_for(f"{hub.url}/hub/oidc/idp/callback")
        path = "/hub/oidc/idp/callback?" + urlencode(callback_args)
        assert carol.get(path).status == 200
        assert signed_in(carol)
        # Neither the same browser again, nor another one with a copy of its cookies.
        assert carol.get(path).status == 400
        thief = RedirectingBrowser(hub.url)
        assert thief.get(path, Cookie=cookies).status == 400
        assert not signed_in(thief)

    @pytest.mark.parametrize(
        "change",
        [
            {"state": "x" * 43},
            {"state": ""},
            {"iss": "https://evil.example.org"},
            {"iss": ""},
            {"code": ""},
            {"code": "made-up"},
        ],
        ids=str,
    )
    @pytest.mark.proves("R26", "T-56")
    def test_a_changed_response_is_rejected(self, hub: HubHandle, change: dict[str, str]) -> None:
        carol = RedirectingBrowser(hub.url)
        callback_args = {**self.callback(hub, carol), **change}
        callback_args = {key: value for key, value in callback_args.items() if value}
        page = carol.get("/hub/oidc/idp/callback?" + urlencode(callback_args))
        assert page.status == 400
        assert "start again" in page.alert
        assert not signed_in(carol)

    @pytest.mark.proves("R26")
    def test_a_repeated_parameter_is_rejected(self, hub: HubHandle) -> None:
        carol = RedirectingBrowser(hub.url)
        callback_args = self.callback(hub, carol)
        for extra in ("state", "code", "iss"):
            page = carol.get("/hub/oidc/idp/callback?" + urlencode([*callback_args.items(), (extra, "x")]))
            assert page.status == 400
        assert not signed_in(carol)

    @pytest.mark.proves("R26")
    def test_another_browser_cannot_be_signed_in(self, hub: HubHandle) -> None:
        callback_args = self.callback(hub, RedirectingBrowser(hub.url))
        victim = RedirectingBrowser(hub.url)
        assert victim.get("/hub/oidc/idp/callback?" + urlencode(callback_args)).status == 400
        victim.redirect_target("/hub/oidc/idp/login")  # even with a login of its own in progress
        assert victim.get("/hub/oidc/idp/callback?" + urlencode(callback_args)).status == 400
        assert not signed_in(victim)

    @pytest.mark.proves("R26", "T-56")
    def test_a_response_of_one_provider_is_rejected_for_another(self, hub: HubHandle) -> None:
        carol = RedirectingBrowser(hub.url)
        callback_args = self.callback(hub, carol, "idp")
        carol.redirect_target("/hub/oidc/second/login")
        assert carol.get("/hub/oidc/second/callback?" + urlencode(callback_args)).status == 400
        assert not signed_in(carol)

    def test_the_providers_error_is_escaped(self, hub: HubHandle) -> None:
        page = RedirectingBrowser(hub.url).sign_in("idp", "denied-user")
        assert page.status == 403
        assert "access_denied" in page.alert
        assert "<b>no</b>" not in page.text

    def test_form_and_token_endpoint_do_not_accept_an_identity(self, hub: HubHandle) -> None:
        thief = RedirectingBrowser(hub.url)
        form = thief.get("/hub/login")
        fields = {
            "username": "carol",
            "password": PASSWORD,
            "provider": "idp",
            "identity": "x",
            "_xsrf": next(field["value"] for field in form.fields if field.get("name") == "_xsrf"),
        }
        assert thief._submit("/hub/login", fields).status in (400, 403)
        body = {"auth": {"username": "carol", "password": PASSWORD, "provider": "idp", "identity": {"provider": "idp"}}}
        assert thief.api("POST", "/hub/api/users/carol/tokens", body).status == 403
        assert not signed_in(thief)

    @pytest.mark.proves("R98")
    def test_codes_and_states_are_in_no_log(self, hub: HubHandle) -> None:
        carol = RedirectingBrowser(hub.url)
        rejected = self.callback(hub, carol)
        carol.get("/hub/oidc/idp/callback?" + urlencode({**rejected, "iss": "https://evil.example.org"}))
        accepted = self.callback(hub, carol)
        carol.get("/hub/oidc/idp/callback?" + urlencode(accepted))
        assert signed_in(carol)
        for response in (rejected, accepted):
            assert response["code"] not in hub.log
            assert response["state"] not in hub.log
        assert find_jwts(hub.log) == []
