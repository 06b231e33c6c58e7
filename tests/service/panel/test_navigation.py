"""The menu: which entry is the current one, and that every entry leads to a page."""

from __future__ import annotations

import pytest

from aizen_hub.service.panel.navigation import MANAGE, MINE, current_page
from aizen_hub.service.routes import routes


def test_every_entry_leads_to_a_page() -> None:
    pages = {route.path for route in routes() if route.browser_page and route.method == "GET"}
    assert {f"/{entry.path}" for entry in (*MINE, *MANAGE)} <= pages


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("/me", "me"),
        ("/me/requests", "me/requests"),
        ("/people/{name}/stop", "people"),
        ("/projects/-/new", "projects"),
        ("/", ""),
        ("/undo", ""),
        ("/mex", ""),
    ],
)
def test_the_current_entry(path: str, entry: str) -> None:
    assert current_page(path) == entry
