"""The matrix of roles by tasks, and of one task."""

from __future__ import annotations

from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import seed, status, words

__all__ = ["seed"]


def test_how_much_of_each_task_a_role_allows(panel: PanelService) -> None:
    content = words(panel.get("paul", "projects/churn/matrix"))
    assert "PROJECT_READER, Training: 10 of 23" in content
    assert "PROJECT_ADMIN, Training: All 23" in content
    assert "PROJECT_READER, Access: None" in content
    assert "LABELLER" not in content  # not given here
    assert "Show 1 own role not given here" in content
    assert "LABELLER, Data:" in words(panel.get("paul", "projects/churn/matrix?all=yes"))


def test_what_only_one_role_allows(panel: PanelService) -> None:
    content = words(panel.get("paul", "projects/churn/matrix"))
    assert "Only one role allows it" in content
    assert "PROJECT_ADMIN 20 commands: delete" in content


def test_which_role_allows_a_command(panel: PanelService) -> None:
    content = words(panel.get("paul", "projects/churn/matrix?q=delete++DATASET"))
    assert "delete dataset" in content
    text = panel.get("paul", "projects/churn/matrix?q=fly")
    assert "No command of a project is called that." in text


def test_one_task(panel: PanelService) -> None:
    content = words(panel.get("paul", "projects/churn/matrix/training"))
    assert "23 commands, and which role allows each." in content
    row = content[content.index("start training Start") :]
    assert row.startswith("start training Start")
    # rita and nightly read; bea, sam, paul and carol may start.
    assert "4 people : start training" in content
    assert "5 people, 1 service account : list trainings" in content


def test_a_task_that_does_not_exist(panel: PanelService) -> None:
    assert status(panel, "paul", "projects/churn/matrix/cooking") == 404
    assert status(panel, "paul", "projects/churn/matrix/platform") == 404  # no command of a project
