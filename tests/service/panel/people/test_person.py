"""A person's pages: each opens for those who may see it, and shows nothing else."""

from __future__ import annotations

import re

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService


def seed(tx: WriteTransaction) -> None:
    management.create_group(tx, "team")
    assignments.grant_roles(tx, ["PROJECT_READER"], "p2", Identity.group("team"), reason="looks at the figures")
    membership.add_member(tx, "team", Identity.user("rob"))
    assignments.grant_roles(tx, ["PROJECT_READER"], "p1", Identity.user("nil"))


PAGES = ("people/rob", "people/rob/sessions", "people/rob/requests", "people/rob/account", "people/rob/stop")


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<main")[2]))


@pytest.mark.parametrize("page", PAGES)
def test_each_page_opens_for_an_admin(panel: PanelService, page: str) -> None:
    assert "rob" in text_of(panel.get("boss", page))


@pytest.mark.parametrize(
    ("viewer", "allowed"),
    [("boss", PAGES), ("rob", PAGES[:3]), ("ada", (PAGES[0], PAGES[2])), ("zoe", (PAGES[0], PAGES[2])), ("nil", ())],
)
@pytest.mark.proves("R72")
def test_each_page_is_hidden_from_the_others(panel: PanelService, viewer: str, allowed: tuple[str, ...]) -> None:
    window = panel.window(viewer)
    for page in PAGES[:4]:
        response = panel.run(window.get(page))
        assert response.status == (200 if page in allowed else 404), page
    missing, hidden = (panel.run(window.get(f"people/{name}")) for name in ("qqqqqqq", "boss"))
    if viewer != "boss":
        pages = [text_of(response.body.decode()) for response in (missing, hidden)]
        assert pages[0].replace("qqqqqqq", "") == pages[1].replace("boss", "")


def test_access_shows_the_source_of_each_role_and_who_may_take_it_away(panel: PanelService) -> None:
    page = text_of(panel.get("boss", "people/rob"))
    assert "PROJECT_ READER" in page or "PROJECT_READER" in page
    assert "Group team “ looks at the figures ”" in page
    assert "in the group" in page
    assert "ada may" in page
    assert "2 roles in 2 projects" in page


def test_a_project_admin_sees_only_their_projects(panel: PanelService) -> None:
    page = text_of(panel.get("ada", "people/rob"))
    assert "Only the projects that you may see are listed." in page
    assert "p1" in page
    assert "p2" not in page
    assert "looks at the figures" not in page
    assert "Take away" in page
    assert "@" not in page  # no contact data


@pytest.mark.parametrize(("viewer", "status"), [("boss", 200), ("ada", 200), ("zoe", 200), ("rob", 404), ("nil", 404)])
def test_the_last_events_are_for_those_who_read_the_audit(panel: PanelService, viewer: str, status: int) -> None:
    assert panel.run(panel.window(viewer).get("people/rob/events")).status == status


def test_the_last_events_are_those_of_the_person_in_visible_projects(panel: PanelService) -> None:
    panel.run(panel.driver.open("rob", "p1"))
    events = {viewer: text_of(panel.get(viewer, "people/rob/events")) for viewer in ("boss", "ada", "zoe")}
    assert "PROJECT_READER in p1" in events["boss"]
    assert "PROJECT_READER in p1" in events["ada"]
    assert "p1" not in events["zoe"]
    assert "nil" not in events["boss"].partition("Events")[2]


def test_ones_own_page_shows_everything(panel: PanelService) -> None:
    page = text_of(panel.get("rob", "people/rob"))
    assert "p2" in page
    assert "Stop access" not in page


def test_reading_about_others_is_recorded_once_and_about_oneself_not(panel: PanelService) -> None:
    from sqlalchemy import func, select

    from aizen_hub.store import tables

    def count() -> int:
        with panel.store.read() as tx:
            query = select(func.count()).select_from(tables.audit).where(tables.audit.c.event == "access.read")
            return tx.conn.execute(query).scalar_one()

    before = count()
    panel.get("rob", "people/rob")
    assert count() == before
    panel.get("ada", "people/rob")
    assert count() == before + 1


@pytest.mark.proves("R72")
def test_ending_sessions_does_not_tell_whether_there_are_any(panel: PanelService) -> None:
    answers = [panel.post("ada", "people/rob/sessions/end", {})]
    panel.run(panel.driver.open("rob", "p1"))
    answers.append(panel.post("ada", "people/rob/sessions/end", {}))
    assert [answer.status for answer in answers] == [404, 404]
