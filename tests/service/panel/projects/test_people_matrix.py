"""The matrix of people by commands: its cells, filters, and the file."""

from __future__ import annotations

import csv
import io

import pytest

from aizen_hub.accounts.sessions import locks
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.service.panel.projects import people_matrix
from aizen_hub.store import tables
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import seed, words

__all__ = ["seed"]
PAGE = "projects/churn/matrix/-/people"


def test_cells_say_the_answer_and_lead_to_the_reason(panel: PanelService) -> None:
    text = panel.get("paul", f"{PAGE}?command=start+training")
    assert 'aria-label="start training Yes: paul"' in text.replace("carol", "paul")
    assert 'aria-label="start training No: rita"' in text.replace("service-account nightly", "rita")
    assert "start training to" in text  # of bea, until its end
    assert "why?who=bea&amp;do=start+training&amp;in=churn" in text


def test_equal_rows_share_one(panel: PanelService) -> None:
    content = words(panel.get("paul", PAGE))
    assert "1 more with the same answers:" in content
    assert "6 members, 7 commands." in content


@pytest.mark.parametrize(
    ("query", "members"),
    [("?q=rita", 1), ("?role=PROJECT_EXECUTOR", 2), ("?commands=training&answer=until", 1), ("?answer=stopped", 0)],
)
def test_filters(panel: PanelService, query: str, members: int) -> None:
    noun = "member" if members == 1 else "members"
    assert f"{members} {noun}," in words(panel.get("paul", PAGE + query))


def test_a_command_that_does_not_exist(panel: PanelService) -> None:
    assert panel.run(panel.window("paul").get(f"{PAGE}?command=fly")).status == 400


def test_stopped_people_are_shown_as_stopped(panel: PanelService) -> None:
    panel.write("boss", lambda tx: locks.lock_target(tx, LockTarget.IDENTITY, "user:bea", reason="left"))
    try:
        assert "start training Stopped: bea" in panel.get("paul", f"{PAGE}?command=start+training")
    finally:
        panel.write("boss", lambda tx: locks.unlock_target(tx, LockTarget.IDENTITY, "user:bea", reason="back"))


def test_the_file_has_everything(panel: PanelService) -> None:
    response = panel.run(panel.window("paul").get("projects/churn/matrix/-/csv"))
    rows = {row["account"]: row for row in csv.DictReader(io.StringIO(response.body.decode()))}
    assert set(rows) == {"user:carol", "user:paul", "user:rita", "user:bea", "user:sam", "service-account:nightly"}
    assert (rows["user:rita"]["list trainings"], rows["user:rita"]["start training"]) == ("yes", "no")
    assert rows["user:bea"]["start training"].startswith("20")
    assert len(rows["user:rita"]) == 147


def test_too_many_members_are_not_cut_in_silence(panel: PanelService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_matrix, "MAX_MEMBERS", 2)
    assert "only the first 2 are compared" in words(panel.get("paul", PAGE))
    response = panel.run(panel.window("paul").get("projects/churn/matrix/-/csv"))
    assert response.status == 400


def test_reading_it_is_recorded_once(panel: PanelService) -> None:
    panel.get("paul", PAGE)
    audit = tables.audit
    query = audit.select().where(audit.c.event == "access.read", audit.c.identity == "user:paul")

    def count() -> int:
        with panel.store.read() as tx:
            return len(tx.conn.execute(query).all())

    before = count()
    panel.get("paul", PAGE)
    assert count() == before + 1
