"""The difference of a project's roles between two days."""

from __future__ import annotations

from datetime import timedelta

from tests.fixtures.panel import PanelService
from tests.service.panel.projects.objects import seed, words

__all__ = ["seed"]
PAGE = "projects/churn/matrix/-/changes"


def test_what_was_given_in_the_last_month(panel: PanelService) -> None:
    content = words(panel.get("paul", PAGE))
    assert "+ has PROJECT_READER" in content
    assert "no longer has" not in content


def test_days_before_the_project(panel: PanelService) -> None:
    with panel.store.read() as tx:
        first, last = (f"{tx.now - timedelta(days=days):%Y-%m-%d}" for days in (30, 20))
    assert "No difference" in panel.get("paul", f"{PAGE}?since={first}&until={last}")


def test_days_that_are_none(panel: PanelService) -> None:
    assert "is not a day" in panel.get("paul", f"{PAGE}?since=yesterday")
    assert "is not a day" in panel.get("paul", f"{PAGE}?until=9999-12-31")
    assert "after the first" in panel.get("paul", f"{PAGE}?since=2026-02-01&until=2026-01-01")
