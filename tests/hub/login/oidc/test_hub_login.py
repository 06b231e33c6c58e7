"""A real hub, its proxy and a real OpenID provider: button, sign-in, spawn, refresh, sign-out; and forged answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from aizen_hub.demo.page import Page
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.fixtures.oidc_provider_server import PASSWORD, Idp, Traveller, running_idp

pytestmark = [pytest.mark.needs("oidc"), pytest.mark.slow]


def seed(tx: Any) -> None:
    from aizen_hub.accounts.groups import groups
    from aizen_hub.accounts.projects import projects
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.accounts.users import users
    from aizen_hub.rbac.identity import Identity

    projects.create(tx, "churn", owner=Identity.user("maker"))
    groups.create(tx, "/projects/churn", provider="idp")
    groups.create(tx, "churn", provider="idp")
    assignments.grant(tx, ["PROJECT_EXECUTOR"], "churn", Identity.group("/projects/churn"), reason="test")
    for name in ("alice", "bob", "carol", "dave"):
        users.create(tx, name, provider="idp")


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
        tiny=("alice", "bob"),
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def honest(idp: Idp, hub: HubHandle) -> None:
    idp.people.clear()
    for name in ("alice", "bob", "carol", "dave"):
        idp.person(name, groups=["/projects/churn"])
    idp.person("stranger")
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


def signed_in(person: Traveller) -> bool:
    return person.api("GET", "/hub/api/user").status == 200


def buttons(page: Page) -> list[str]:
    return [part.split('"')[0] for part in page.text.split('data-aizen-provider="')[1:]]


class TestPage:
    def test_one_page_with_form_and_buttons(self, hub: HubHandle) -> None:
        page = Traveller(hub.url).get("/hub/login")
        assert {"username", "password", "provider"} <= {one.get("name") for one in page.fields}
        assert buttons(page) == ["idp", "second"]
        assert "Sign in with Lab idp" in page.words

    def test_the_form_works_beside_them(self, hub: HubHandle) -> None:
        boss = Traveller(hub.url)
        boss.login("boss", hub.passwords["boss"])
        assert signed_in(boss)

    def test_the_choice_is_remembered(self, hub: HubHandle) -> None:
        alice = Traveller(hub.url)
        alice.sign_in("second", "alice")  # nobody there is registered by this name, so nothing is remembered
        assert "You used this last time" not in alice.get("/hub/login").words
        alice.sign_in("idp", "bob")
        alice.get("/hub/logout")
        page = alice.get("/hub/login")
        assert "You used this last time" in page.words
        assert buttons(page)[0] == "idp"
        # What a browser claims to remember is looked for in the list, and goes nowhere else.
        page = Traveller(hub.url).get("/hub/login", Cookie='aizen-provider="><script>')
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
    def test_next_stays_here(self, hub: HubHandle, wanted: str, lands: str) -> None:
        carol = Traveller(hub.url)
        page = carol.sign_in("idp", "carol", query="?" + urlencode({"next": wanted}))
        assert page.url.startswith(hub.url + lands), page.url


class TestJourney:
    @pytest.mark.proves("R63", "T-50")
    def test_button_sign_in_spawn_and_a_group_taken_away(self, hub: HubHandle, idp: Idp) -> None:
        alice = Traveller(hub.url)
        page = alice.sign_in("idp", "alice")
        assert alice.name == "alice", page.text
        assert alice.choices() == ["churn"]
        environment = environment_of(alice, alice.spawn("churn"))
        assert environment["AIZEN_PROJECT"] == "churn"
        # Neither the provider's tokens nor the client's secret are in a server.
        assert "the-secret-of-the-hub" not in json.dumps(environment)
        assert "refresh" not in json.dumps(environment).lower()
        alice.stop()
        idp.person("alice", groups=["churn"])  # the leaf of the path is another group
        time.sleep(1.1)
        assert alice.choices() == []
        assert signed_in(alice)

    def test_a_replaced_refresh_token_is_stored(self, hub: HubHandle, idp: Idp) -> None:
        idp.control(rotate=True)
        bob = Traveller(hub.url)
        bob.sign_in("idp", "bob")
        for _ in range(3):
            time.sleep(1.1)
            assert signed_in(bob)

    def test_gone_at_the_provider_is_gone_here(self, hub: HubHandle, idp: Idp) -> None:
        bob = Traveller(hub.url)
        bob.sign_in("idp", "bob")
        idp.control(people={})
        time.sleep(1.1)
        assert not signed_in(bob)

    def test_an_outage_keeps_people_in_for_the_grace(self, hub: HubHandle, idp: Idp) -> None:
        bob = Traveller(hub.url)
        bob.sign_in("idp", "bob")
        idp.control(faults={"token": {"status": 503}})
        time.sleep(1.1)
        assert signed_in(bob)
        page = Traveller(hub.url).sign_in("idp", "carol")
        assert page.status == 503
        assert "cannot be reached" in page.alert
        idp.control(faults={"token": {"delay": 10_000}})
        time.sleep(1.1)
        started = time.monotonic()
        assert Traveller(hub.url).get("/hub/health").status == 200
        assert time.monotonic() - started < 0.5
        assert signed_in(bob)

    def test_a_malformed_claim_names_itself_on_the_page(self, hub: HubHandle, idp: Idp) -> None:
        idp.person("carol", groups="AIZEN_ADMIN")
        page = Traveller(hub.url).sign_in("idp", "carol")
        assert page.status == 403
        assert "oauth_user.groups" in page.alert
        assert "one text" in page.alert

    def test_an_unregistered_person_reads_what_to_do(self, hub: HubHandle) -> None:
        page = Traveller(hub.url).sign_in("idp", "stranger")
        assert page.status == 403
        assert "Lab idp knows you as stranger" in page.alert

    @pytest.mark.proves("T-16", "R32")
    def test_a_second_subject_of_one_name_is_refused(self, hub: HubHandle, idp: Idp) -> None:
        Traveller(hub.url).sign_in("idp", "dave")
        idp.person("dave", sub="somebody-else", groups=["/projects/churn"])
        other = Traveller(hub.url)
        page = other.sign_in("idp", "dave")
        assert not signed_in(other)
        assert page.status == 403
        idp.person("dave")
        # The same subject by another provider of the same issuer is another identity still.
        assert Traveller(hub.url).sign_in("second", "dave").status == 403


class TestForgery:
    """R26 and T-56: an answer counts once, in the browser that asked, from the provider that was asked."""

    def callback(self, hub: HubHandle, person: Traveller, provider: str = "idp", name: str = "carol") -> dict[str, str]:
        back = person.stopped(f"/hub/oidc/{provider}/login")
        for _ in range(12):
            if back.startswith(f"{hub.url}/hub/oidc/"):
                break
            back = person.stopped(back, {"login": name, "password": PASSWORD} if "/interaction/" in back else None)
        return {key: values[0] for key, values in parse_qs(urlsplit(back).query).items()}

    def test_the_way_back_works_once(self, hub: HubHandle) -> None:
        carol = Traveller(hub.url)
        told = self.callback(hub, carol)
        cookies = carol.cookies_for(f"{hub.url}/hub/oidc/idp/callback")
        path = "/hub/oidc/idp/callback?" + urlencode(told)
        assert carol.get(path).status == 200
        assert signed_in(carol)
        # Neither the same browser again, nor another with a copy of its cookies.
        assert carol.get(path).status == 400
        thief = Traveller(hub.url)
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
    def test_a_changed_answer_is_refused(self, hub: HubHandle, change: dict[str, str]) -> None:
        carol = Traveller(hub.url)
        told = {**self.callback(hub, carol), **change}
        told = {key: value for key, value in told.items() if value}
        page = carol.get("/hub/oidc/idp/callback?" + urlencode(told))
        assert page.status == 400
        assert "start again" in page.alert
        assert not signed_in(carol)

    @pytest.mark.proves("R26")
    def test_a_doubled_parameter_is_refused(self, hub: HubHandle) -> None:
        carol = Traveller(hub.url)
        told = self.callback(hub, carol)
        for extra in ("state", "code", "iss"):
            page = carol.get("/hub/oidc/idp/callback?" + urlencode([*told.items(), (extra, "x")]))
            assert page.status == 400
        assert not signed_in(carol)

    @pytest.mark.proves("R26")
    def test_another_browser_cannot_be_signed_in(self, hub: HubHandle) -> None:
        told = self.callback(hub, Traveller(hub.url))
        victim = Traveller(hub.url)
        assert victim.get("/hub/oidc/idp/callback?" + urlencode(told)).status == 400
        victim.stopped("/hub/oidc/idp/login")  # with a flow of its own, too
        assert victim.get("/hub/oidc/idp/callback?" + urlencode(told)).status == 400
        assert not signed_in(victim)

    @pytest.mark.proves("R26", "T-56")
    def test_an_answer_for_one_provider_is_none_for_another(self, hub: HubHandle) -> None:
        carol = Traveller(hub.url)
        told = self.callback(hub, carol, "idp")
        carol.stopped("/hub/oidc/second/login")
        assert carol.get("/hub/oidc/second/callback?" + urlencode(told)).status == 400
        assert not signed_in(carol)

    def test_the_providers_words_are_text(self, hub: HubHandle) -> None:
        page = Traveller(hub.url).sign_in("idp", "nobody-refused")
        assert page.status == 403
        assert "access_denied" in page.alert
        assert "<b>no</b>" not in page.text

    def test_the_form_and_the_token_address_do_not_take_it(self, hub: HubHandle) -> None:
        thief = Traveller(hub.url)
        form = thief.get("/hub/login")
        fields = {
            "username": "carol",
            "password": PASSWORD,
            "provider": "idp",
            "proof": "x",
            "_xsrf": next(one["value"] for one in form.fields if one.get("name") == "_xsrf"),
        }
        assert thief._submit("/hub/login", fields).status in (400, 403)
        body = {"auth": {"username": "carol", "password": PASSWORD, "provider": "idp", "proof": {"provider": "idp"}}}
        assert thief.api("POST", "/hub/api/users/carol/tokens", body).status == 403
        assert not signed_in(thief)

    @pytest.mark.proves("R98")
    def test_codes_and_states_are_in_no_log(self, hub: HubHandle) -> None:
        carol = Traveller(hub.url)
        told = self.callback(hub, carol)
        carol.get("/hub/oidc/idp/callback?" + urlencode({**told, "iss": "https://evil.example.org"}))
        told = self.callback(hub, carol)
        carol.get("/hub/oidc/idp/callback?" + urlencode(told))
        assert signed_in(carol)
        assert told["code"] not in hub.log
        assert told["state"] not in hub.log
        assert "eyJ" not in hub.log
