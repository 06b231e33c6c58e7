"""Pages for addresses that do not exist, and every template with everything that it can be given."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from aizen_hub.commands.result import Result, message_result, table_result
from aizen_hub.problems import Denied, NotFound
from aizen_hub.service.panel import documentation_folder, rendering
from aizen_hub.service.panel.decisions import changes
from aizen_hub.service.panel.form_errors import NO_ERRORS
from tests.service.conftest import Driver
from tests.service.panel.window import PREFIX, Window

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LINK = {"user": "dora", "link": "/services/aizen/activate#x", "token": "x", "expires": "2026-01-02T00:00:00Z"}
COMMON = {
    **rendering.NO_SHELL,
    "hub": "/hub/",
    "me": "boss",
    "xsrf": "x",
    "here": "",
    "help_page": documentation_folder.START,
    "now": NOW,
    "known_roles": {},
    "errors": NO_ERRORS,
    "toast": None,
}
RESULTS = {
    "message": message_result("granted READER to `eve`"),
    "message with data": message_result("granted READER to `eve`", granted=["READER"], identity="user:eve"),
    "nothing to say": Result("object"),
    "object": Result("object", data={"name": "x"}),
    "empty table": table_result(("name",), []),
    "table": table_result(("name", "since"), [("eve", NOW)], "one user", more=False),
    "credential": message_result("issued", credential="aizen-sa-x", expires=NOW),
    "links": message_result("registered 1 user", added=["dora"], activations=[LINK]),
    "no links": message_result("registered 1 user", added=["dora"], activations=[]),
}
"""Results of every kind, as account commands return them."""


def _effects() -> Iterator[Result]:
    """Yield what a dry run can return."""
    for rows in ([], [("user:eve", "p1", ["PROJECT_READER"], []), ("group:g", "system", [], ["AIZEN_ADMIN"])]):
        permissions = [
            {"identity": row[0], "scope": row[1], "gains": ["read:*"][: len(row[2])], "loses": ["*"][: len(row[3])]}
            for row in rows
        ]
        columns = ("identity", "scope", "gains", "loses")
        yield table_result(columns, rows, "would do", dry_run=True, answer="", steps=[], permissions=permissions)


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every template with the variables of its handler."""
    change = ("c1", "grant AIZEN_ADMIN", "user:eve", NOW, NOW)
    for effect in _effects():
        yield "decisions/change.html", {"change": change, "effect": effect, "denial": None, "dangers": []}
    for remedy in (None, "ask an administrator"):
        denial = Denied("no", remedy=remedy)
        yield "decisions/change.html", {"change": change, "effect": None, "denial": denial, "dangers": []}
        for more in ({}, {"missing": ["read:* in p1"]}, {"id": "f00"}):
            problem = NotFound("no", remedy=remedy, extensions=more)
            for needed in (True, False):
                yield (
                    "problem.html",
                    {"problem": problem, "signed_out": False, "needs_recent_login": needed, "page": "requests"},
                )
    for result in RESULTS.values():
        yield "decisions/confirmed.html", changes.shown_once(result)


@pytest.mark.proves("R118")
@pytest.mark.parametrize("recent_login_until", [NOW, None])
@pytest.mark.parametrize("number", range(len(list(variants()))))
def test_a_page_is_rendered_whatever_its_result_contains(number: int, recent_login_until: datetime | None) -> None:
    template, variables = list(variants())[number]
    page = rendering.render_template(template, COMMON | {"recent_login_until": recent_login_until} | variables, PREFIX)
    assert "</html>" in page


@pytest.mark.parametrize("name", RESULTS)
def test_a_confirmed_change_says_what_was_done_and_shows_its_secrets(name: str) -> None:
    shown = changes.shown_once(RESULTS[name])
    page = rendering.render_template("decisions/confirmed.html", COMMON | {"recent_login_until": NOW} | shown, PREFIX)
    assert ("aizen-sa-x" in page) == (name == "credential")
    assert ("activate#x" in page) == (name == "links")
    assert 'id="aizen-confirmed">.' not in page, "an empty sentence"


class TestUnknownAddresses:
    @pytest.mark.parametrize("page", ["nothing", "nothing/at/all", "changes/a/b/c", "%61ccount", "api", "account/"])
    async def test_they_are_pages_below_the_panel(self, window: Window, page: str) -> None:
        response = await window.get(page)
        assert response.status == 404
        assert response.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        text = response.body.decode()
        assert "There is nothing at this address." in text
        assert f'<a href="{PREFIX}">' in text

    async def test_the_address_without_its_last_slash_is_a_page(self, hub_service: Driver) -> None:
        response = await hub_service.call("GET", PREFIX.rstrip("/"))
        assert response.status == 404
        assert f'<a href="{PREFIX}">' in response.body.decode()

    async def test_a_method_that_a_page_does_not_have(self, window: Window) -> None:
        response = await window.get("changes/c1/confirm")
        assert response.status == 405
        assert response.headers["Content-Type"].startswith("text/html")
        assert response.headers["Allow"] == "POST"

    @pytest.mark.parametrize("path", [PREFIX + "api/v1/nothing", "/nothing", "/api/v1/nothing", "/services/aizenx/"])
    async def test_they_are_documents_for_programs(self, hub_service: Driver, path: str) -> None:
        response = await hub_service.call("GET", path)
        assert response.status == 404
        assert response.json["detail"] == "there is nothing at this address"
