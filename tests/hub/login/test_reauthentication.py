"""Fresh sign-ins and further logins at a real hub, by a real directory and a real OpenID provider (R77)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from aizen_hub.demo.browser import LoginRefused
from aizen_hub.demo.page import Page
from tests.fixtures.hub import HubHandle, running_hub
from tests.fixtures.oidc_provider_server import PASSWORD, Idp, Traveller, running_idp
from tests.hub.roads import recorded, store

pytestmark = [pytest.mark.needs("slapd", "oidc"), pytest.mark.slow]

CONFIRM, LINK = "/hub/aizen/confirm?page=account", "/hub/aizen/link?provider="
ACCOUNT = "/services/aizen/account"
FRESH = 15 * 60


def seed(tx: Any) -> None:
    from aizen_hub.accounts.users import users

    for name in ("alice", "carol"):
        users.create(tx, name, provider="lab")
    for name in ("olga", "otto"):
        users.create(tx, name, provider="idp")


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    with running_idp() as running:
        yield running


@pytest.fixture(scope="module")
def hub(idp: Idp, directory: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    idp_settings = idp.settings(oauth_callback_url=None)
    settings = {
        "providers": [
            {"name": "local", "kind": "local", "label": "Local account"},
            {"name": "lab", "kind": "ldap", "label": "Lab", "config": directory.settings(), "deadline_seconds": 2},
            {"name": "idp", "kind": "oidc", "label": "House", "config": idp_settings, "deadline_seconds": 2},
        ],
    }
    with running_hub(tmp_path_factory.mktemp("again"), settings, accounts=("erin", "boss"), seed=seed) as running:
        yield running


@pytest.fixture(autouse=True)
def honest(idp: Idp, hub: HubHandle) -> Iterator[None]:
    idp.people.clear()
    for name in ("olga", "otto", "alice-elsewhere", "erin-elsewhere"):
        idp.person(name)
    idp.control(faults={}, redirects=[f"{hub.url}/hub/oidc/idp/callback"])
    yield
    with store(hub) as db:
        db.execute("delete from logins")


def sign_ins(hub: HubHandle, user: str) -> set[str]:
    with store(hub) as db:
        return {row[0] for row in db.execute("select session from sign_ins where user = ?", (user,))}


def session_of(person: Traveller) -> str:
    found = [one for one in person._jar if one.name == "jupyterhub-session-id"]
    assert len(found) == 1
    return sha256(str(found[0].value).encode()).hexdigest()


def fresh(person: Traveller) -> bool:
    """Whether the page of the service counts this browser session as freshly signed in."""
    page = person.get(ACCOUNT)
    assert page.status == 200, page.text
    assert "My account" in page.words
    return 'id="aizen-again"' not in page.text


def by_directory(hub: HubHandle, name: str = "alice") -> Traveller:
    person = Traveller(hub.url)
    person.login(name, f"{name}-has-a-secret", provider="lab")
    return person


def by_idp(hub: HubHandle, name: str = "olga") -> Traveller:
    person = Traveller(hub.url)
    page = person.sign_in("idp", name)
    assert person.name == name, page.text
    return person


def fill(person: Traveller, path: str, **fields: str) -> Page:
    form = person.get(path)
    assert form.status == 200, form.text
    return person._submit(path, {"_xsrf": form.value("_xsrf") or "", **fields})


def at_provider(person: Traveller, page: Page, name: str) -> Page:
    """Sign in at the provider's page, which must ask for it."""
    assert "/interaction/" in page.url, f"the provider did not ask: {page.url}"
    form = urlencode({"login": name, "password": PASSWORD}).encode()
    return person.request("POST", page.url, form, {"Content-Type": "application/x-www-form-urlencoded"})


