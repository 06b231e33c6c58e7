"""Search and export: every row once, in order, and no cell that a spreadsheet evaluates."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.audit.export import COLUMNS, csv_cell, to_csv_lines, to_json_lines
from aizen_hub.audit.search import AuditFilter, iterate_rows, search_newest
from aizen_hub.store.sql_store import Store
from tests.audit.conftest import ROWS, AuditedDatabase
from tests.store import store_rows


@pytest.mark.proves("T-21")
@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    assert not csv_cell(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
    assert csv_cell(text).removeprefix("'") == text.removeprefix("'") or csv_cell(text) == text


@pytest.mark.proves("T-21")
@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "\r=1", "\uff1d1"])
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@given(
    st.lists(
        st.fixed_dictionaries(
            {"sentence": st.text(), "number": st.integers(), "details": st.dictionaries(st.text(), st.text())}
        ),
        max_size=5,
    )
)
def test_csv_reads_back(rows: list[dict[str, object]]) -> None:
    parsed = list(csv.reader(io.StringIO("".join(to_csv_lines(rows)), newline="")))
    assert parsed[0] == list(COLUMNS)
    assert len(parsed) == len(rows) + 1
    for cells, row in zip(parsed[1:], rows, strict=True):
        assert cells[COLUMNS.index("sentence")] == csv_cell(row["sentence"])


def test_search_and_export(audited_database: AuditedDatabase) -> None:
    store = Store.open(audited_database.settings, store_rows.catalog())
    with store.read() as tx:
        rows = list(iterate_rows(tx.conn))
        assert [row["number"] for row in rows] == list(range(1, ROWS + 1))
        assert [json.loads(line) for line in to_json_lines(rows)] == rows
        assert {row["project"] for row in iterate_rows(tx.conn, AuditFilter(project="p1"))} == {"p1"}
        newest = search_newest(tx.conn, AuditFilter(event="looked"), 3)
        assert [row["number"] for row in newest] == [24, 23, 22]
        assert search_newest(tx.conn, AuditFilter(id=rows[4]["id"])) == [rows[4]]
        assert list(iterate_rows(tx.conn, AuditFilter(projects=frozenset()))) == []
        assert {row["project"] for row in iterate_rows(tx.conn, AuditFilter(projects=frozenset({"p0", "p2"})))} == {
            "p0",
            "p2",
        }
        assert list(iterate_rows(tx.conn, AuditFilter(identity="' OR 1=1 --"))) == []
        since = tx.now
        assert search_newest(tx.conn, AuditFilter(since=since)) == []
        assert len(search_newest(tx.conn, AuditFilter(until=since), 5)) == 5
    store.close()
