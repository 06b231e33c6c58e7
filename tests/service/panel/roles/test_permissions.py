"""Named permissions and limits in the panel."""

from __future__ import annotations

import pytest

from tests.fixtures.panel import PanelService
from tests.service.panel.projects.objects import location, post, seed, words

__all__ = ["seed"]


def test_a_limit_is_made_and_deleted(panel: PanelService) -> None:
    form = {"name": "5 Project Limit", "limit": "projects", "value": "5", "description": "Five at most"}
    assert location(post(panel, "boss", "permissions", **form)) == "permissions"
    content = words(panel.get("boss", "permissions"))
    assert "5 Project Limit Five at most" in content
    assert "projects: 5" in content
    assert location(post(panel, "boss", "permissions/delete", name="5 Project Limit")) == "permissions"
    assert "Five at most" not in words(panel.get("boss", "permissions"))


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"name": "X", "limit": "jobs", "value": "many"}, "write the number"),
        ({"name": "X", "right": "fly:dataset"}, "nothing in this catalog requires"),
        ({"name": "read", "right": "read:dataset"}, "looks like"),
        ({"name": "X"}, "either a right"),
    ],
)
def test_errors(panel: PanelService, form: dict[str, str], text: str) -> None:
    response = post(panel, "boss", "permissions", **form)
    assert response.status == 422
    assert text in response.body.decode().lower() or text in words(response.body.decode()).lower()


@pytest.mark.proves("R60")
def test_others_read_and_do_not_change(panel: PanelService) -> None:
    assert "New permission" not in panel.get("paul", "permissions")
    assert post(panel, "paul", "permissions", name="X", right="read:dataset").status == 403
    assert post(panel, "paul", "permissions/delete", name="read").status == 403
