"""The difference of a project's roles between two days."""

from __future__ import annotations

import re
from datetime import timedelta

from aizen_hub.accounts.groups import management, mapping_sync
from aizen_hub.accounts.roles import assignments
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import seed, words

__all__ = ["seed"]
PAGE = "projects/churn/matrix/-/changes"


def test_what_was_given_in_the_last_month(panel: PanelService) -> None:
    content = words(panel.get("paul", PAGE))
    assert "+ has PROJECT_READER" in content
    assert "no longer has" not in content


def test_a_member_whom_a_directory_reported(panel: PanelService) -> None:
    with panel.store.write(SERVICE_ACTOR) as tx:
        management.create_group(tx, "staff", provider="lab")
        assignments.unauthorized_write_assignment(tx, "PROJECT_READER", "churn", Identity.group("staff"))
        mapping_sync.sync_groups(tx, "sam", "lab", ["staff"])
    content = words(panel.get("paul", PAGE))
    assert re.search(r"is in the group staff PROJECT_READER More about sam By directory lab, 2", content), content
    assert re.search(r"is in the group crew PROJECT_EXECUTOR More about sam By service-account aizen-hub, 2", content)


def test_days_before_the_project(panel: PanelService) -> None:
    with panel.store.read() as tx:
        first, last = (f"{tx.now - timedelta(days=days):%Y-%m-%d}" for days in (30, 20))
    assert "No difference" in panel.get("paul", f"{PAGE}?since={first}&until={last}")


def test_days_that_are_none(panel: PanelService) -> None:
    assert "is not a day" in panel.get("paul", f"{PAGE}?since=yesterday")
    assert "is not a day" in panel.get("paul", f"{PAGE}?until=9999-12-31")
    assert "after the first" in panel.get("paul", f"{PAGE}?since=2026-02-01&until=2026-01-01")