@pytest.mark.proves("R77")
class TestConfirmByPassword:
    @pytest.mark.parametrize(
        ("name", "password", "provider"), [("alice", "alice-has-a-secret", "lab"), ("erin", None, "local")]
    )
    def test_the_same_password_again_counts_in_this_browser_session_alone(
        self, hub: HubHandle, name: str, password: str | None, provider: str
    ) -> None:
        password = password or hub.passwords[name]
        person, elsewhere = Traveller(hub.url), Traveller(hub.url)
        for one in (person, elsewhere):
            one.login(name, password, provider=provider)
            assert not fresh(one), "the first sign-in was not for this"
        before = len(recorded(hub, "login.fresh"))
        form = person.get(CONFIRM)
        assert f"Show that you are still {name}" in form.words
        assert [one["name"] for one in form.fields if one.get("name") == "username"] == []
        page = fill(person, CONFIRM, password=password)
        assert page.url == hub.url + ACCOUNT
        assert fresh(person)
        assert not fresh(elsewhere), "another browser session of the same person"
        assert session_of(person) in sign_ins(hub, name)
        assert session_of(elsewhere) not in sign_ins(hub, name)
        assert recorded(hub, "login.fresh")[before:] == [{"user": name, "provider": provider}]

    @pytest.mark.parametrize("password", ["wrong", "", " ", "a\0b", "carol-has-a-secret", "x" * 5000])
    def test_a_wrong_password_does_not(self, hub: HubHandle, password: str) -> None:
        alice = by_directory(hub)
        page = fill(alice, CONFIRM, password=password)
        assert page.status == 403
        assert "That was not right" in page.words
        assert session_of(alice) not in sign_ins(hub, "alice")
        assert not fresh(alice)

    @pytest.mark.proves("R121")
    def test_an_address_of_ones_own_choice_is_not_recorded(self, hub: HubHandle) -> None:
        alice = by_directory(hub)
        form = urlencode({"_xsrf": alice.get(CONFIRM).value("_xsrf") or "", "password": "alice-has-a-secret"}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": hub.url}
        made_up = {"X-Real-Ip": "192.0.2.66"}
        assert alice.request("POST", CONFIRM, form, headers | made_up).url == hub.url + ACCOUNT
        with store(hub) as db:
            query = "select body from audit where event = 'login.fresh' order by number desc limit 1"
            row = json.loads(db.execute(query).fetchone()[0])
        assert row["source"] == "127.0.0.1"

    def test_another_name_in_the_form_is_not_looked_at(self, hub: HubHandle) -> None:
        alice = by_directory(hub)
        page = fill(alice, CONFIRM, username="carol", password="carol-has-a-secret", account="carol")
        assert page.status == 403
        assert not fresh(alice)
        assert not sign_ins(hub, "carol")

    def test_guessing_here_is_slowed_down_too(self, hub: HubHandle) -> None:
        carol = by_directory(hub, "carol")
        # The first wait is one second: who goes on guessing lets it pass.
        guesses = (fill(carol, CONFIRM, password="guessed").words.lower() for _ in range(8))
        assert any("too many failed attempts" in words for words in guesses)
        assert "too many failed attempts" in fill(carol, CONFIRM, password="carol-has-a-secret").words.lower()

    def test_without_the_token_against_forgery_nothing_happens(self, hub: HubHandle) -> None:
        alice = by_directory(hub)
        for fields in ({}, {"_xsrf": "made-up"}):
            assert alice._submit(CONFIRM, {"password": "alice-has-a-secret", **fields}).status == 403
        assert session_of(alice) not in sign_ins(hub, "alice")

    def test_it_grows_old(self, hub: HubHandle) -> None:
        alice = by_directory(hub)
        fill(alice, CONFIRM, password="alice-has-a-secret")
        assert fresh(alice)
        with store(hub) as db:
            db.execute("update sign_ins set at = at - ?", (FRESH * 1_000_000,))
        assert not fresh(alice)

    def test_a_hung_directory_is_named(self, hub: HubHandle, directory: Any) -> None:
        alice = by_directory(hub)
        form = alice.get(CONFIRM)
        with directory.hung():
            page = alice._submit(CONFIRM, {"_xsrf": form.value("_xsrf") or "", "password": "alice-has-a-secret"})
        assert page.status == 403
        assert "cannot be reached" in page.words
        assert session_of(alice) not in sign_ins(hub, "alice")

    @pytest.mark.proves("R120")
    @pytest.mark.parametrize("page", ["//evil.example.org", "https://evil.example.org/", "../../hub", "a b", "x" * 80])
    def test_the_way_back_is_a_page_of_the_service(self, hub: HubHandle, page: str) -> None:
        alice = by_directory(hub)
        assert alice.get("/hub/aizen/confirm?page=" + quote(page, safe="")).status == 400

    def test_somebody_who_is_not_signed_in_signs_in_first(self, hub: HubHandle) -> None:
        assert "/hub/login" in Traveller(hub.url).get(CONFIRM).url


@pytest.mark.proves("R77")
class TestConfirmAtTheProvider:
    def test_the_provider_asks_again_and_says_when(self, hub: HubHandle) -> None:
        olga, elsewhere = by_idp(hub), by_idp(hub)
        assert not fresh(olga)
        begin = olga.stopped(CONFIRM)
        assert parse_qs(urlsplit(begin).query)["fresh"] == ["1"]
        asked = parse_qs(urlsplit(olga.stopped(begin)).query)
        assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
        page = at_provider(olga, olga.get(CONFIRM), "olga")
        assert page.url == hub.url + ACCOUNT, page.text
        assert fresh(olga)
        assert not fresh(elsewhere)
        assert sign_ins(hub, "olga") == {session_of(olga)}

    @pytest.mark.parametrize("when", [None, 0, lambda: time.time() - 3600, lambda: time.time() + 3600, "now"])
    def test_a_provider_that_did_not_ask_again_is_not_believed(self, hub: HubHandle, idp: Idp, when: Any) -> None:
        olga = by_idp(hub)
        idp.control(faults={"id_token": {"claims": {"auth_time": int(when()) if callable(when) else when}}})
        page = at_provider(olga, olga.get(CONFIRM), "olga")
        assert page.status == 403
        assert "did not ask you to sign in again" in page.alert
        idp.control(faults={})
        assert not fresh(olga)
        assert session_of(olga) not in sign_ins(hub, "olga")

    def test_somebody_else_at_the_provider_is_refused_and_nobody_becomes_another(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        for one in [one for one in olga._jar if one.name.startswith("_session")]:
            olga._jar.clear(one.domain, one.path, one.name)  # she signed out there, and he signs in
        page = at_provider(olga, olga.get(CONFIRM), "otto")
        assert page.status == 403
        assert "somebody else" in page.alert
        assert olga.api("GET", "/hub/api/user").json()["name"] == "olga"
        assert not fresh(olga)
        assert session_of(olga) not in sign_ins(hub, "olga") | sign_ins(hub, "otto")

    def test_an_ordinary_sign_in_is_no_fresh_one(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        assert olga.sign_in("idp", "olga").status == 200
        assert not fresh(olga)


@pytest.mark.proves("R22")
class TestLink:
    """A second login of one person, who proves both in one browser session."""

    def linked(self, hub: HubHandle, user: str) -> list[str]:
        query = "select l.provider from logins l join users u on u.id = l.user_id where u.name = ?"
        with store(hub) as db:
            return [row[0] for row in db.execute(query, (user,))]

    def test_a_directory_account_takes_a_login_of_the_provider(self, hub: HubHandle) -> None:
        alice = by_directory(hub)
        fill(alice, CONFIRM, password="alice-has-a-secret")
        assert "Link a login of House" in alice.get(ACCOUNT).words
        before = len(recorded(hub, "login.linked"))
        page = at_provider(alice, fill(alice, LINK + "idp"), "alice-elsewhere")
        assert page.url.startswith(hub.url + ACCOUNT), page.text
        assert self.linked(hub, "alice") == ["idp"]
        (row,) = recorded(hub, "login.linked")[before:]
        assert (row["user"], row["provider"], row["by"]) == ("alice", "idp", "self")
        assert "sub-of-alice-elsewhere" in row["subject"]
        other = Traveller(hub.url)
        other.sign_in("idp", "alice-elsewhere")
        assert other.name == "alice", "both logins open one account"

    def test_somebody_of_the_provider_takes_a_login_of_the_directory(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        at_provider(olga, olga.get(CONFIRM), "olga")
        page = fill(olga, LINK + "lab", username="gustav", password="gustav-has-a-secret")
        assert page.url == hub.url + ACCOUNT + "?done=linked", page.text
        assert self.linked(hub, "olga") == ["lab"]
        assert by_directory(hub, "gustav").name == "olga"

    def test_without_a_fresh_sign_in_it_is_refused(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        page = fill(olga, LINK + "lab", username="gustav", password="gustav-has-a-secret")
        assert page.status == 403
        assert "needs a fresh sign-in" in page.words
        alice = by_directory(hub)
        page = at_provider(alice, fill(alice, LINK + "idp"), "alice-elsewhere")
        assert page.status == 403
        assert "not linked" in page.alert
        assert "fresh sign-in" in page.alert
        assert alice.api("GET", "/hub/api/user").json()["name"] == "alice"
        assert self.linked(hub, "olga") == self.linked(hub, "alice") == []

    def test_a_fresh_sign_in_of_another_browser_session_does_not_do(self, hub: HubHandle) -> None:
        first, second = by_directory(hub), by_directory(hub)
        fill(first, CONFIRM, password="alice-has-a-secret")
        page = at_provider(second, fill(second, LINK + "idp"), "alice-elsewhere")
        assert page.status == 403
        assert self.linked(hub, "alice") == []

    @pytest.mark.proves("T-16")
    def test_a_login_that_is_somebody_elses_is_refused(self, hub: HubHandle) -> None:
        by_idp(hub, "otto")
        alice = by_directory(hub)
        fill(alice, CONFIRM, password="alice-has-a-secret")
        page = at_provider(alice, fill(alice, LINK + "idp"), "otto")
        assert page.status == 403
        assert "somebody else" in page.alert
        assert alice.api("GET", "/hub/api/user").json()["name"] == "alice"
        olga = by_idp(hub)
        at_provider(olga, olga.get(CONFIRM), "olga")
        page = fill(olga, LINK + "lab", username="alice", password="alice-has-a-secret")
        assert page.status == 403
        assert "somebody else" in page.words
        assert self.linked(hub, "alice") == self.linked(hub, "olga") == []

    def test_a_wrong_password_links_nothing(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        at_provider(olga, olga.get(CONFIRM), "olga")
        page = fill(olga, LINK + "lab", username="gustav", password="wrong")
        assert page.status == 403
        assert "That was not right" in page.words
        assert self.linked(hub, "olga") == []

    def test_without_the_token_against_forgery_nothing_begins(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        at_provider(olga, olga.get(CONFIRM), "olga")
        fields = {"username": "gustav", "password": "gustav-has-a-secret"}
        assert olga._submit(LINK + "lab", fields).status == 403
        # A page elsewhere can send this browser to the provider, which links nothing: no intent was confirmed here.
        alice = by_directory(hub)
        fill(alice, CONFIRM, password="alice-has-a-secret")
        assert alice._submit(LINK + "idp", {}).status == 403
        at_provider(alice, alice.get("/hub/oidc/idp/login?fresh=1"), "erin-elsewhere")
        assert self.linked(hub, "olga") == self.linked(hub, "alice") == []
        with pytest.raises(LoginRefused):
            by_directory(hub, "gustav")

    @pytest.mark.parametrize(("provider", "status"), [("none-such", 404), ("", 404), ("lab", 400)])
    def test_only_another_provider_can_be_linked(self, hub: HubHandle, provider: str, status: int) -> None:
        assert by_directory(hub).get(LINK + provider).status == status
