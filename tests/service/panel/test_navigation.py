"""The menu: which entry is the current one, and that every entry leads to a page."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.reviews import lifecycle
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.panel import documentation_folder
from aizen_hub.service.panel.navigation import HELP, MANAGE, MINE, current_page, help_page, pending_counts
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.routes import routes
from aizen_hub.store.actor import Actor, Channel
from tests.fixtures.browser.panel import PanelService
from tests.store.query_plans import query_plans


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


def count_at_home(panel: PanelService, user: str) -> int:
    with panel.store.read_as(Actor(Identity.user(user), Channel.PANEL)) as tx:
        return pending_counts(Viewer(tx))["home"]


@pytest.mark.proves("R72", "R131")
def test_open_reviews_are_counted_for_those_who_do_them(panel: PanelService) -> None:
    badge = 'Home<span class="az-count">1<span class="visually-hidden"> waiting</span></span>'
    assert badge not in panel.get("ada", "me")
    review = panel.write("ada", lambda tx: lifecycle.start_review(tx, "p1"))
    # eve and rob have a role in p1 but do not read its access; zoe manages p2, and boss has no role in p1.
    assert {user: count_at_home(panel, user) for user in ("ada", "eve", "rob", "zoe", "boss")} == {
        "ada": 1,
        "eve": 0,
        "rob": 0,
        "zoe": 0,
        "boss": 0,
    }
    assert badge in panel.get("ada", "me")
    assert "1 review of access waits for you." in panel.get("ada", "home")
    system = panel.write("boss", lambda tx: lifecycle.start_review(tx, SYSTEM))
    assert [count_at_home(panel, user) for user in ("ada", "zoe", "boss")] == [1, 0, 1]
    panel.write("ada", lambda tx: lifecycle.finish_review(tx, review.id))
    panel.write("boss", lambda tx: lifecycle.finish_review(tx, system.id))
    assert [count_at_home(panel, user) for user in ("ada", "boss")] == [0, 0]
    assert "for you." not in panel.get("ada", "home").replace("is waiting for you.", "")


def test_open_reviews_are_found_by_an_index(panel: PanelService) -> None:
    with panel.store.read_as(Actor(Identity.user("ada"), Channel.PANEL)) as tx:
        plans = query_plans(tx.conn, lambda: lifecycle.list_open_scopes(tx, {"p1", "p2"}, 99))
    (plan,) = plans.values()
    assert plan == ["SEARCH access_reviews USING INDEX ix_access_reviews_scope (scope=?)"]
