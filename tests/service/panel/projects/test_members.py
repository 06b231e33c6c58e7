"""The members of a project in the panel: who sees what, and which actions are offered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert

from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import assignment_id, seed, status, words

__all__ = ["seed"]


def test_each_role_with_its_source(panel: PanelService) -> None:
    text = panel.get("paul", "projects/churn")
    content = words(text)
    assert "7 roles of 7 members" in content
    assert "Rita Sandoval" in content
    assert "created the project" in content
    assert "Group crew" in content
    assert "by group" in content
    for name, role, offered in (
        ("user:rita", "PROJECT_READER", True),
        ("group:crew", "PROJECT_EXECUTOR", True),
        ("user:carol", "PROJECT_ADMIN", False),
    ):
        link = f'projects/churn/members/{assignment_id(panel, name, role)}"'
        assert (link in text) is offered, name


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?q=RITA", 1),
        ("?q=sandoval", 1),
        ("?role=PROJECT_EXECUTOR", 3),
        ("?source=group", 1),
        ("?ending=soon", 1),
        ("?source=direct&role=PROJECT_READER&sort=until", 2),
        ("?sort=-role", 7),
    ],
)
def test_filters_in_the_address(panel: PanelService, query: str, count: int) -> None:
    noun = "role" if count == 1 else "roles"
    assert f"{count} {noun} of" in words(panel.get("paul", f"projects/churn{query}"))


@pytest.mark.proves("R72")
def test_a_reader_sees_the_project_without_its_members(panel: PanelService) -> None:
    content = words(panel.get("rita", "projects/churn"))
    assert "My roles here" in content
    assert "PROJECT_READER" in content
    assert "Beatriz" not in content
    assert "7 members" not in content
    for tab in ("/matrix", "/settings", "/requests", "/matrix/-/people", "/members/-/csv"):
        assert status(panel, "rita", f"projects/churn{tab}") == 404


@pytest.mark.proves("R72")
@pytest.mark.parametrize("user", ["ada", "nil"])
def test_an_invisible_project_is_as_one_that_does_not_exist(panel: PanelService, user: str) -> None:
    window = panel.window(user)
    for tab in ("", "/matrix", "/matrix/training", "/settings", "/members/1", "/members/-/preview"):
        present = panel.run(window.get(f"projects/churn{tab}"))
        absent = panel.run(window.get(f"projects/charn{tab}"))
        assert (present.status, absent.status) == (404, 404)
        assert present.body == absent.body.replace(b"charn", b"churn")


def test_an_admin_of_the_system_gives_only_what_the_catalog_allows(panel: PanelService) -> None:
    text = panel.get("boss", "projects/churn")
    assert '<option value="PROJECT_ADMIN" selected>' in text
    assert '<option value="PROJECT_EXECUTOR" selected>' not in text


def test_a_creator_may_add_without_reading_the_members(panel: PanelService) -> None:
    text = panel.get("maker", "projects/churn")
    assert 'name="give_role"' in text
    assert "Beatriz" not in text


def test_what_ends_soon_is_offered_to_be_extended(panel: PanelService) -> None:
    number = assignment_id(panel, "user:bea", "PROJECT_EXECUTOR")
    assert f"members/{number}/extend" in panel.get("paul", "projects/churn")


def test_the_list_alone_for_htmx(panel: PanelService) -> None:
    window = panel.window("paul")
    headers = {
        "HX-Request": "true",
        "X-XSRF-Token": panel.run(window.xsrf()),
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Dest": "empty",
    }
    response = panel.run(window.get("projects/churn?q=rita", **headers))
    assert response.status == 200
    assert response.body.decode().strip().startswith('<div id="results">')
    assert b"Rita Sandoval" in response.body
    assert b"<nav class" not in response.body


def test_when_a_role_was_last_used(panel: PanelService) -> None:
    number = assignment_id(panel, "user:rita", "PROJECT_READER")
    uses = tables.assignment_uses

    def record(tx: WriteTransaction) -> None:
        at = tx.now - timedelta(hours=3, minutes=1)
        tx.conn.execute(insert(uses).values(assignment_id=number, first_used=at, last_used=at, uses=2))

    assert "role not used" in words(panel.get("paul", "projects/churn?q=rita"))
    panel.write("paul", record)
    assert "role used 3 h ago" in words(panel.get("paul", "projects/churn?q=rita"))
