"""Page *System*: only for administrators."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from aizen_hub.alerts.message import AlertEvent
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService


def seed(tx: WriteTransaction) -> None:
    times = {"created": tx.now, "next_attempt": tx.now}
    for number in range(25):
        values = {"recipient": f"r{number}@x.example", "channel": "email", "event": str(AlertEvent.JOB_DONE), **times}
        tx.conn.execute(insert(tables.outbox).values(payload={}, attempts=2, deduplication_key=f"k{number}", **values))


def test_state(panel: PanelService) -> None:
    page = panel.get("boss", "system")
    assert "this process" in page or "Working" in page
    assert "Checkpoints of the audit" in page
    assert "25 waiting" in page
    assert "5 more wait" in page
    assert page.count("Rotate…") == 4


@pytest.mark.parametrize("user", ["ada", "eve", "nil"])
def test_others_see_nothing(panel: PanelService, user: str) -> None:
    window = panel.window(user)
    for page in ("system", "system/keys/role", "directory", "policy", "policy/-/export"):
        assert panel.run(window.get(page)).status in (403, 404), page
    assert 'href="/services/aizen/system"' not in panel.get(user, "me")
