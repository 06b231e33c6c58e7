"""The menu: which entry is the current one, and that every entry leads to a page."""

from __future__ import annotations

import pytest

from aizen_hub.service.panel import documentation_folder
from aizen_hub.service.panel.navigation import HELP, MANAGE, MINE, current_page, help_page
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


def test_every_entry_has_its_page_of_help() -> None:
    """That the pages exist is checked in the built documentation, by tests/docs/test_product_links.py."""
    assert [entry.path for entry in (*MINE, *MANAGE) if entry.path not in HELP] == []
    pages = {route.path for route in routes() if route.browser_page and route.method == "GET"}
    assert [path for path in HELP if not any(f"{page}/".startswith(f"/{path}/") for page in pages)] == []


@pytest.mark.parametrize(
    ("path", "explained"),
    [
        ("/system/review", HELP["system/review"]),
        ("/system/keys/{purpose}", HELP["system"]),
        ("/people/{name}/stop", HELP["people"]),
        ("/why", HELP["why"]),
        ("/search", documentation_folder.START),
    ],
)
def test_the_page_of_help(path: str, explained: str) -> None:
    assert help_page(path) == explained
