"""Pages of lists: every row once, in both directions, whatever changes between two pages; hostile cursors."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, insert, select

from aizen_hub.problems import BadInput
from aizen_hub.service.panel.paging import OptionalText, Page, PageQuery, Sort, never_first, read_page
from aizen_hub.store.timestamps import UtcDateTime

ROWS = 23
BASE = datetime(2026, 1, 1, tzinfo=UTC)
metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("seen", UtcDateTime),
)
NAME = Sort("name", (things.c.name,))
SIZE = Sort("size", (things.c.size, things.c.name))
SEEN = Sort("seen", (never_first(things.c.seen), things.c.name))


class Query(PageQuery):
    q: OptionalText = None


@pytest.fixture
def tx() -> Iterator[Any]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as conn:
        rows = [
            {
                "name": f"n{number:02}",
                "size": number % 4,
                "seen": BASE + timedelta(hours=number // 3) if number % 5 else None,
            }
            for number in range(ROWS)
        ]
        conn.execute(insert(things), rows)
        yield SimpleNamespace(conn=conn)
    engine.dispose()


def page_of(tx: Any, sort: str | None = None, size: int = 5, **place: Any) -> Page:
    return read_page(tx, select(things), (NAME, SIZE, SEEN), Query(sort=sort, **place), size=size)


def names(page: Page) -> list[str]:
    return [row.name for row in page.rows]


@pytest.mark.parametrize("sort", [None, "name", "-name", "size", "-size", "seen", "-seen"])
@pytest.mark.parametrize("size", [1, 5, 22, 23, 24])
def test_every_row_is_on_one_page_in_both_directions(tx: Any, sort: str | None, size: int) -> None:
    page = page_of(tx, sort, size)
    pages = [page]
    while page.next:
        page = page_of(tx, sort, size, after=page.next)
        pages.append(page)
    forward = [name for page in pages for name in names(page)]
    assert sorted(forward) == sorted(set(forward))
    assert len(forward) == ROWS
    assert [page.first for page in pages] == list(range(1, ROWS + 1, size))
    assert pages[-1].last == ROWS
    assert all(page.total == ROWS for page in pages)
    backward = [pages[-1]]
    while backward[-1].previous:
        backward.append(page_of(tx, sort, size, before=backward[-1].previous))
    assert [names(page) for page in reversed(backward)] == [names(page) for page in pages]
    assert [page.first for page in backward] == [page.first for page in reversed(pages)]


def test_a_row_that_appears_before_the_page_moves_nothing(tx: Any) -> None:
    first = page_of(tx)
    tx.conn.execute(insert(things).values(name="a", size=1))
    assert names(page_of(tx, after=first.next)) == ["n05", "n06", "n07", "n08", "n09"]


def test_an_empty_list(tx: Any) -> None:
    page = read_page(tx, select(things).where(things.c.name == "no"), (NAME,), Query())
    assert (page.total, page.first, page.last, page.next, page.previous) == (0, 0, 0, None, None)


def test_links_keep_the_filters_and_turn_the_order() -> None:
    query = Query(q="a", sort="-size", after="x")
    assert query.filters == {"q": "a", "sort": "-size"}
    page = Page([], 0, 0, None, None, "-size", query.filters)
    assert (page.sort_link("size"), page.sort_link("name")) == ("size", "name")
    assert (page.aria_sort("size"), page.aria_sort("name")) == ("descending", None)


def cursor(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "!",
        "AAAA",
        cursor({}),
        cursor([1]),
        cursor([1, []]),
        cursor([1, ["a", "b"]]),
        cursor([1, [None]]),
        cursor([1, [{"a": 1}]]),
        cursor(["1", ["a"]]),
        cursor([1, [True]]),
        cursor([1, [3]]),
        cursor([1, ["\ud800"]]),
        cursor([1, ["a\0"]]),
        cursor([10**30, ["a"]]),
        "W" * 1500,
    ],
)
@pytest.mark.parametrize("direction", ["after", "before"])
def test_a_place_that_is_none_is_refused(tx: Any, text: str, direction: str) -> None:
    with pytest.raises(BadInput):
        page_of(tx, **{direction: text})


def test_a_time_is_checked_too(tx: Any) -> None:
    with pytest.raises(BadInput):
        page_of(tx, "seen", after=cursor([1, ["no time", "n01"]]))


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"])
def test_a_time_beyond_the_calendar_is_refused(tx: Any, value: str) -> None:
    with pytest.raises(BadInput):
        page_of(tx, "seen", after=cursor([1, [value, "a"]]))


@pytest.mark.parametrize("value", [2**63, -(2**70), 1e30])
def test_a_number_that_no_column_holds_is_refused(tx: Any, value: float) -> None:
    with pytest.raises(BadInput):
        page_of(tx, "size", after=cursor([1, [value, "a"]]))


def test_no_nul_is_searched_for() -> None:
    with pytest.raises(ValueError, match="pattern"):
        Query(q="a\0b")


def test_an_order_that_is_not_offered_is_refused(tx: Any) -> None:
    with pytest.raises(BadInput):
        page_of(tx, "password")
