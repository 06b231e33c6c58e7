"""The form of a request for access at a running hub: what is refused is shown with what was typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.page import HtmlPage
from tests.fixtures.hub import HubHandle, running_hub

PAGE = "/hub/spawn"


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("paul"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    accounts = {"ada": "AIZEN_ADMIN", "paul": "", "nora": ""}
    with running_hub(tmp_path_factory.mktemp("ask"), {}, accounts=accounts, seed=seed) as running:
        yield running


@pytest.fixture(scope="module")
def nora(hub: HubHandle) -> Browser:
    return hub.login("nora")


def send(browser: Browser, **fields: str) -> HtmlPage:
    token = browser.get(PAGE).value("_xsrf")
    assert token is not None
    typed = {"project": "churn", "role": "PROJECT_READER", "duration": "7d", "because": "to read", **fields}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": browser.url}
    return browser.request("POST", "/hub/aizen/ask", urlencode({"_xsrf": token, **typed}).encode(), headers)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"project": " "}, "The project is missing."),
        ({"project": "nowhere"}, "There is no project nowhere in which a user can grant PROJECT_READER"),
        ({"role": ""}, "What you want to do is missing."),
        ({"role": "AIZEN_ADMIN"}, "AIZEN_ADMIN is a system role"),
        ({"duration": "soon"}, "soon is no duration"),
        ({"because": "x" * 5000}, "The reason has 5000 characters, and 1000 at most are stored"),
    ],
)
def test_what_is_refused_is_said_and_stays_typed(nora: Browser, fields: dict[str, str], says: str) -> None:
    page = send(nora, **fields)
    assert 400 <= page.status < 500, page.words
    assert page.alert.startswith(says), page.alert
    assert "because" in fields or page.value("because") == "to read"


def test_the_address_of_the_form_leads_to_its_page(nora: Browser) -> None:
    """After a sign-in, or when the address of a refusal is opened again."""
    page = nora.get("/hub/aizen/ask")
    assert page.status == 200
    assert urlsplit(page.url).path == PAGE
