"""Server starts, requested in every way: only for a project that the user may enter."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.page import HtmlPage
from tests.fixtures.hub import HubHandle
from tests.hub.credentials import create_hub_token, project_of_session, request_with_token
from tests.hub.running.spawn_variants import SPAWN_VARIANTS

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]


class TestOptionsForm:
    def test_it_offers_the_projects_of_the_user(self, browser: Callable[..., Browser]) -> None:
        erin = browser("erin")
        assert erin.offered_projects() == ["churn"]
        page = erin.get("/hub/spawn/erin")
        assert "PROJECT_EXECUTOR" in page.words
        assert "About &lt;churn&gt;" in page.text
        assert "You may:" in page.words

    def test_the_admin_of_all_starts_without_a_project_by_default(self, browser: Callable[..., Browser]) -> None:
        page = browser("boss").get("/hub/spawn/boss")
        checked = [field for field in page.fields if field.get("name") == "project" and "checked" in field]
        assert [field["value"] for field in checked] == [""]

    def test_a_system_session_is_offered_to_holders_of_a_system_role(self, browser: Callable[..., Browser]) -> None:
        assert "" in browser("boss").offered_projects()
        assert "" in browser("maker").offered_projects()

    def test_without_projects_it_says_whom_to_ask(self, browser: Callable[..., Browser]) -> None:
        newcomer = browser("newcomer")
        assert newcomer.offered_projects() == []
        page = newcomer.get("/hub/spawn/newcomer")
        assert "you have no role in any project" in page.words
        assert "Send request" in page.words
        assert 'id="spawn_form"' not in page.text, "there is nothing to start"


@pytest.mark.proves("R34", "T-23")
class TestSpawnVariants:
    @pytest.mark.parametrize("spawn", SPAWN_VARIANTS)
    def test_a_member_starts_for_the_project(
        self, hub: HubHandle, browser: Callable[..., Browser], spawn: Callable[..., HtmlPage]
    ) -> None:
        erin = browser("erin")
        page = spawn(erin, hub, "churn")
        assert page.status < 400, page.text
        erin.wait_ready()
        assert project_of_session(hub, "erin") == "churn"
        assert "Projects of your servers" in (home := erin.get("/hub/home").words)
        assert "churn" in home
        lines = [line for line in hub.log.splitlines() if ": `erin`, server" in line]
        assert lines
        assert all(re.match(r"\[I \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} aizen_hub\.spawn ", line) for line in lines)

    @pytest.mark.parametrize("project", ["fraud", "no-such-project", ""])
    @pytest.mark.parametrize("spawn", SPAWN_VARIANTS)
    def test_other_projects_are_denied_with_the_reason(
        self, hub: HubHandle, browser: Callable[..., Browser], spawn: Callable[..., HtmlPage], project: str
    ) -> None:
        erin = browser("erin")
        page = spawn(erin, hub, project)
        assert page.status >= 400
        text = page.json()["message"] if "json" in page.headers["content-type"] else page.alert
        reason = f"There is no project {project} that you may enter. Choose one from the list."
        words = " ".join(text.replace("`", "").split())
        if "/hub/spawn-pending/" in page.url:
            # A start that took more than a second has a page whose reason is not marked as an error.
            words = reason if reason in page.words.replace("`", "") else page.words
        if project:
            # The same text for a project that the user may not enter and one that does not exist.
            sentence, _, why = words.partition(" Why")
            assert sentence == reason
            address = f"/services/aizen/why?do=enter%3Aproject&in={project}"
            assert why in ("", f": {address}")
            if "html" in page.headers["content-type"]:
                assert address.replace("&", "&amp;") in page.text, "the reason leads to its explanation"
        assert "Traceback" not in text
        assert project_of_session(hub, "erin") is None
        assert erin.server() is None

    @pytest.mark.parametrize("spawn", SPAWN_VARIANTS)
    def test_a_former_member_is_denied(
        self, hub: HubHandle, browser: Callable[..., Browser], spawn: Callable[..., HtmlPage]
    ) -> None:
        leaver = browser("leaver")
        if "churn" in leaver.offered_projects():
            body = {"roles": ["PROJECT_EXECUTOR"], "scope": "churn", "identity": "user:leaver"}
            page = request_with_token(
                hub, create_hub_token(browser("maker")), "POST", "/services/aizen/api/v1/assignments/revoke", body
            )
            assert page.status == 200, page.text
            assert leaver.offered_projects() == []
        assert spawn(leaver, hub, "churn").status >= 400
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
    def test_anything_but_one_name_is_rejected(
        self, hub: HubHandle, browser: Callable[..., Browser], options: Any
    ) -> None:
        guest = browser("guest")
        page = request_with_token(
            hub, create_hub_token(guest), "POST", "/hub/api/users/guest/server", {"user_options": options}
        )
        assert 400 <= page.status < 500, page.text
        assert guest.server() is None

    def test_the_name_of_a_server_has_no_meaning(self, hub: HubHandle, browser: Callable[..., Browser]) -> None:
        erin = browser("erin")
        erin.spawn("churn", "fraud")
        assert project_of_session(hub, "erin", "fraud") == "churn"
