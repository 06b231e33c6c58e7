"""A real hub with a real directory: who comes in, what starts, and what ends."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from aizen_hub.client.browser import Browser, LoginRefused, Page
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.hub.roads import api_token, project_of_session, runs, with_token

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.xdist_group("hub"), pytest.mark.slow]

SUFFIX = "dc=lab,dc=test"
SIGNED_IN: dict[tuple[str, str], Browser] = {}
GROUPS = f"ou=groups,{SUFFIX}"


def seed(tx: Any) -> None:
    from aizen_hub.accounts import assignments, locks, projects, users
    from aizen_hub.rbac.assignment import LockTarget
    from aizen_hub.rbac.identity import Identity

    users.create(tx, "alice", provider="lab")
    users.create(tx, "gustav", provider="lab")
    for name in ("churn", "fraud"):
        projects.create(tx, name, description=f"About <{name}>", owner=Identity.user("maker"))
    for name in ("erin", "alice", "leaver", "gustav"):
        assignments.grant(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(name), reason="test")
    assignments.grant(tx, ["PROJECT_READER"], "churn", Identity.user("guest"), reason="test")
    locks.lock(tx, LockTarget.IDENTITY, "user:stopped", reason="test")


@pytest.fixture(scope="module")
def hub(directory: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    folder = tmp_path_factory.mktemp("hub")
    config = directory.settings(allowed_groups=[f"cn=team,{GROUPS}", f"cn=outside,{GROUPS}"])
    settings = {
        "service": {"deadline_seconds": 2},
        "providers": [
            {"name": "local", "kind": "local", "label": "Local account"},
            {"name": "lab", "kind": "ldap", "label": "Lab directory", "config": config, "deadline_seconds": 2},
        ],
    }
    accounts = {
        "boss": "AIZEN_ADMIN",
        "maker": "PROJECT_CREATOR",
        **dict.fromkeys(("erin", "leaver", "nobody", "stopped", "guest"), ""),
    }
    with running_hub(
        folder, settings, accounts=accounts, seed=seed, tiny=("erin", "leaver", "guest", "boss", "maker", "gustav")
    ) as running:
        yield running


@pytest.fixture
def browser(hub: HubHandle) -> Iterator[Callable[..., Browser]]:
    """Signed-in people, who stay signed in for the next test; their servers are stopped."""
    used: list[Browser] = []

    def login(name: str, *args: Any, **more: Any) -> Browser:
        known = SIGNED_IN.get((hub.url, name))
        if known is None or known.api("GET", "/hub/api/user").status != 200:
            known = SIGNED_IN[hub.url, name] = hub.login(name, *args, **more)
        used.append(known)
        return known

    yield login
    for one in used:
        servers = one.api("GET", f"/hub/api/users/{one.name}")
        for name in servers.json()["servers"] if servers.status == 200 else ():
            one.stop(name)


class TestAdmin:
    def test_nobody_is_administrator_of_the_hub(self, browser: Callable[..., Browser]) -> None:
        model = browser("boss").api("GET", "/hub/api/user").json()
        assert model["admin"] is False
        assert not [
            scope for scope in model["scopes"] if scope.startswith(("admin:", "access:servers!server", "shares"))
        ]
        assert all(scope.endswith("!user=boss") for scope in model["scopes"] if scope.startswith("access:servers"))

    def test_people_reach_the_service_and_each_other_not(self, browser: Callable[..., Browser]) -> None:
        scopes = browser("erin").api("GET", "/hub/api/user").json()["scopes"]
        assert "access:services!service=aizen" in scopes
        assert [one for one in scopes if "access:servers" in one] == ["access:servers!user=erin"]


class TestPicker:
    def test_it_offers_the_projects_of_the_person(self, browser: Callable[..., Browser]) -> None:
        erin = browser("erin")
        assert erin.choices() == ["churn"]
        page = erin.get("/hub/spawn/erin")
        assert "PROJECT_EXECUTOR" in page.words
        assert "About &lt;churn&gt;" in page.text

    def test_a_system_session_is_offered_to_holders_of_a_system_role(self, browser: Callable[..., Browser]) -> None:
        assert "" in browser("boss").choices()
        assert "" in browser("maker").choices()

    def test_nothing_to_choose_says_whom_to_ask(self, browser: Callable[..., Browser]) -> None:
        nobody = browser("nobody")
        assert nobody.choices() == []
        assert "grant role PROJECT_EXECUTOR to nobody" in nobody.get("/hub/spawn/nobody").words


# The roads that a start can take: F7.
def by_form(person: Browser, hub: HubHandle, project: str) -> Page:
    path = f"/hub/spawn/{person.name}"
    person.get(path)
    return person._submit(f"{path}?_xsrf={person.xsrf('/hub/')}", {"project": project})


def by_link(person: Browser, hub: HubHandle, project: str) -> Page:
    return person.get(f"/hub/spawn/{person.name}?opt-project={project}")


def by_old_link(person: Browser, hub: HubHandle, project: str) -> Page:
    return person.get(f"/hub/spawn/{person.name}?project={project}")


def by_api(person: Browser, hub: HubHandle, project: str) -> Page:
    body = {"user_options": {"project": project}}
    return with_token(hub, api_token(person), "POST", f"/hub/api/users/{person.name}/server", body)


def by_stored_options(person: Browser, hub: HubHandle, project: str) -> Page:
    # The hub keeps what was asked for, allowed or not, and uses it where a start names nothing.
    if by_api(person, hub, project).status < 400:
        person.wait_ready()
        person.stop()
    return with_token(hub, api_token(person), "POST", f"/hub/api/users/{person.name}/server")


ROADS = [by_form, by_link, by_old_link, by_api, by_stored_options]


@pytest.mark.proves("R34", "T-23")
class TestRoads:
    @pytest.mark.parametrize("road", ROADS)
    def test_a_member_starts_for_the_project(
        self, hub: HubHandle, browser: Callable[..., Browser], road: Callable[..., Page]
    ) -> None:
        erin = browser("erin")
        page = road(erin, hub, "churn")
        assert page.status < 400, page.text
        erin.wait_ready()
        assert project_of_session(hub, "erin") == "churn"

    @pytest.mark.parametrize("project", ["fraud", "no-such-project", ""])
    @pytest.mark.parametrize("road", ROADS)
    def test_others_are_refused_with_the_reason(
        self, hub: HubHandle, browser: Callable[..., Browser], road: Callable[..., Page], project: str
    ) -> None:
        erin = browser("erin")
        page = road(erin, hub, project)
        assert page.status >= 400
        text = page.json()["message"] if "json" in page.headers["content-type"] else page.alert
        if project:
            # A project that one may not enter and one that is not there sound the same.
            assert text == f"There is no project `{project}` that you may enter. Choose one from the list."
        assert "Traceback" not in text
        assert project_of_session(hub, "erin") is None
        assert erin.server() is None

    @pytest.mark.parametrize("road", ROADS)
    def test_an_ex_member_is_refused(
        self, hub: HubHandle, browser: Callable[..., Browser], road: Callable[..., Page]
    ) -> None:
        leaver = browser("leaver")
        if "churn" in leaver.choices():
            body = {"roles": ["PROJECT_EXECUTOR"], "scope": "churn", "identity": "user:leaver"}
            page = with_token(
                hub, api_token(browser("maker")), "POST", "/services/aizen/api/v1/assignments/revoke", body
            )
            assert page.status == 200, page.text
            assert leaver.choices() == []
        assert road(leaver, hub, "churn").status >= 400
        assert leaver.server() is None

    @pytest.mark.parametrize(
        "options",
        [
            None,
            {},
            {"project": None},
            {"project": ["churn", "fraud"]},
            {"project": {"name": "churn"}},
            {"project": 7},
            {"project": "churn\n"},
            {"Project": "churn"},
            {"project": "x" * 300},
            {"project": True},
        ],
    )
    def test_anything_but_one_name_is_refused(
        self, hub: HubHandle, browser: Callable[..., Browser], options: Any
    ) -> None:
        guest = browser("guest")
        page = with_token(hub, api_token(guest), "POST", "/hub/api/users/guest/server", {"user_options": options})
        assert 400 <= page.status < 500, page.text
        assert guest.server() is None

    def test_the_name_of_a_server_says_nothing(self, hub: HubHandle, browser: Callable[..., Browser]) -> None:
        erin = browser("erin")
        erin.spawn("churn", "fraud")
        assert project_of_session(hub, "erin", "fraud") == "churn"


class TestServer:
    def test_a_person_of_the_directory_works_in_a_notebook(
        self, hub: HubHandle, browser: Callable[..., Browser]
    ) -> None:
        alice = browser("alice", "alice-has-a-secret", provider="lab")
        with alice.kernel(alice.spawn("churn")) as kernel:
            told = kernel.execute("import os; print(os.environ['AIZEN_PROJECT'], os.environ['AIZEN_URL'])")
            assert told.text.split() == ["churn", hub.service_url]
            assert "churn" in kernel.execute("show project churn").text
            assert "no core is configured" in kernel.execute("start training x").text
            refused = kernel.execute("grant role PROJECT_READER to erin").text
            assert "decision" in refused

    @pytest.mark.proves("T-03")
    def test_a_notebook_can_neither_start_servers_nor_make_tokens(
        self, hub: HubHandle, browser: Callable[..., Browser]
    ) -> None:
        erin = browser("erin")
        token = environment_of(erin, erin.spawn("churn"))["JUPYTERHUB_API_TOKEN"]
        for method, path, body in (
            ("POST", "/hub/api/users/erin/servers/other", {"user_options": {"project": "churn"}}),
            ("POST", "/hub/api/users/erin/tokens", {"note": "x"}),
            ("DELETE", "/hub/api/users/erin/server", None),
            ("GET", "/hub/api/users", None),
        ):
            assert with_token(hub, token, method, path, body).status in (403, 404), path
        scopes = with_token(hub, token, "GET", "/hub/api/user").json()["scopes"]
        assert not [one for one in scopes if one.startswith(("access:services", "tokens", "servers"))]
        assert with_token(hub, token, "GET", "/services/aizen/api/v1/me").status in (401, 403)

    @pytest.mark.proves("R35")
    def test_the_role_token_is_in_no_log_no_argument_and_no_hub_database(
        self, hub: HubHandle, browser: Callable[..., Browser]
    ) -> None:
        erin = browser("erin")
        token = environment_of(erin, erin.spawn("churn"))["AIZEN_TOKEN"]
        assert token.count(".") == 2
        arguments = [one.cmdline() for one in psutil.Process(hub.process.pid).children(recursive=True)]
        signature = token.rpartition(".")[2].encode()
        assert not [one for one in arguments if signature.decode() in " ".join(one)]
        for path in hub.folder.rglob("*"):
            if path.is_file() and "homes" not in path.parts:
                assert signature not in path.read_bytes(), path

    def test_stopping_ends_the_session(self, hub: HubHandle, browser: Callable[..., Browser]) -> None:
        erin = browser("erin")
        erin.spawn("churn")
        assert project_of_session(hub, "erin") == "churn"
        erin.stop()
        assert project_of_session(hub, "erin") is None

    @pytest.mark.proves("R78")
    def test_a_lock_stops_the_server_within_seconds(self, hub: HubHandle, browser: Callable[..., Browser]) -> None:
        guest, boss = browser("guest"), browser("boss")
        guest.spawn("churn")
        body = {"target": "identity", "name": "user:guest", "reason": "test"}
        page = with_token(hub, api_token(boss), "POST", "/services/aizen/api/v1/locks", body)
        assert page.status == 201, page.text
        end = time.monotonic() + 15
        while runs(hub, "guest"):
            assert time.monotonic() < end, "the server still runs"
            time.sleep(0.2)
        assert project_of_session(hub, "guest") is None
        with pytest.raises(LoginRefused, match="locked"):
            hub.login("guest")


class TestRefresh:
    """A person of the directory is looked up again before each start, and whenever the last time is too long ago."""

    GUSTAV = f"uid=gustav,ou=people,{SUFFIX}"

    @pytest.fixture
    def gustav(self, directory: Any, browser: Callable[..., Browser]) -> Iterator[Browser]:
        directory.modify(f"cn=outside,{GROUPS}", "add: member", f"member: {self.GUSTAV}")
        yield browser("gustav", "gustav-has-a-secret", provider="lab")
        directory.modify(f"cn=outside,{GROUPS}", "delete: member", f"member: {self.GUSTAV}")

    @pytest.mark.proves("R18", "R129")
    def test_a_disabled_account_starts_nothing_more(self, hub: HubHandle, directory: Any, gustav: Browser) -> None:
        token = api_token(gustav)
        directory.modify(self.GUSTAV, "replace: userAccountControl", "userAccountControl: 514")
        try:
            for road in (by_form, by_link):
                page = road(gustav, hub, "churn")
                assert page.status == 403 or "/hub/login" in page.url, page.text
            body = {"user_options": {"project": "churn"}}
            page = with_token(hub, token, "POST", "/hub/api/users/gustav/server", body)
            assert page.status in (400, 403), page.text
            assert project_of_session(hub, "gustav") is None
        finally:
            directory.modify(self.GUSTAV, "replace: userAccountControl", "userAccountControl: 512")
        gustav.spawn("churn")
        assert project_of_session(hub, "gustav") == "churn"

    @pytest.mark.proves("R6", "R63")
    def test_leaving_the_allowed_group_has_the_same_effect(
        self, hub: HubHandle, directory: Any, gustav: Browser
    ) -> None:
        group = f"cn=outside,{GROUPS}"
        directory.modify(group, "delete: member", f"member: {self.GUSTAV}")
        try:
            page = by_form(gustav, hub, "churn")
            assert page.status >= 400, page.text
            assert project_of_session(hub, "gustav") is None
        finally:
            directory.modify(group, "add: member", f"member: {self.GUSTAV}")

    @pytest.mark.proves("T-22")
    def test_a_hung_directory_takes_nobodys_sign_in_away_at_once(
        self, hub: HubHandle, directory: Any, gustav: Browser
    ) -> None:
        with directory.hung():
            gustav.spawn("churn")
        assert project_of_session(hub, "gustav") == "churn"


class TestStalledService:
    @pytest.mark.proves("R59", "R79")
    def test_nobody_comes_in_and_nothing_starts_and_both_are_said(
        self, hub: HubHandle, browser: Callable[..., Browser]
    ) -> None:
        erin, service = browser("erin"), hub.service_process()
        service.suspend()
        try:
            with ThreadPoolExecutor(2) as pool:
                start = time.monotonic()
                starting = pool.submit(by_api, erin, hub, "churn")
                with pytest.raises(LoginRefused, match="Passwords cannot be checked at the moment"):
                    hub.login("maker")
                page = starting.result()
            assert time.monotonic() - start < 20
        finally:
            service.resume()
        assert page.status == 503, page.text
        assert "The access service does not answer" in page.json()["message"]
        assert project_of_session(hub, "erin") is None
        erin.spawn("churn")


class TestRevocation:
    PATH = "/hub/api/aizen/revoke"

    def _post(self, hub: HubHandle, secret: str | None, body: bytes) -> Page:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {secret}"} if secret else {})
        return Browser(hub.url).request("POST", self.PATH, body, headers)

    @pytest.fixture
    def secret(self, hub: HubHandle) -> str:
        from aizen_hub.client.secret_file import read_secret

        return read_secret(hub.settings.hub_secret_path)

    def test_it_ends_browser_sessions_tokens_and_servers(
        self, hub: HubHandle, browser: Callable[..., Browser], secret: str
    ) -> None:
        maker = browser("maker")
        maker.spawn("")
        token = api_token(maker)
        assert with_token(hub, token, "GET", "/hub/api/user").status == 200
        page = self._post(hub, secret, b'{"user": "maker"}')
        assert page.status == 200, page.text
        assert page.json()["servers"] == 1
        assert page.json()["tokens"] >= 2
        assert with_token(hub, token, "GET", "/hub/api/user").status == 403
        assert "/hub/login" in maker.get("/hub/home").url
        assert project_of_session(hub, "maker") is None
        again = hub.login("maker")
        assert again.server() is None

    def test_only_the_hub_secret_opens_it(self, hub: HubHandle, browser: Callable[..., Browser], secret: str) -> None:
        boss = browser("boss")
        for wrong in (None, "", secret[:-1], secret + "x", api_token(boss)):
            page = self._post(hub, wrong, b'{"user": "boss"}')
            assert page.status == 401, page.text
        assert boss.api("POST", self.PATH, {"user": "boss"}).status == 401
        assert boss.api("GET", "/hub/api/user").status == 200

    @pytest.mark.parametrize(
        ("body", "status"),
        [(b"", 400), (b"{", 400), (b"[]", 400), (b'{"user": 1}', 400), (b'{"user": "a", "x": 1}', 400),
         (b'{"user": "a", "user": "b"}', 400), (b'{"user": "not-there"}', 404), (b" " * 5000, 413)],
    )  # fmt: skip
    def test_bad_input_names_the_fault(self, hub: HubHandle, secret: str, body: bytes, status: int) -> None:
        page = self._post(hub, secret, body)
        assert page.status == status
        assert page.json()["detail"]


class TestLogin:
    def test_by_a_local_account(self, browser: Callable[..., Browser]) -> None:
        assert browser("erin").name == "erin"

    def test_by_the_directory(self, browser: Callable[..., Browser]) -> None:
        assert browser("alice", "alice-has-a-secret", provider="lab").name == "alice"

    def test_one_page_offers_both(self, hub: HubHandle) -> None:
        page = Browser(hub.url).get("/hub/login")
        assert [one["value"] for one in page.fields if one["tag"] == "option"] == ["local", "lab"]
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
        with pytest.raises(LoginRefused, match=r"^Invalid username or password$"):
            hub.login(name, password, provider=provider)

    def test_a_recognised_person_who_is_not_registered_is_told_so(self, hub: HubHandle) -> None:
        browser = Browser(hub.url)
        with pytest.raises(LoginRefused) as refusal:
            browser.login("bob", "bob-has-a-secret", provider="lab")
        assert "Lab directory knows you as bob. You are not registered here" in str(refusal.value)
        assert "administrator" in str(refusal.value)
        assert browser.get("/hub/home").url.endswith("/hub/login?next=%2Fhub%2Fhome")
        # The page says it as a heading, and offers another try instead of the form.
        page = browser.request("POST", "/hub/login", _form(browser, "bob", "bob-has-a-secret", "lab"))
        assert page.status == 403
        assert "You are not registered here yet" in page.words
        assert 'data-aizen-refusal="not-registered"' in page.text
        assert not [one for one in page.fields if one.get("name") == "password"]

    def test_somebody_outside_the_allowed_groups_is_told_so(self, hub: HubHandle) -> None:
        with pytest.raises(LoginRefused, match="in none of the groups that may use this hub"):
            hub.login("carol", "carol-has-a-secret", provider="lab")

    def test_a_locked_person_is_told_so(self, hub: HubHandle) -> None:
        with pytest.raises(LoginRefused, match="locked"):
            hub.login("stopped")

    @pytest.mark.proves("T-22")
    def test_a_hung_directory_is_named_and_the_hub_goes_on(self, hub: HubHandle, directory: Any) -> None:
        with directory.hung():
            start = time.monotonic()
            with pytest.raises(LoginRefused, match="Lab directory` cannot be reached at the moment"):
                hub.login("alice", "alice-has-a-secret", provider="lab")
            assert time.monotonic() - start < 5
            assert hub.login("erin").name == "erin"

    def test_the_address_for_tokens_by_password_takes_the_same_road(self, hub: HubHandle) -> None:
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
    def test_no_spelling_of_anothers_name_gets_another_account(self, hub: HubHandle, name: str) -> None:
        try:
            found = hub.login(name, hub.passwords["erin"], provider="local")
        except LoginRefused:
            return
        raise AssertionError(f"{found.name} signed in")

    @pytest.mark.proves("T-24")
    def test_a_form_without_the_token_against_forgery_is_refused(self, hub: HubHandle) -> None:
        body = f"username=erin&password={hub.passwords['erin']}".encode()
        page = Browser(hub.url).request(
            "POST", "/hub/login", body, {"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert page.status == 403


class TestFiles:
    def test_every_secret_is_readable_by_its_owner_only(self, hub: HubHandle) -> None:
        names = {"hub-secret", "hub-cookie-secret", "hub-crypt-key", "service-api-token", "key-encryption-key"}
        data = hub.folder / "data"
        assert names <= {path.name for path in data.iterdir()}
        for path in (*data.iterdir(), hub.folder / "jupyterhub.sqlite"):
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
        assert not stat.S_IMODE(data.stat().st_mode) & 0o077

    def test_no_secret_and_no_password_is_in_the_log(self, hub: HubHandle) -> None:
        log = hub.log
        for name in ("hub-secret", "hub-cookie-secret", "hub-crypt-key", "service-api-token"):
            assert (hub.folder / "data" / name).read_text().strip() not in log
        for password in (*hub.passwords.values(), "alice-has-a-secret", "only-looks-things-up"):
            assert password not in log

    def test_nothing_failed_without_being_expected(self, hub: HubHandle) -> None:
        assert unexpected(hub.log) == []


def _form(browser: Browser, name: str, password: str, provider: str) -> bytes:
    from urllib.parse import urlencode

    page = browser.get("/hub/login")
    token = next(one["value"] for one in page.fields if one.get("name") == "_xsrf")
    return urlencode({"_xsrf": token, "username": name, "password": password, "provider": provider}).encode()


def unexpected(log: str) -> list[str]:
    """Every answer 500 and every traceback, but for those with which the hub itself logs a refused start."""
    found = re.findall(r"^.*\b500 (?:GET|POST|PUT|PATCH|DELETE) .*$", log, re.MULTILINE)
    for match in re.finditer(r"^( *)Traceback \(most recent call last\):\n(?:\1 .*\n)+\1(\S.*)$", log, re.MULTILINE):
        error = match[2]
        if "SpawnException" not in error and "auth has expired" not in error:
            found.append(error)
    return found
