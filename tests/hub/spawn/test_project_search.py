"""The search among many projects at a running hub: it starts nothing, and what is chosen goes to the hub's own page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from aizen_hub.demo.browser import Browser
from tests.fixtures.hub import HubHandle, running_hub

PROJECTS = ("churn", "forecast", "pricing", "vision", "scratch", "speech", "routing", "fraud")


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.rbac.identity import Identity

    for name in PROJECTS:
        lifecycle.create_project(tx, name, owner=Identity.user("paul"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    accounts = {"ada": "AIZEN_ADMIN", "paul": ""}
    with running_hub(tmp_path_factory.mktemp("search"), {}, accounts=accounts, seed=seed) as running:
        yield running


@pytest.fixture(scope="module")
def paul(hub: HubHandle) -> Browser:
    return hub.login("paul")


def found(text: str) -> list[str]:
    return re.findall(r'data-aizen-card="(\w+) ', text)


def test_what_is_found_and_where_the_choice_goes(paul: Browser) -> None:
    assert len(found(paul.get("/hub/spawn").text)) == len(PROJECTS)
    page = paul.get("/hub/aizen/projects?q=SP&next=%2Fhub%2Fhome")
    assert page.status == 200, page.words
    assert found(page.text) == ["speech"]
    action = re.search(r'action="(/hub/spawn/paul[^"]*)"', page.text)
    assert action is not None
    assert "_xsrf=" in action[1]
    assert "next=%2Fhub%2Fhome" in action[1]
    assert paul.server() is None, "nothing was started"
    # Kept for the next search, though the spawn page had none.
    assert 'name="next" form="aizen-find" value="/hub/home"' in page.text
    assert found(paul.get("/hub/aizen/projects?q=%3Cb%3E").text) == []
    assert "&lt;b&gt;" in paul.get("/hub/aizen/projects?q=%3Cb%3E").text


def test_a_server_without_an_entry_leads_to_the_page_that_makes_it(paul: Browser) -> None:
    page = paul.get("/hub/aizen/projects?q=vision&server=second")
    assert urlsplit(page.url).path == "/hub/spawn/paul/second"


def test_who_is_not_signed_in_sees_nothing(hub: HubHandle) -> None:
    page = Browser(hub.url).get("/hub/aizen/projects?q=vision")
    assert "/hub/login" in page.url
    assert found(page.text) == []
