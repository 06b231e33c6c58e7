"""Several ticked people at once: a role, a group, a stop; what is not the viewer's to see or do is left out."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from aizen_hub.accounts.groups import management
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.panel.identity_rows import find_lock
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelBrowser, PanelService
from tests.service.panel.people.test_person import text_of
from tests.service.panel.projects.objects import undo

SELECTED, STOP = "people/-/selected", "people/-/selected/stop"


def seed(tx: WriteTransaction) -> None:
    management.create_group(tx, "interns", description="For the summer")
    custom_roles.create_role(tx, "STOPPER", permissions=["manage:locks"], scopes=["system"])
    assignments.unauthorized_write_assignment(tx, "STOPPER", SYSTEM, Identity.user("zoe"))


def stopped(panel: PanelService, *names: str) -> list[str]:
    with panel.store.read() as tx:
        return [name for name in names if find_lock(tx, Identity.user(name)) is not None]


def test_ticked_people_are_filled_in_where_a_role_is_given(panel: PanelService) -> None:
    response = panel.post("boss", SELECTED, {"who": ["eve", "rob"], "action": "give"})
    assert (response.status, response.headers["Location"]) == (303, "/services/aizen/give?to=eve%2Crob")
    assert 'value="eve,rob"' in panel.get("boss", "give?to=eve%2Crob")


def test_ticked_people_are_added_to_a_group_after_a_preview(panel: PanelService) -> None:
    page = text_of(panel.post("boss", SELECTED, {"who": ["eve", "rob"], "action": "group"}).body.decode())
    assert "2 people" in page
    assert "interns" in page
    response = panel.post("boss", SELECTED, {"who": ["eve", "rob"], "action": "group", "group": "interns"})
    assert response.headers["Location"] == "/services/aizen/groups/interns?add=eve%2Crob"
    assert 'value="eve,rob"' in panel.get("boss", "groups/interns?add=eve%2Crob")
    response = panel.post("boss", SELECTED, {"who": ["eve"], "action": "group", "group": "no-such"})
    assert response.status == 422
    assert "Choose a group of the list" in text_of(response.body.decode())


def test_the_preview_of_a_stop_counts_what_ends_and_leaves_out_who_cannot_be_stopped(panel: PanelService) -> None:
    panel.run(panel.driver.open("eve", "p1", "gpu"))
    page = text_of(panel.post("boss", SELECTED, {"who": ["eve", "rob", "ada", "boss"], "action": "stop"}).body.decode())
    assert "Stop the access of 2 people?" in page
    assert "1 server closes" in page
    left_out = page.partition("Left out")[2]
    assert "last PROJECT_ADMIN" in left_out
    assert "You cannot stop yourself here" in left_out
    assert stopped(panel, "eve", "rob", "ada", "boss") == []


def test_several_are_stopped_and_it_is_undone(panel: PanelService) -> None:
    panel.sign_in_again("boss")
    assert panel.post("boss", STOP, {"who": ["eve", "rob"], "reason": " "}).status == 422
    response = panel.post("boss", STOP, {"who": ["eve", "rob"], "reason": "Left the company", "duration": "7d"})
    assert response.headers["Location"] == "/services/aizen/people"
    assert stopped(panel, "eve", "rob") == ["eve", "rob"]
    with panel.store.read() as tx:
        rows = tx.conn.execute(select(tables.locks.c.reason, tables.locks.c.ends)).all()
    assert {row.reason for row in rows} == {"Left the company"}
    assert all(row.ends is not None for row in rows)
    undo(panel, "boss", "people")
    assert stopped(panel, "eve", "rob") == []


def test_all_are_stopped_or_none(panel: PanelService) -> None:
    response = panel.post("boss", STOP, {"who": ["eve", "ada"], "reason": "Left the company"})
    assert response.status == 422
    assert "no one was stopped" in text_of(response.body.decode())
    assert stopped(panel, "eve", "ada") == []


@pytest.mark.parametrize("action", ["group", "stop"])
def test_others_are_refused_as_for_a_page_that_does_not_exist(panel: PanelService, action: str) -> None:
    assert panel.post("ada", SELECTED, {"who": ["eve"], "action": action}).status == 404
    assert panel.post("ada", STOP, {"who": ["eve"], "reason": "x"}).status in (403, 404)
    assert stopped(panel, "eve") == []


@pytest.mark.proves("R72")
def test_whom_one_does_not_see_is_as_if_there_was_no_such_person(panel: PanelService) -> None:
    """zoe may stop people, and sees those of p2 only."""
    panel.sign_in_again("zoe")
    texts = [
        text_of(panel.post("zoe", SELECTED, {"who": [name], "action": "stop"}).body.decode()).replace(name, "NAME")
        for name in ("eve", "no-such-person")
    ]
    assert texts[0] == texts[1]
    statuses = {panel.post("zoe", STOP, {"who": [name], "reason": "x"}).status for name in ("eve", "no-such-person")}
    assert len(statuses) == 1
    assert stopped(panel, "eve") == []


def test_more_than_a_page_of_people_is_refused(panel: PanelService) -> None:
    names = [f"person-{number}" for number in range(26)]
    response = panel.post("boss", SELECTED, {"who": names, "action": "stop"})
    assert response.status in (400, 422)
    assert "26 people are ticked" in text_of(response.body.decode())


def test_nothing_is_ticked(panel: PanelService) -> None:
    assert panel.post("boss", SELECTED, {"action": "stop"}).headers["Location"] == "/services/aizen/people"
    assert "Tick people in the list first." in text_of(panel.get("boss", "people"))


@pytest.mark.needs("browser", "axe")
def test_the_list_in_a_browser_ticks_all_and_opens_the_preview(panel: PanelService, browser: PanelBrowser) -> None:
    for width in (1280, 320):
        opened = browser.open("people", "boss", width=width)
        opened.page.get_by_role("button", name="Select all shown").click()
        assert opened.page.locator("input[name=who]:not(:checked)").count() == 0
        opened.page.get_by_role("button", name="Stop…").click()
        opened.page.get_by_role("heading", name="Stop the access of").wait_for()
        opened.check()
        opened.page.go_back()
        opened.page.get_by_role("button", name="Add to a group…").click()
        opened.page.get_by_role("heading", name="Add to a group").wait_for()
        opened.check()
