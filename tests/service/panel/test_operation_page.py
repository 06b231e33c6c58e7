"""The page of an operation: whose and of which kind it is, and its cancellation after the end."""

from __future__ import annotations

import asyncio

import pytest

from aizen_hub.operations.records import get_operation
from tests.fixtures.browser.panel import PanelService
from tests.fixtures.timing import until
from tests.service.panel.projects.objects import location


@pytest.fixture(scope="module")
def imported(panel: PanelService) -> str:
    """The address of an import that has ended."""
    response = panel.post("boss", "people/-/import", {"table": "login\nnora\n", "delivery": ""})
    page = location(response)

    def has_ended() -> bool:
        with panel.store.read() as tx:
            return get_operation(tx, page.rpartition("/")[2]).state.has_ended

    asyncio.run(until(has_ended))
    return page


@pytest.mark.proves("R72")
def test_an_operation_has_the_page_of_its_kind_only(panel: PanelService, imported: str) -> None:
    operation_id = imported.rpartition("/")[2]
    assert "To the people" in panel.get("boss", imported)
    for page in (f"policy/{operation_id}", f"directory/read/{operation_id}"):
        assert panel.run(panel.window("boss").get(page)).status == 404
    assert panel.run(panel.window("ada").get(imported)).status == 404


def test_a_cancellation_after_the_end_says_so_on_the_page(panel: PanelService, imported: str) -> None:
    response = panel.post("boss", f"{imported}/cancel", {})
    assert response.status == 303
    assert location(response) == imported
    assert "To the people" in panel.get("boss", imported)
