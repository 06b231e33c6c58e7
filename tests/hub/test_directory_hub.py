"""A real hub beside a real directory: what changes there reaches kernels, an outage stays small, guessing is slow."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser, LoginRefused
from aizen_hub.demo.page import Page
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.hub.roads import ask, may, renewed, wait_for

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]

SUFFIX = "dc=lab,dc=test"
GROUPS, PEOPLE = f"ou=groups,{SUFFIX}", f"ou=people,{SUFFIX}"
EXECUTORS = f"cn=aizen-churn-executors,{GROUPS}"
MAX_AGE = 60
DEADLINE = 2.0
FALSE = count(1)
HERE, THERE = "127.0.0.11", "127.0.0.12"


def seed(tx: Any) -> None:
    from aizen_hub.accounts.groups import mapping_rules as mappings
    from aizen_hub.accounts.projects import projects
    from aizen_hub.accounts.users import users
    from aizen_hub.rbac.identity import Identity

    for name in ("alice", "gustav", "carol"):
        users.create(tx, name, provider="lab")
    projects.create(tx, "churn", owner=Identity.user("maker"))
    mappings.put(tx, "lab", "aizen-{project}-executors", "PROJECT_EXECUTOR")


@pytest.fixture(scope="module")
def hub(directory: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    directory.ldapadd(
        f"dn: {EXECUTORS}\nobjectClass: groupOfNames\ncn: aizen-churn-executors\n"
        f"member: uid=alice,{PEOPLE}\nmember: uid=gustav,{PEOPLE}\n"
    )
    settings = {
        "group_max_age_seconds": MAX_AGE,
        "providers": [
            {"name": "local", "kind": "local", "label": "Local account"},
            {
                "name": "lab",
                "kind": "ldap",
                "label": "Lab",
                "config": directory.settings(),
                "deadline_seconds": DEADLINE,
            },
        ],
    }
    try:
        with running_hub(
            tmp_path_factory.mktemp("dirhub"),
            settings,
            accounts={"boss": "AIZEN_ADMIN", "maker": "PROJECT_CREATOR"},
            seed=seed,
            tiny=("alice", "gustav", "boss"),
        ) as running:
            yield running
    finally:
        directory.ldapdelete(EXECUTORS)


class From(Browser):
    """A browser at a loopback address of its own, which says it were yet another."""

    def __init__(self, url: str, source: str) -> None:
        super().__init__(url)

        class Bound(urllib.request.HTTPHandler):
            def http_open(self, request: urllib.request.Request) -> Any:
                return self.do_open(partial(http.client.HTTPConnection, source_address=(source, 0)), request)

        bound = Bound()
        bound.add_parent(self._opener)
        # In place of the usual one, which would be asked first.
        self._opener.handle_open["http"] = [bound]
        # The hub ties its form to it.
        self._added = {"X-Real-Ip": f"203.0.113.{next(FALSE) % 250}"}

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Page:
        return super().request(method, path, body, {**(headers or {}), **self._added})


def sign_in(hub: HubHandle, name: str, password: str, source: str, provider: str = "lab") -> Browser:
    browser = From(hub.url, source)
    browser.login(name, password, provider=provider)
    return browser


@contextmanager
def health(hub: HubHandle) -> Iterator[list[float]]:
    """Ask the hub for its health all the time; yields the seconds that each answer took."""
    times: list[float] = []
    done = threading.Event()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def loop() -> None:
        while not done.is_set():
            start = time.perf_counter()
            with opener.open(hub.url + "/hub/health", timeout=10) as answer:
                answer.read()
            times.append(time.perf_counter() - start)
            time.sleep(0.01)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield times
    finally:
        done.set()
        thread.join()


@pytest.mark.proves("T-50", "R63")
def test_a_kernel_that_renews_by_itself_loses_what_was_taken_in_the_directory(hub: HubHandle, directory: Any) -> None:
    alice = hub.login("alice", "alice-has-a-secret", provider="lab")
    environ = environment_of(alice, alice.spawn("churn"))
    assert may(environ)
    directory.modify(EXECUTORS, "delete: member", f"member: uid=alice,{PEOPLE}")
    try:
        # Nobody opens a page of the hub from here on.
        assert wait_for(lambda: not may(environ), MAX_AGE) < MAX_AGE / 2
        status, answer = ask(environ["AIZEN_URL"], environ["AIZEN_TOKEN"], {"permission": "execute:training"})
        assert status != 200 or not answer["decision"]["allowed"], "the token that it had before"
    finally:
        directory.modify(EXECUTORS, "add: member", f"member: uid=alice,{PEOPLE}")
    wait_for(lambda: may(environ), MAX_AGE)
    alice.stop()


@pytest.mark.proves("R129", "R18")
def test_the_server_of_somebody_who_was_disabled_there_stops(hub: HubHandle, directory: Any) -> None:
    gustav = hub.login("gustav", "gustav-has-a-secret", provider="lab")
    environ = environment_of(gustav, gustav.spawn("churn"))
    assert may(environ)
    directory.modify(f"uid=gustav,{PEOPLE}", "replace: userAccountControl", "userAccountControl: 514")
    try:
        wait_for(lambda: renewed(environ) is None, MAX_AGE + 15)
    finally:
        directory.modify(f"uid=gustav,{PEOPLE}", "replace: userAccountControl", "userAccountControl: 512")


@pytest.mark.proves("T-22", "R128")
def test_a_hung_directory_leaves_the_hub_quick_and_people_in(hub: HubHandle, directory: Any) -> None:
    alice = hub.login("alice", "alice-has-a-secret", provider="lab")
    refused: list[str] = []

    def attempt(number: int) -> None:
        try:
            sign_in(hub, "carol", "carol-has-a-secret", f"127.0.2.{number + 1}")
        except LoginRefused as error:
            refused.append(str(error))

    with directory.hung():
        threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
        with health(hub) as times:
            for one in threads:
                one.start()
            for one in threads:
                one.join()
        assert len(times) > 20
        # A hub that waits for the directory answers nobody for as long as a sign-in may take.
        assert max(times) < DEADLINE, "the hub waited for the directory"
        assert statistics.median(times) < 0.1
        assert len(refused) == 8
        assert all("cannot be reached" in one or "too many people" in one for one in refused), refused
        # Whoever is in goes on, for the grace time.
        assert alice.api("GET", "/hub/api/user").status == 200
    assert sign_in(hub, "carol", "carol-has-a-secret", THERE).name == "carol"


@pytest.mark.proves("R123", "R124", "T-35")
@pytest.mark.parametrize("provider", ["local", "lab"])
def test_guessing_slows_down_where_it_comes_from_and_nowhere_else(hub: HubHandle, provider: str) -> None:
    name, password = ("boss", hub.passwords["boss"]) if provider == "local" else ("alice", "alice-has-a-secret")
    texts = [""]
    # The first wait is one second: who goes on guessing lets it pass.
    while "too many failed attempts" not in texts[-1].lower():
        assert len(texts) <= 8, texts
        with pytest.raises(LoginRefused) as refusal:
            sign_in(hub, name, "not it at all", HERE, provider)
        texts.append(str(refusal.value))
    assert texts[1] == "Invalid username or password"
    with pytest.raises(LoginRefused, match=r"[Tt]oo many"):
        sign_in(hub, name, password, HERE, provider)
    assert sign_in(hub, name, password, THERE, provider).name == name


@pytest.mark.proves("R123", "T-35")
def test_the_address_for_tokens_by_password_is_slowed_down_too(hub: HubHandle) -> None:
    def token(password: str, source: str) -> tuple[int, str]:
        body = json.dumps({"auth": {"username": "maker", "password": password, "provider": "local"}}).encode()
        headers = {"Content-Type": "application/json"}
        page = From(hub.url, source).request("POST", "/hub/api/users/maker/tokens", body, headers)
        return page.status, page.text

    # That address takes people whom the hub has seen before.
    sign_in(hub, "maker", hub.passwords["maker"], THERE, "local")
    answers = [token("not it at all", "127.0.0.13") for _ in range(8)]
    assert all(status >= 400 for status, _ in answers)
    assert token(hub.passwords["maker"], "127.0.0.13")[0] >= 400
    status, text = token(hub.passwords["maker"], "127.0.0.14")
    assert status == 201, text


@pytest.mark.proves("R123", "T-35")
def test_unknown_and_wrong_take_about_as_long(hub: HubHandle) -> None:
    times: dict[str, list[float]] = {"unknown": [], "carol": []}
    for number in range(12):
        for name, taken in times.items():
            start = time.perf_counter()
            with pytest.raises(LoginRefused, match="Invalid username or password"):
                sign_in(hub, name, "not it", f"127.0.1.{number + 1}")
            taken.append(time.perf_counter() - start)
    ratio = statistics.median(times["unknown"]) / statistics.median(times["carol"])
    assert 0.6 < ratio < 1.6, times
