"""Page *Directory*: all people of a directory are read now, by way of the hub, with progress and an audit row."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient

from aizen_hub.accounts import identities
from aizen_hub.accounts.groups import management, mapping_rules
from aizen_hub.accounts.users import registration
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.login.directory_reading import DirectoryReadingHandler
from aizen_hub.hub.login.provider import AccessDeniedError, AuthenticatedIdentity, ProviderUnreachableError
from aizen_hub.operations import directory_reading
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.fixtures.timing import until
from tests.service.panel.projects.objects import location, roles_of, words

PEOPLE = ("gail", "lea", "mia", "rex")


def seed(tx: WriteTransaction) -> None:
    mapping_rules.create_rule(tx, "lab", "crew", "PROJECT_EXECUTOR", "p1")
    management.create_group(tx, "crew-here")
    management.create_group(tx, "night", provider="lab")
    for name in PEOPLE:
        registration.create_user(tx, name, provider="lab")


class Directory:
    """A directory in which gail is unknown and rex may not sign in; the real one is in tests/hub/login/ldap."""

    name = "lab"
    is_down = False
    unknown = "gail"
    long_name = ""

    def __init__(self) -> None:
        self.handler_options: dict[str, Any] = {}

    async def refresh(self, subject: str, name: str, state: Mapping[str, Any] | None = None) -> Any:
        if self.is_down:
            raise ProviderUnreachableError("no")
        if name == "rex":
            raise AccessDeniedError("disabled")
        if name == self.unknown:
            return None
        display_name = "x" * 100_000 if name == self.long_name else ""
        return AuthenticatedIdentity(
            "lab", subject, name, display_name=display_name, groups=("crew",), answered_in=0.021
        )


@pytest.fixture(scope="module")
def directory(panel: PanelService) -> Directory:
    """The endpoint of the hub, for a directory of four people who have signed in once."""
    directory = Directory()

    async def add_endpoint() -> None:
        context = panel.driver.context
        options = directory.handler_options
        options |= {
            "secret_path": context.settings.hub_secret_path,
            "directories": {"lab": directory},
            "service": ServiceClient(panel.driver.url, panel.driver.hub_secret),
        }
        route = ("/hub/api/aizen/read-people", DirectoryReadingHandler, options)
        panel.hub.server.request_callback.add_handlers(r".*", [route])

    panel.run(add_endpoint())
    for name in PEOPLE:
        report = {"provider": "lab", "subject": f"{name}-1", "name": name, "groups": []}
        assert panel.run(panel.driver.hub("POST", "/login", report)).status == 200
    return directory


def last_seen(panel: PanelService, user: str) -> datetime | None:
    with panel.store.read() as tx:
        return identities.get_user(tx, user).last_seen


def read_now(panel: PanelService, **fields: str) -> str:
    """Press *Read now* and return the words of the page once the operation has ended."""
    response = panel.post("boss", "directory/read", {"provider": "lab", **fields})
    page = location(response)
    asyncio.run(
        until(lambda: "hx-trigger" not in panel.get("boss", page).partition('<div id="progress"')[2].partition(">")[0])
    )
    return words(panel.get("boss", page))


@pytest.mark.proves("R63")
def test_all_people_are_read_now(panel: PanelService, directory: Directory) -> None:
    assert "no answer in the last hour" in words(panel.get("boss", "directory"))
    assert 'action="/services/aizen/directory/read"' in panel.get("boss", "directory")
    assert roles_of(panel, "lea", "p1") == set()
    seen = last_seen(panel, "lea")
    content = read_now(panel)
    assert "2 of 4 people were read. 1 is not known there any more. 1 may not sign in any more: rex" in content
    assert roles_of(panel, "lea", "p1") == {"PROJECT_EXECUTOR"}, "the directory has put lea into a group meanwhile"
    assert last_seen(panel, "lea") == seen is not None, "lea did nothing, so her account may become dormant"
    page = words(panel.get("boss", "directory"))
    assert "21 ms median of 2 answers, slowest 21 ms" in page
    assert "gail" in page.partition("Left the directory")[2]
    with panel.store.read() as tx:
        (row,) = [
            row
            for row in search_newest(tx.conn, AuditFilter(event="operation.started"), 10)
            if row["details"]["kind"] == "directory-reading"
        ]
    assert (row["identity"], row["details"]["provider"], row["details"]["people"]) == ("user:boss", "lab", 4)


def test_a_directory_that_is_down(panel: PanelService, directory: Directory) -> None:
    directory.is_down = True
    try:
        assert "lab does not answer; 0 of 4 people were read before" in read_now(panel).lower()
    finally:
        directory.is_down = False


def test_who_left_before_does_not_end_a_reading(
    panel: PanelService, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_now(panel)
    monkeypatch.setattr(directory_reading, "MAX_GONE", 1)
    assert "2 of 4 people were read. 1 is not known there any more." in read_now(panel)


@pytest.mark.proves("R59")
@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        (None, "x" * 43, "this service does not accept the hub; 0 of 4 people were read before"),
        ("http://127.0.0.1:1", None, "this service did not answer the hub; 0 of 4 people were read before"),
    ],
)
@pytest.mark.parametrize("unknown", ["", "lea"])  # lea is the first of them
def test_a_report_that_the_service_does_not_take_ends_a_reading(
    panel: PanelService,
    directory: Directory,
    monkeypatch: pytest.MonkeyPatch,
    url: str | None,
    secret: str | None,
    said: str,
    unknown: str,
) -> None:
    client = ServiceClient(url or panel.driver.url, secret or panel.driver.hub_secret)
    monkeypatch.setitem(directory.handler_options, "service", client)
    monkeypatch.setattr(directory, "unknown", unknown)
    content = read_now(panel).lower()
    client.close()
    assert said in content
    assert "any more" not in content


def test_a_person_whose_report_is_refused_is_named_and_the_others_are_read(
    panel: PanelService, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "unknown", "")
    monkeypatch.setattr(directory, "long_name", "lea")  # a display name that the service refuses
    content = read_now(panel)
    assert "What the hub reported of 1 was refused, and they stay as they were: lea" in content
    assert "2 of 4 people were read." in content, "gail and mia"
    assert "1 may not sign in any more: rex" in content


@pytest.mark.proves("R63", "R72")
def test_the_people_of_one_group_are_read_now(panel: PanelService, directory: Directory) -> None:
    report = {"provider": "lab", "subject": "mia-1", "name": "mia", "groups": ["night"]}
    assert panel.run(panel.driver.hub("POST", "/login", report)).status == 200
    page = panel.get("boss", "groups/night")
    assert 'name="group" value="night"' in page
    content = read_now(panel, group="night")
    assert "1 of 1 people were read." in content
    with panel.store.read() as tx:
        started = search_newest(tx.conn, AuditFilter(event="operation.started"), 1)[0]["details"]
    assert (started["provider"], started["group"], started["people"]) == ("lab", "night", 1)
    assert "no one is in it" in words(panel.get("boss", "groups/night")).lower(), "she is in another group there"
    refused = panel.post("boss", "directory/read", {"provider": "lab", "group": "night"})
    assert refused.status == 409
    assert panel.post("boss", "directory/read", {"provider": "lab", "group": "none-such"}).status == 404
    assert panel.post("ada", "directory/read", {"provider": "lab", "group": "night"}).status == 404
    assert 'name="group"' not in panel.get("boss", "groups/crew-here"), "a group that is kept here"


@pytest.mark.proves("R60", "R72")
@pytest.mark.parametrize(("user", "provider"), [("ada", "lab"), ("boss", "local"), ("boss", "nowhere")])
def test_who_may_not(panel: PanelService, user: str, provider: str) -> None:
    assert panel.post(user, "directory/read", {"provider": provider}).status == 404


@pytest.mark.proves("R36")
def test_the_endpoint_of_the_hub_accepts_its_secret_only(panel: PanelService, directory: Directory) -> None:
    async def ask(secret: str, body: object) -> int:
        response = await AsyncHTTPClient().fetch(
            f"{panel.hub.url}/aizen/read-people",
            method="POST",
            body=json.dumps(body),
            headers={"Authorization": f"Bearer {secret}"},
            raise_error=False,
        )
        return int(response.code)

    body = {"provider": "lab", "people": [{"subject": "lea-1", "name": "lea"}]}
    assert panel.run(ask("wrong", body)) == 401
    assert panel.run(ask(panel.driver.hub_secret, body)) == 200
    assert panel.run(ask(panel.driver.hub_secret, {**body, "provider": "local"})) == 404
    assert panel.run(ask(panel.driver.hub_secret, {"provider": "lab", "people": []})) == 400
