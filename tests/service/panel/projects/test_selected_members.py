"""Several ticked roles at once, and the members as a file."""

from __future__ import annotations

import csv
import io
import re

import pytest

from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import assignment_id, location, post, roles_of, seed, undo, words

__all__ = ["seed"]


def ids(panel: PanelService, *holders: tuple[str, str]) -> list[tuple[str, str]]:
    return [("a", str(assignment_id(panel, name, role))) for name, role in holders]


READERS = (("user:rita", "PROJECT_READER"), ("service-account:nightly", "PROJECT_READER"))


def test_what_is_ticked_is_shown_and_nothing_changes(panel: PanelService) -> None:
    response = post(panel, "paul", "projects/churn/members/-/selected", *ids(panel, *READERS), action="remove")
    assert response.status == 200
    content = words(response.body.decode())
    assert "2 roles in churn" in content
    assert "Take away 2 roles" in content
    assert re.search(r"rita: \d+ commands\. Nothing else gives access to churn\.", content), content
    assert roles_of(panel, "rita") == {"PROJECT_READER"}


def test_several_are_taken_away_and_it_is_undone(panel: PanelService) -> None:
    response = post(panel, "paul", "projects/churn/members/-/change", *ids(panel, *READERS), action="remove")
    assert location(response) == "projects/churn"
    assert roles_of(panel, "rita") == set()
    undo(panel, "paul", "projects/churn")
    assert roles_of(panel, "rita") == {"PROJECT_READER"}


def test_several_get_another_end(panel: PanelService) -> None:
    form = {"action": "extend", "until": "30d", "reason": "longer"}
    post(panel, "paul", "projects/churn/members/-/change", *ids(panel, *READERS), **form)
    assert "2 roles were changed in churn." in words(panel.get("paul", "projects/churn?ending=soon"))
    assert assignment_id(panel, "user:rita", "PROJECT_READER")


def test_all_or_none(panel: PanelService) -> None:
    ticked = ids(panel, ("user:rita", "PROJECT_READER"), ("user:carol", "PROJECT_ADMIN"))
    response = post(panel, "paul", "projects/churn/members/-/change", *ticked, action="remove")
    assert response.status == 422
    assert "creator" in response.body.decode()
    assert roles_of(panel, "rita") == {"PROJECT_READER"}


@pytest.mark.parametrize("fields", [{"action": "remove"}, {"action": "paint"}])
def test_nothing_is_selected(panel: PanelService, fields: dict[str, str]) -> None:
    response = post(panel, "paul", "projects/churn/members/-/change", **fields)
    assert response.status == 422
    assert "No role is selected" in response.body.decode()


@pytest.mark.proves("R72")
def test_rows_of_another_project_are_not_reached(panel: PanelService) -> None:
    foreign = str(assignment_id(panel, "user:rob", "PROJECT_READER", "p1"))
    response = post(panel, "paul", "projects/churn/members/-/change", ("a", foreign), action="remove")
    assert response.status in (404, 422)
    assert roles_of(panel, "rob", "p1") == {"PROJECT_READER"}


def test_the_members_as_a_file(panel: PanelService) -> None:
    response = panel.run(panel.window("paul").get("projects/churn/members/-/csv"))
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert 'filename="churn-members.csv"' in response.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(response.body.decode())))
    assert len(rows) == 7
    assert ("user:sam", "group:crew") in {(row["account"], row["source"]) for row in rows}
