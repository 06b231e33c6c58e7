"""Recent logins and linked logins at a real hub, with a real directory and a real OpenID provider (R77)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from aizen_hub.demo.browser import LoginRejectedError
from aizen_hub.demo.page import HtmlPage
from tests.fixtures.hub import HubHandle, running_hub
from tests.fixtures.identity.oidc_provider_server import PASSWORD, Idp, RedirectingBrowser, running_idp
from tests.hub.credentials import audit_details, service_database

pytestmark = [pytest.mark.needs("slapd", "oidc"), pytest.mark.slow]

PAGES_ELSEWHERE = [
    *("//evil.example.org", "https://evil.example.org/", "../../hub", "me/../../../hub", "me/%2E%2e/x", "/me", "me//x"),
    *("a b", "x" * 600),
]
CONFIRM, LINK = "/hub/aizen/confirm?page=account", "/hub/aizen/link?provider="
ACCOUNT = "/services/aizen/account"
RECENT_SECONDS = 15 * 60


def seed(tx: Any) -> None:
    from aizen_hub.accounts.users import registration

    for name in ("alice", "carol"):
        registration.create_user(tx, name, provider="lab")
    for name in ("olga", "otto"):
        registration.create_user(tx, name, provider="idp")


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    with running_idp() as running:
        yield running


@pytest.fixture(scope="module")
def hub(idp: Idp, directory: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    idp_settings = idp.settings(oauth_callback_url=None)
    settings = {
        "service": {"deadline_seconds": 5},  # one test waits for its end
        "providers": [
            {"name": "local", "kind": "local", "label": "Local account"},
            {"name": "lab", "kind": "ldap", "label": "Lab", "config": directory.settings(), "deadline_seconds": 10},
            {"name": "idp", "kind": "oidc", "label": "Lab IdP", "config": idp_settings, "deadline_seconds": 10},
        ],
    }
    with running_hub(tmp_path_factory.mktemp("reauth"), settings, accounts=("erin", "boss"), seed=seed) as running:
        yield running


@pytest.fixture(autouse=True)
def reset_provider(idp: Idp, hub: HubHandle) -> Iterator[None]:
    idp.users.clear()
    for name in ("olga", "otto", "alice-elsewhere", "erin-elsewhere"):
        idp.add_user(name)
    idp.control(faults={}, redirects=[f"{hub.url}/hub/oidc/idp/callback"])
    yield
    with service_database(hub) as db:
        db.execute("delete from logins")


def recent_logins(hub: HubHandle, user: str) -> set[str]:
    with service_database(hub) as db:
        return {row[0] for row in db.execute("select session from recent_logins where user = ?", (user,))}


def session_of(person: RedirectingBrowser) -> str:
    cookies = [cookie for cookie in person._jar if cookie.name == "jupyterhub-session-id"]
    assert len(cookies) == 1
    return sha256(str(cookies[0].value).encode()).hexdigest()


def is_recent(person: RedirectingBrowser) -> bool:
    """Return whether the service counts this browser session as recently authenticated."""
    page = person.get(ACCOUNT)
    assert page.status == 200, page.text
    assert "My account" in page.words
    return 'id="aizen-sign-in-again"' not in page.text


def by_directory(hub: HubHandle, name: str = "alice") -> RedirectingBrowser:
    person = RedirectingBrowser(hub.url)
    person.login(name, f"{name}-has-a-secret", provider="lab")
    return person


def by_idp(hub: HubHandle, name: str = "olga") -> RedirectingBrowser:
    person = RedirectingBrowser(hub.url)
    page = person.sign_in("idp", name)
    assert person.name == name, page.text
    return person


def fill(person: RedirectingBrowser, path: str, **fields: str) -> HtmlPage:
    form = person.get(path)
    assert form.status == 200, form.text
    return person._submit(path, {"_xsrf": form.value("_xsrf") or "", **fields})


def at_provider(person: RedirectingBrowser, page: HtmlPage, name: str) -> HtmlPage:
    """Sign in on the provider's page, which must be shown."""
    assert "/interaction/" in page.url, f"the provider showed no login page: {page.url}"
    form = urlencode({"login": name, "password": PASSWORD}).encode()
    return person.request("POST", page.url, form, {"Content-Type": "application/x-www-form-urlencoded"})


