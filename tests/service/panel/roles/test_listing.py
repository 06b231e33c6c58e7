"""The list of roles in the panel."""

from __future__ import annotations

import pytest

from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import seed, words

__all__ = ["seed"]


def test_every_role_with_what_it_allows(panel: PanelService) -> None:
    content = words(panel.get("boss", "roles"))
    for text in ("System", "In every project", "Own roles", "PROJECT_EXECUTOR", "125 of 145", "LABELLER"):
        assert text in content
    assert "8 of 8 roles." in content or "6 of 6 roles." in content


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        ("?kind=own", "LABELLER", "PROJECT_READER"),
        ("?kind=built-in", "PROJECT_READER", "LABELLER"),
        ("?q=delete+training", "PROJECT_ADMIN", "PROJECT_EXECUTOR"),
        ("?q=labels", "LABELLER", "PROJECT_READER"),
    ],
)
def test_filters(panel: PanelService, query: str, shown: str, hidden: str) -> None:
    text = panel.get("boss", f"roles{query}")
    assert f"roles/{shown}" in text
    assert f'href="/services/aizen/roles/{hidden}"' not in text


@pytest.mark.proves("R72")
def test_assignments_are_counted_only_in_own_projects(panel: PanelService) -> None:
    ada = panel.get("ada", "roles/PROJECT_READER")
    assert "churn" not in ada
    assert "1 assignment" in words(ada)
    assert "churn" in panel.get("boss", "roles/PROJECT_READER")


def test_only_editors_are_offered_to_edit(panel: PanelService) -> None:
    assert "roles/LABELLER/edit" in panel.get("boss", "roles")
    assert "roles/LABELLER/edit" not in panel.get("paul", "roles")
    assert "roles/-/new" not in panel.get("paul", "roles")
