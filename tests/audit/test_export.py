"""Search and export: every row once, in order, and no cell that a spreadsheet would compute."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.audit.export import COLUMNS, cell, csv_lines, json_lines
from aizen_hub.audit.search import AuditFilter, every, newest
from aizen_hub.store.store import Store
from tests.audit.conftest import ROWS, Archive
from tests.store import world


@pytest.mark.proves("T-21")
@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    assert not cell(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
    assert cell(text).removeprefix("'") == text.removeprefix("'") or cell(text) == text


@pytest.mark.proves("T-21")
@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "\r=1", "\uff1d1"])
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert cell(text) == f"'{text}"


@given(
    st.lists(
        st.fixed_dictionaries(
            {"sentence": st.text(), "number": st.integers(), "details": st.dictionaries(st.text(), st.text())}
        ),
        max_size=5,
    )
)
def test_csv_reads_back(rows: list[dict[str, object]]) -> None:
    read = list(csv.reader(io.StringIO("".join(csv_lines(rows)), newline="")))
    assert read[0] == list(COLUMNS)
    assert len(read) == len(rows) + 1
    for found, row in zip(read[1:], rows, strict=True):
        assert found[COLUMNS.index("sentence")] == cell(row["sentence"])


def test_search_and_export(archive: Archive) -> None:
    store = Store.open(archive.settings, world.catalog())
    with store.read() as tx:
        rows = list(every(tx.conn))
        assert [row["number"] for row in rows] == list(range(1, ROWS + 1))
        assert [json.loads(line) for line in json_lines(rows)] == rows
        assert {row["project"] for row in every(tx.conn, AuditFilter(project="p1"))} == {"p1"}
        shown = newest(tx.conn, AuditFilter(event="looked"), 3)
        assert [row["number"] for row in shown] == [24, 23, 22]
        assert newest(tx.conn, AuditFilter(id=rows[4]["id"])) == [rows[4]]
        assert list(every(tx.conn, AuditFilter(projects=frozenset()))) == []
        assert {row["project"] for row in every(tx.conn, AuditFilter(projects=frozenset({"p0", "p2"})))} == {"p0", "p2"}
        assert list(every(tx.conn, AuditFilter(identity="' OR 1=1 --"))) == []
        since = tx.now
        assert newest(tx.conn, AuditFilter(since=since)) == []
        assert len(newest(tx.conn, AuditFilter(until=since), 5)) == 5
    store.close()
