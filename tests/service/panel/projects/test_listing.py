"""The list of projects in the panel."""

from __future__ import annotations

import pytest

from tests.fixtures.browser.panel import PanelBrowser, PanelService
from tests.service.panel.projects.objects import seed, words

__all__ = ["seed"]


@pytest.mark.proves("R72")
@pytest.mark.parametrize(
    ("user", "shown", "hidden"),
    [
        ("boss", ("churn", "p1", "p2"), ()),
        ("paul", ("churn",), ("p1", "p2")),
        ("ada", ("p1",), ("churn", "p2")),
        ("nil", (), ("churn", "p1", "p2")),
    ],
)
def test_only_visible_projects(panel: PanelService, user: str, shown: tuple[str, ...], hidden: tuple[str, ...]) -> None:
    text = panel.get(user, "projects")
    assert all(f"projects/{name}" in text for name in shown)
    assert not any(f"projects/{name}" in text for name in hidden)


def test_members_are_counted_only_where_they_may_be_read(panel: PanelService) -> None:
    assert "Carol" not in panel.get("maker", "projects?q=churn")
    maker = words(panel.get("maker", "projects?q=churn"))
    assert "churn" in maker
    assert "\N{EN DASH} not for you" in maker
    boss = words(panel.get("boss", "projects?q=churn"))
    assert "carol" in boss
    assert "not for you" not in boss


@pytest.mark.parametrize(
    ("page", "label"), [("projects", "Direct members"), ("roles", "Assigned"), ("directory", "People")]
)
def test_a_number_has_its_label_on_a_narrow_screen(panel: PanelService, page: str, label: str) -> None:
    assert f'data-label="{label}"' in panel.get("boss", page)


def test_a_role_is_not_broken_within_a_word_beside_a_sentence(panel: PanelService, browser: PanelBrowser) -> None:
    page = browser.open("people/ada", "boss", width=320).page
    role = page.locator("th .az-role", has_text="PROJECT_ADMIN").first
    row = page.locator("tr", has=role).first
    row.locator("td.az-end").evaluate("cell => { cell.textContent = 'carol or paul or eve may' }")
    line = "element => parseFloat(getComputedStyle(element).lineHeight)"
    assert role.evaluate("element => element.getBoundingClientRect().height") < 1.5 * role.evaluate(line)


def test_filters_and_an_empty_list(panel: PanelService) -> None:
    assert "1 project" in words(panel.get("boss", "projects?q=customers"))
    assert "No project fits" in panel.get("boss", "projects?q=zzz")
    assert "No project yet" in panel.get("nil", "projects")
    assert "projects/-/new" in panel.get("maker", "projects")
    assert "projects/-/new" not in panel.get("paul", "projects")


def test_an_unknown_order_is_refused(panel: PanelService) -> None:
    response = panel.run(panel.window("boss").get("projects?sort=colour"))
    assert response.status == 400
