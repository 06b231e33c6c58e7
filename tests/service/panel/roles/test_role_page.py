"""The page of one role."""

from __future__ import annotations

import pytest

from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import seed, status, words

__all__ = ["seed"]


def test_in_plain_words(panel: PanelService) -> None:
    content = words(panel.get("boss", "roles/PROJECT_EXECUTOR"))
    assert "125 of 145 commands" in content
    assert "Training configure, see, run delete" in content
    assert "Authorization \N{EN DASH} anything" in content
    assert "Given by PROJECT_CREATOR PROJECT_ADMIN" in content
    assert "PROJECT_ADMIN 20 commands more: delete" in content


def test_what_its_holders_may_give(panel: PanelService) -> None:
    content = words(panel.get("boss", "roles/PROJECT_CREATOR"))
    assert "May give PROJECT_ADMIN PROJECT_EXECUTOR PROJECT_READER" in content
    assert "any role whose rights its holder has there" in words(panel.get("boss", "roles/PROJECT_ADMIN"))


@pytest.mark.parametrize("name", ["KING", "project_reader", "-"])
def test_a_role_that_does_not_exist(panel: PanelService, name: str) -> None:
    assert status(panel, "boss", f"roles/{name}") == 404
