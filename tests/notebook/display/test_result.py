"""Results as text and as HTML without active content: tables, never JSON."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.notebook.display.renderable import MIME, Notice, Renderable
from aizen_hub.notebook.display.result import CommandResult
from aizen_hub.notebook.display.tables import MAX_ROWS
from aizen_hub.notebook.errors import NoDataFrameError
from tests.notebook.display.markup import NASTY, VALUES, check


@given(st.dictionaries(st.sampled_from(["kind", "message", "columns", "rows", "data"]), VALUES | st.just("object")))
def test_any_result_can_be_shown(content: dict[str, Any]) -> None:
    check(CommandResult(content))


def test_a_hostile_value_stays_text() -> None:
    outputs: list[Renderable] = [
        CommandResult(
            {"kind": "table", "message": NASTY, "columns": [NASTY], "rows": [[NASTY, {"a": NASTY}]], "data": {}}
        ),
        CommandResult({"kind": "object", "data": {NASTY: [{NASTY: NASTY}], "b": NASTY}}, state="failed", message=NASTY),
        Notice(NASTY, NASTY),
    ]
    for output in outputs:
        bundle = check(output)
        assert "\x1b" not in bundle["text/html"]
        assert "\u202e" not in bundle["text/plain"] + bundle["text/html"]


def test_a_table_is_a_table() -> None:
    content = {
        "kind": "table",
        "columns": ["name", "roles"],
        "rows": [["churn", ["A", "B"]], ["p2", None]],
        "data": {"n": 2},
    }
    result = CommandResult(content, id="d1", command="list projects")
    assert result.text().splitlines() == ["name   roles", "-----  -----", "churn  A, B", "p2"]
    assert result.records == [{"name": "churn", "roles": ["A", "B"]}, {"name": "p2", "roles": None}]
    assert result.data == {"n": 2}
    assert check(result)[MIME]["rows"] == content["rows"]
    assert "var(--jp-" in result.html()


def test_an_object_is_shown_as_tables() -> None:
    data = {
        "project": "churn",
        "limits": {"memory": 8 << 30, "jobs": 2},
        "members": [{"name": "rita", "roles": ["A"]}, {"name": "paul", "since": "2026-11-22T07:42:02Z"}],
    }
    result = CommandResult({"kind": "object", "message": "the project `churn`", "data": data})
    text = result.text()
    assert "{" not in text
    lines = [line.split() for line in text.splitlines()]
    assert ["project", "churn"] in lines
    assert ["memory", "8", "GiB"] in lines
    assert ["name", "roles", "since"] in lines
    assert result.records == [data]
    markup = check(result)["text/html"]
    assert markup.count("<table") == 3
    assert "<code>churn</code>" in markup


def test_a_long_table_is_truncated_on_the_screen_only() -> None:
    result = CommandResult({"kind": "table", "columns": ["n"], "rows": [[n] for n in range(MAX_ROWS + 5)]})
    assert "and 5 more rows" in result.text()
    assert "and 5 more rows" in result.html()
    assert len(result.rows) == MAX_ROWS + 5


def test_a_table_without_pandas_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    result = CommandResult({"kind": "table", "columns": ["n"], "rows": [[1]]})
    with pytest.raises(NoDataFrameError) as caught:
        _ = result.df
    [line] = caught.value._render_traceback_()
    assert "pandas" in line
    assert ".records" in line


def test_nothing_is_repeated() -> None:
    empty = CommandResult({"kind": "table", "message": "you have no project", "columns": ["project"], "rows": []})
    assert empty.text() == "you have no project"
    silent = CommandResult({"kind": "table", "columns": ["project"], "rows": []})
    assert "(no rows)" in silent.text()
    assert "(no rows)" in silent.html()