@pytest.mark.proves("R77")
class TestConfirmByPassword:
    @pytest.mark.parametrize(
        ("name", "password", "provider"), [("alice", "alice-has-a-secret", "lab"), ("erin", None, "local")]
    )
    def test_the_password_counts_in_this_browser_session_only(
        self, hub: HubHandle, name: str, password: str | None, provider: str
    ) -> None:
        password = password or hub.passwords[name]
        person, elsewhere = RedirectingBrowser(hub.url), RedirectingBrowser(hub.url)
        for browser in (person, elsewhere):
            browser.login(name, password, provider=provider)
            assert not is_recent(browser), "the first login does not count"
        before = len(audit_details(hub, "login.fresh"))
        form = person.get(CONFIRM)
        assert f"Confirm that you are {name}" in form.words
        assert [field["name"] for field in form.fields if field.get("name") == "username"] == []
        page = fill(person, CONFIRM, password=password)
        assert page.url == hub.url + ACCOUNT
        assert is_recent(person)
        assert not is_recent(elsewhere), "another browser session of the same user"
        assert session_of(person) in recent_logins(hub, name)
        assert session_of(elsewhere) not in recent_logins(hub, name)
        assert audit_details(hub, "login.fresh")[before:] == [{"user": name, "provider": provider}]

    @pytest.mark.parametrize("password", ["wrong", "", " ", "a\0b", "carol-has-a-secret", "x" * 5000])
    def test_a_wrong_password_does_not(self, hub: HubHandle, password: str) -> None:
        alice = by_directory(hub)
        page = fill(alice, CONFIRM, password=password)
        assert page.status == 403
        assert "The user name, the password or the code is wrong" in page.words
        assert session_of(alice) not in recent_logins(hub, "alice")
        assert not is_recent(alice)

    @pytest.mark.proves("R121")
    def test_a_claimed_client_address_is_not_recorded(self, hub: HubHandle) -> None:
        alice = by_directory(hub)
        form = urlencode({"_xsrf": alice.get(CONFIRM).value("_xsrf") or "", "password": "alice-has-a-secret"}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": hub.url}
        made_up = {"X-Real-Ip": "192.0.2.66"}
        assert alice.request("POST", CONFIRM, form, headers | made_up).url == hub.url + ACCOUNT
        with service_database(hub) as db:
            query = "select body from audit where event = 'login.fresh' order by number desc limit 1"
            row = json.loads(db.execute(query).fetchone()[0])
        assert row["source"] == "127.0.0.1"

    def test_another_name_in_the_form_is_ignored(self, hub: HubHandle) -> None:
        alice = by_directory(hub)
        page = fill(alice, CONFIRM, username="carol", password="carol-has-a-secret", account="carol")
        assert page.status == 403
        assert not is_recent(alice)
        assert not recent_logins(hub, "carol")

    def test_guessing_is_throttled_here_too(self, hub: HubHandle) -> None:
        carol = by_directory(hub, "carol")
        # The first wait is one second, which may pass between two attempts.
        guesses = (fill(carol, CONFIRM, password="guessed").words.lower() for _ in range(8))
        assert any("too many failed attempts" in words for words in guesses)
        assert "too many failed attempts" in fill(carol, CONFIRM, password="carol-has-a-secret").words.lower()

    def test_a_request_without_the_xsrf_token_is_denied(self, hub: HubHandle) -> None:
        alice = by_directory(hub)
        for fields in ({}, {"_xsrf": "made-up"}):
            assert alice._submit(CONFIRM, {"password": "alice-has-a-secret", **fields}).status == 403
        assert session_of(alice) not in recent_logins(hub, "alice")

    def test_it_expires(self, hub: HubHandle) -> None:
        alice = by_directory(hub)
        fill(alice, CONFIRM, password="alice-has-a-secret")
        assert is_recent(alice)
        with service_database(hub) as db:
            db.execute("update recent_logins set at = at - ?", (RECENT_SECONDS * 1_000_000,))
        assert not is_recent(alice)

    def test_a_hung_directory_is_named(self, hub: HubHandle, directory: Any) -> None:
        alice = by_directory(hub)
        form = alice.get(CONFIRM)
        with directory.hung():
            page = alice._submit(CONFIRM, {"_xsrf": form.value("_xsrf") or "", "password": "alice-has-a-secret"})
        assert page.status == 403
        assert "cannot be reached" in page.words
        assert session_of(alice) not in recent_logins(hub, "alice")

    @pytest.mark.proves("R120")
    @pytest.mark.parametrize("page", PAGES_ELSEWHERE)
    def test_the_return_page_is_a_page_of_the_service(self, hub: HubHandle, page: str) -> None:
        alice = by_directory(hub)
        assert alice.get("/hub/aizen/confirm?page=" + quote(page, safe="")).status == 400

    def test_an_anonymous_user_signs_in_first(self, hub: HubHandle) -> None:
        assert "/hub/login" in RedirectingBrowser(hub.url).get(CONFIRM).url


@pytest.mark.proves("R77")
class TestConfirmAtTheProvider:
    def test_the_provider_asks_again_and_reports_the_time(self, hub: HubHandle) -> None:
        olga, elsewhere = by_idp(hub), by_idp(hub)
        assert not is_recent(olga)
        begin = olga.redirect_target(CONFIRM)
        assert parse_qs(urlsplit(begin).query)["fresh"] == ["1"]
        query = parse_qs(urlsplit(olga.redirect_target(begin)).query)
        assert (query["prompt"], query["max_age"]) == (["login"], ["0"])
        page = at_provider(olga, olga.get(CONFIRM), "olga")
        assert page.url == hub.url + ACCOUNT, page.text
        assert is_recent(olga)
        assert not is_recent(elsewhere)
        assert recent_logins(hub, "olga") == {session_of(olga)}

    @pytest.mark.parametrize("when", [None, 0, lambda: time.time() - 3600, lambda: time.time() + 3600, "now"])
    def test_a_provider_that_did_not_ask_again_is_rejected(self, hub: HubHandle, idp: Idp, when: Any) -> None:
        olga = by_idp(hub)
        idp.control(faults={"id_token": {"claims": {"auth_time": int(when()) if callable(when) else when}}})
        page = at_provider(olga, olga.get(CONFIRM), "olga")
        assert page.status == 403
        assert "did not ask you to sign in again" in page.alert
        idp.control(faults={})
        assert not is_recent(olga)
        assert session_of(olga) not in recent_logins(hub, "olga")

    def test_another_user_at_the_provider_is_denied_and_no_session_changes_its_user(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        for cookie in [cookie for cookie in olga._jar if cookie.name.startswith("_session")]:
            olga._jar.clear(cookie.domain, cookie.path, cookie.name)  # signed out there, so that another user signs in
        page = at_provider(olga, olga.get(CONFIRM), "otto")
        assert page.status == 403
        assert "another user" in page.alert
        assert olga.api("GET", "/hub/api/user").json()["name"] == "olga"
        assert not is_recent(olga)
        assert session_of(olga) not in recent_logins(hub, "olga") | recent_logins(hub, "otto")

    def test_an_outage_is_explained_without_an_internal_address(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        asked, service = olga.get(CONFIRM), hub.service_process()
        service.suspend()
        try:
            page = at_provider(olga, asked, "olga")
        finally:
            service.resume()
        assert page.alert == "The access service does not respond; try again in a minute."
        assert (urlsplit(hub.service_url).netloc in page.text, "service.port" in page.text) == (False, False)

    def test_an_ordinary_login_does_not_count(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        assert olga.sign_in("idp", "olga").status == 200
        assert not is_recent(olga)


@pytest.mark.proves("R22")
class TestLink:
    """A second login of a user, with both proven in one browser session."""

    def linked(self, hub: HubHandle, user: str) -> list[str]:
        query = "select l.provider from logins l join users u on u.id = l.user_id where u.name = ?"
        with service_database(hub) as db:
            return [row[0] for row in db.execute(query, (user,))]

    def test_a_directory_user_links_a_login_of_the_provider(self, hub: HubHandle) -> None:
        alice = by_directory(hub)
        fill(alice, CONFIRM, password="alice-has-a-secret")
        assert "Link a login of Lab IdP" in alice.get(ACCOUNT).words
        before = len(audit_details(hub, "login.linked"))
        page = at_provider(alice, fill(alice, LINK + "idp"), "alice-elsewhere")
        assert page.url.startswith(hub.url + ACCOUNT), page.text
        assert self.linked(hub, "alice") == ["idp"]
        (row,) = audit_details(hub, "login.linked")[before:]
        assert (row["user"], row["provider"], row["by"]) == ("alice", "idp", "self")
        assert "sub-of-alice-elsewhere" in row["subject"]
        other = RedirectingBrowser(hub.url)
        other.sign_in("idp", "alice-elsewhere")
        assert other.name == "alice", "both logins give the same account"

    def test_a_provider_user_links_a_login_of_the_directory(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        at_provider(olga, olga.get(CONFIRM), "olga")
        page = fill(olga, LINK + "lab", username="gustav", password="gustav-has-a-secret")
        assert page.url == hub.url + ACCOUNT + "?done=linked", page.text
        assert self.linked(hub, "olga") == ["lab"]
        assert by_directory(hub, "gustav").name == "olga"

    def test_without_a_recent_login_it_is_denied(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        page = fill(olga, LINK + "lab", username="gustav", password="gustav-has-a-secret")
        assert page.status == 403
        assert "needs a recent login" in page.words
        alice = by_directory(hub)
        page = at_provider(alice, fill(alice, LINK + "idp"), "alice-elsewhere")
        assert page.status == 403
        assert "not linked" in page.alert
        assert "recent login" in page.alert
        assert alice.api("GET", "/hub/api/user").json()["name"] == "alice"
        assert self.linked(hub, "olga") == self.linked(hub, "alice") == []

    def test_a_recent_login_in_another_browser_session_does_not_count(self, hub: HubHandle) -> None:
        first, second = by_directory(hub), by_directory(hub)
        fill(first, CONFIRM, password="alice-has-a-secret")
        page = at_provider(second, fill(second, LINK + "idp"), "alice-elsewhere")
        assert page.status == 403
        assert self.linked(hub, "alice") == []

    @pytest.mark.proves("T-16")
    def test_a_login_of_another_user_is_denied(self, hub: HubHandle) -> None:
        by_idp(hub, "otto")
        alice = by_directory(hub)
        fill(alice, CONFIRM, password="alice-has-a-secret")
        page = at_provider(alice, fill(alice, LINK + "idp"), "otto")
        assert page.status == 403
        assert "another user" in page.alert
        assert alice.api("GET", "/hub/api/user").json()["name"] == "alice"
        olga = by_idp(hub)
        at_provider(olga, olga.get(CONFIRM), "olga")
        page = fill(olga, LINK + "lab", username="alice", password="alice-has-a-secret")
        assert page.status == 403
        assert "another user" in page.words
        assert self.linked(hub, "alice") == self.linked(hub, "olga") == []

    def test_a_wrong_password_links_nothing(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        at_provider(olga, olga.get(CONFIRM), "olga")
        page = fill(olga, LINK + "lab", username="gustav", password="wrong")
        assert page.status == 403
        assert "The user name, the password or the code is wrong" in page.words
        assert self.linked(hub, "olga") == []

    def test_without_the_xsrf_token_no_link_is_started(self, hub: HubHandle) -> None:
        olga = by_idp(hub)
        at_provider(olga, olga.get(CONFIRM), "olga")
        fields = {"username": "gustav", "password": "gustav-has-a-secret"}
        assert olga._submit(LINK + "lab", fields).status == 403
        # A page elsewhere can send this browser to the provider, but nothing is linked without a confirmed intent.
        alice = by_directory(hub)
        fill(alice, CONFIRM, password="alice-has-a-secret")
        assert alice._submit(LINK + "idp", {}).status == 403
        at_provider(alice, alice.get("/hub/oidc/idp/login?fresh=1"), "erin-elsewhere")
        assert self.linked(hub, "olga") == self.linked(hub, "alice") == []
        with pytest.raises(LoginRejectedError):
            by_directory(hub, "gustav")

    @pytest.mark.parametrize(("provider", "status"), [("none-such", 404), ("", 404), ("lab", 400)])
    def test_only_another_provider_can_be_linked(self, hub: HubHandle, provider: str, status: int) -> None:
        assert by_directory(hub).get(LINK + provider).status == status
