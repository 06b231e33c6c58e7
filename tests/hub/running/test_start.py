"""How a server starts, by every road: for a project of one's own, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.page import Page
from tests.fixtures.hub import HubHandle
from tests.hub.roads import api_token, project_of_session, with_token
from tests.hub.running.spawn_variants import ROADS

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]


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
