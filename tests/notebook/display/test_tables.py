"""Values of tables in the units and the time of the reader."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.notebook.display.tables import format_cell, text_table
from tests.notebook.display.markup import VALUES


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-22T07:42:02.296651Z", "2026-11-22 08:42:02 CET"),
        ("2026-11-22T07:42:02+00:00", "2026-11-22 08:42:02 CET"),
        ("2026-07-22T07:42:02+01:00", "2026-07-22 08:42:02 CEST"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("2026-13-22T07:42:02Z", "2026-13-22T07:42:02Z"),
        ({"email": False, "memory": 1024}, "email: no, memory: 1 KiB"),
        ([1, None, "a"], "1, , a"),
        ("x" * 1000, "x" * 300),
        ("\u202e" * 300, "\\u202e" * 50),
    ],
)
def test_values_are_formatted(in_berlin: None, value: object, expected: str) -> None:
    assert format_cell(value) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("progress", 0.256, "26%"),
        ("fraction", 1, "100%"),
        ("fraction", 7, "7"),
        ("memory", 8 << 30, "8 GiB"),
        ("size", 1_500_000, "1.431 MiB"),
        ("bytes", 12, "12 B"),
        ("cpu", 0.5, "0.5"),
        ("memory", True, "yes"),
    ],
)
def test_numbers_have_the_unit_of_their_column(name: str, value: object, expected: str) -> None:
    assert format_cell(value, name) == expected


def test_a_limit_has_its_own_unit() -> None:
    text = text_table(("limit", "value"), [["memory", 1 << 30], ["jobs", 3]])
    assert [line.split() for line in text.splitlines()[2:]] == [["memory", "1", "GiB"], ["jobs", "3"]]


@given(st.lists(st.text(max_size=5)), st.lists(st.lists(VALUES, max_size=4), max_size=4))
def test_any_table_can_be_drawn(columns: list[str], rows: list[list[object]]) -> None:
    text_table(columns, rows)
