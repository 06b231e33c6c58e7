"""Importing people: the preview names what becomes of each row, the import runs to its end, and can be repeated."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import func, select

from aizen_hub.accounts.identities import user_exists
from aizen_hub.store import tables
from tests.fixtures.browser.panel import PanelService
from tests.fixtures.timing import until
from tests.service.panel.people.test_person import text_of

TABLE = (
    "login,name,mail,roles\nnora,Nora Nilsson,nora@acme.example,\nrob,Rob,,\nivan,Ivan,,PROJECT_CREATOR\nBad Name,,,\n"
)


def exists(panel: PanelService, name: str) -> bool:
    with panel.store.read() as tx:
        return user_exists(tx, name)


def wait_for_end(panel: PanelService, page: str) -> str:
    """Return the page of an import when it has ended."""
    texts: list[str] = []

    def has_ended() -> bool:
        time.sleep(0.1)  # the import needs the processor too
        texts.append(panel.get("boss", page))
        return "hx-get" not in texts[-1].partition('id="progress"')[2]

    asyncio.run(until(has_ended, 120.0))
    return text_of(texts[-1])


def test_the_preview_says_what_becomes_of_each_row_and_changes_nothing(panel: PanelService) -> None:
    response = panel.post("boss", "people/-/import/preview", {"table": TABLE})
    assert response.status == 200
    page = text_of(response.body.decode())
    assert "2 new, 1 registered already, 1 with a fault." in page
    assert "Register 2 people" in page
    assert "Bad Name" in page
    assert "rob" in page
    assert not exists(panel, "nora")


def test_an_import_registers_the_new_people_and_can_be_repeated(panel: PanelService) -> None:
    response = panel.post("boss", "people/-/import", {"table": TABLE})
    assert response.status == 303
    page = response.headers["Location"].removeprefix("/services/aizen/")
    assert "2 people are registered." in wait_for_end(panel, page)
    assert exists(panel, "nora")
    with panel.store.read() as tx:
        query = select(func.count()).select_from(tables.assignments).where(tables.assignments.c.identity == "user:ivan")
        assert tx.conn.execute(query).scalar_one() == 1
    again = panel.post("boss", "people/-/import", {"table": TABLE})
    assert again.status == 422
    assert "The file names no new person." in text_of(again.body.decode())
    assert panel.run(panel.window("ada").get(page)).status == 404


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("", "The file is empty"),
        ("shoe,size\n1,2\n", "shoe is unknown"),
        ("login\n" + "x" * 300 + "\n", ""),
        ('[{"id": "uma"', ""),
    ],
)
def test_a_file_that_cannot_be_read_is_kept_with_the_reason(panel: PanelService, table: str, text: str) -> None:
    response = panel.post("boss", "people/-/import/preview", {"table": table})
    page = response.body.decode()
    assert response.status == (422 if text or table.startswith("[") else 200)
    assert text in text_of(page)
    if table:
        assert table.splitlines()[0].replace('"', "&#34;") in page or response.status == 200


@pytest.mark.parametrize("viewer", ["ada", "rob"])
def test_only_those_who_may_add_users_import(panel: PanelService, viewer: str) -> None:
    assert panel.run(panel.window(viewer).get("people/-/import")).status == 404
    for page in ("people/-/import", "people/-/import/preview"):
        assert panel.post(viewer, page, {"table": "login\numa\n"}).status == 403
    assert not exists(panel, "uma")
