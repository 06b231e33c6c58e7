"""A real hub with a real directory: changes reach kernels, an outage stays local, password guessing is throttled."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError
from aizen_hub.demo.page import HtmlPage
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.hub.credentials import decide, is_allowed_now, renew_role_token, wait_until

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]

SUFFIX = "dc=lab,dc=test"
GROUPS, PEOPLE = f"ou=groups,{SUFFIX}", f"ou=people,{SUFFIX}"
EXECUTORS = f"cn=aizen-churn-executors,{GROUPS}"
MAX_AGE = 60
DEADLINE = 4.0
FALSE = count(1)
HERE, THERE = "127.0.0.11", "127.0.0.12"


def seed(tx: Any) -> None:
    from aizen_hub.accounts.groups import mapping_rules
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.users import registration
    from aizen_hub.rbac.identity import Identity

    for name in ("alice", "gustav", "carol"):
        registration.create_user(tx, name, provider="lab")
    lifecycle.create_project(tx, "churn", owner=Identity.user("maker"))
    mapping_rules.create_rule(tx, "lab", "aizen-{project}-executors", "PROJECT_EXECUTOR")


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
            fake_servers=("alice", "gustav", "boss"),
        ) as running:
            yield running
    finally:
        directory.ldapdelete(EXECUTORS)


class From(Browser):
    """A browser with its own loopback address, which claims another one by `X-Real-Ip`."""

    def __init__(self, url: str, source: str) -> None:
        super().__init__(url)

        class Bound(urllib.request.HTTPHandler):
            def http_open(self, request: urllib.request.Request) -> Any:
                return self.do_open(partial(http.client.HTTPConnection, source_address=(source, 0)), request)

        bound = Bound()
        bound.add_parent(self._opener)
        # Instead of the default handler, which would come first.
        self._opener.handle_open["http"] = [bound]
        # The hub binds its form to the address.
        self._added = {"X-Real-Ip": f"203.0.113.{next(FALSE) % 250}"}

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HtmlPage:
        return super().request(method, path, body, {**(headers or {}), **self._added})


def sign_in(hub: HubHandle, name: str, password: str, source: str, provider: str = "lab") -> Browser:
    browser = From(hub.url, source)
    browser.login(name, password, provider=provider)
    return browser


@pytest.mark.proves("T-50", "R63")
def test_a_renewed_token_loses_rights_removed_in_the_directory(hub: HubHandle, directory: Any) -> None:
    alice = hub.login("alice", "alice-has-a-secret", provider="lab")
    environ = environment_of(alice, alice.spawn("churn"))
    assert is_allowed_now(environ)
    directory.modify(EXECUTORS, "delete: member", f"member: uid=alice,{PEOPLE}")
    try:
        # No page of the hub is opened from here on.
        assert wait_until(lambda: not is_allowed_now(environ), MAX_AGE) < MAX_AGE / 2
        status, answer = decide(environ["AIZEN_URL"], environ["AIZEN_TOKEN"], {"permission": "execute:training"})
        assert status != 200 or not answer["decision"]["allowed"], "the previous token"
    finally:
        directory.modify(EXECUTORS, "add: member", f"member: uid=alice,{PEOPLE}")
    wait_until(lambda: is_allowed_now(environ), MAX_AGE)
    alice.stop()


@pytest.mark.proves("R129", "R18")
def test_the_server_of_a_disabled_user_stops(hub: HubHandle, directory: Any) -> None:
    gustav = hub.login("gustav", "gustav-has-a-secret", provider="lab")
    environ = environment_of(gustav, gustav.spawn("churn"))
    assert is_allowed_now(environ)
    directory.modify(f"uid=gustav,{PEOPLE}", "replace: userAccountControl", "userAccountControl: 514")
    try:
        wait_until(lambda: renew_role_token(environ) is None, MAX_AGE + 15)
    finally:
        directory.modify(f"uid=gustav,{PEOPLE}", "replace: userAccountControl", "userAccountControl: 512")


@pytest.mark.proves("T-22", "R128")
def test_a_hung_directory_delays_no_page_and_signs_no_user_out(hub: HubHandle, directory: Any) -> None:
    alice = hub.login("alice", "alice-has-a-secret", provider="lab")
    refused: list[str] = []

    def attempt(number: int) -> None:
        try:
            sign_in(hub, "carol", "carol-has-a-secret", f"127.0.2.{number + 1}")
        except LoginRejectedError as error:
            refused.append(str(error))

    with directory.hung():
        threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        responses = 0
        while any(thread.is_alive() for thread in threads):
            assert Browser(hub.url).get("/hub/health").status == 200
            responses += 1
            time.sleep(0.01)
        # A hub that waited for the directory would respond at most once for each login.
        assert responses > 8, "the hub waited for the directory"
        assert len(refused) == 8
        assert all("cannot be reached" in text or "too many users" in text for text in refused), refused
        # Signed-in users stay signed in during the grace period.
        assert alice.api("GET", "/hub/api/user").status == 200
    assert sign_in(hub, "carol", "carol-has-a-secret", THERE).name == "carol"


@pytest.mark.proves("R123", "R124", "T-35")
@pytest.mark.parametrize("provider", ["local", "lab"])
def test_guessing_is_throttled_by_source(hub: HubHandle, provider: str) -> None:
    name, password = ("boss", hub.passwords["boss"]) if provider == "local" else ("alice", "alice-has-a-secret")
    texts = [""]
    # The first wait is one second, which may pass between two attempts.
    while "too many failed attempts" not in texts[-1].lower():
        assert len(texts) <= 8, texts
        with pytest.raises(LoginRejectedError) as refusal:
            sign_in(hub, name, "not it at all", HERE, provider)
        texts.append(str(refusal.value))
    assert texts[1] == "Invalid username or password"
    with pytest.raises(LoginRejectedError, match=r"[Tt]oo many"):
        sign_in(hub, name, password, HERE, provider)
    assert sign_in(hub, name, password, THERE, provider).name == name


@pytest.mark.proves("R123", "T-35")
def test_the_password_for_token_endpoint_is_throttled_too(hub: HubHandle) -> None:
    def token(password: str, source: str) -> tuple[int, str]:
        body = json.dumps({"auth": {"username": "maker", "password": password, "provider": "local"}}).encode()
        headers = {"Content-Type": "application/json"}
        page = From(hub.url, source).request("POST", "/hub/api/users/maker/tokens", body, headers)
        return page.status, page.text

    # That endpoint accepts users whom the hub has seen before.
    sign_in(hub, "maker", hub.passwords["maker"], THERE, "local")
    answers = [token("not it at all", "127.0.0.13") for _ in range(8)]
    assert all(status >= 400 for status, _ in answers)
    assert token(hub.passwords["maker"], "127.0.0.13")[0] >= 400
    status, text = token(hub.passwords["maker"], "127.0.0.14")
    assert status == 201, text


@pytest.mark.proves("R123", "T-35")
def test_an_unknown_name_and_a_wrong_password_cause_the_same_requests(hub: HubHandle, directory: Any) -> None:
    """So both take about as long."""
    requests = {}
    for name in ("unknown", "carol"):
        directory.clear_log()
        with pytest.raises(LoginRejectedError, match="Invalid username or password"):
            sign_in(hub, name, "not it", "127.0.1.1")
        log = directory.requests_logged()
        # Other connections are those of refreshes.
        connection = re.search(rf"(conn=\d+) .* filter=\".*\(uid={name}\)", log)
        assert connection, log
        operations = rf"^.*{connection[1]} op=\d+ (EXT|BIND|SRCH) (?:oid|dn=\".*\" method|base)="
        requests[name] = re.findall(operations, log, re.MULTILINE)
    assert requests["unknown"] == requests["carol"] == ["EXT", "BIND", "SRCH", "BIND"]
