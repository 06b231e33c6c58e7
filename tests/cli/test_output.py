"""Formats of lists, objects and results: records in each of them, and no name that is broken."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import Any

import click
import pytest
import yaml

from aizen_hub.cli import terminal_table
from aizen_hub.cli.output import Format, Output, show_object, show_result, show_rows

LIST = {
    "kind": "table",
    "columns": ["id", "granted by", "reason", "active"],
    "rows": [["5 Project Limit", "user:ada", "for\tthe\nreport", True], ["b", None, "=cmd()", False]],
    "message": "these are the first 2; there are more",
    "data": {"more": True},
}
RECORDS = [
    {"id": "5 Project Limit", "granted_by": "user:ada", "reason": "for\tthe\nreport", "active": True},
    {"id": "b", "granted_by": None, "reason": "=cmd()", "active": False},
]


def shown(capsys: pytest.CaptureFixture[str], output: Output, *brief: str) -> str:
    show_result(output, LIST, brief)
    captured = capsys.readouterr()
    assert captured.err == "these are the first 2; there are more\n", "a message is no data"
    return captured.out


def test_a_list_is_records_in_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(shown(capsys, Output(Format.JSON), "id")) == RECORDS
    assert yaml.safe_load(shown(capsys, Output(Format.YAML), "id")) == RECORDS
    table = list(csv.DictReader(io.StringIO(shown(capsys, Output(Format.CSV), "id"), newline="")))
    assert [row["id"] for row in table] == ["5 Project Limit", "b"]
    assert table[0] == {
        "id": "5 Project Limit",
        "granted_by": "user:ada",
        "reason": "for\\tthe\\nreport",
        "active": "yes",
    }
    assert table[1]["reason"] == "'=cmd()", "no cell is a formula of a spreadsheet (T-21)"
    assert shown(capsys, Output(Format.NAME)) == "5 Project Limit\nb\n"


def test_a_pipe_gets_one_record_per_line_and_no_broken_name(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, Output()).splitlines()
    assert [line.split("\t") for line in lines] == [
        ["ID", "GRANTED_BY", "REASON", "ACTIVE"],
        ["5 Project Limit", "user:ada", "for\\tthe\\nreport", "yes"],
        ["b", "", "=cmd()", "no"],
    ]
    assert shown(capsys, Output(headers=False)).startswith("5 Project Limit\t")


def test_columns_are_chosen_in_each_format(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ("reason", "id")
    assert shown(capsys, Output(columns=columns)).splitlines()[2] == "=cmd()\tb"
    assert json.loads(shown(capsys, Output(Format.JSON, columns)))[1] == {"reason": "=cmd()", "id": "b"}
    assert shown(capsys, Output(Format.NAME, ("granted_by",))).splitlines()[0] == "user:ada"
    with pytest.raises(click.UsageError, match="there is no column `grantor`; the columns are id, granted_by"):
        show_result(Output(columns=("grantor",)), LIST)


def test_wide_shows_what_brief_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert "GRANTED BY" not in shown(capsys, Output(Format.TABLE), "id", "reason")
    assert "GRANTED BY" in shown(capsys, Output(Format.WIDE), "id", "reason")


def test_an_empty_list_is_empty_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(Output(Format.JSON), ("id",), [])
    assert json.loads(capsys.readouterr().out) == []
    show_rows(Output(Format.TABLE), ("id",), [])
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "(none)\n")


def test_an_object_can_be_one_record(capsys: pytest.CaptureFixture[str]) -> None:
    value: dict[str, Any] = {"name": "churn", "limits": {"jobs": 2.0}, "roles": ["A", "B"]}
    show_object(Output(Format.CSV), value)
    assert capsys.readouterr().out == 'name,limits,roles\r\nchurn,jobs=2,"A, B"\r\n'
    show_object(Output(Format.NAME), value)
    assert capsys.readouterr().out == "churn\n"
    show_object(Output(Format.YAML), value)
    assert yaml.safe_load(capsys.readouterr().out) == value


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal of 40 columns."""
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TZ", "UTC")


@pytest.mark.usefixtures("narrow")
def test_a_narrow_terminal_wraps_sentences_and_breaks_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    name = "customer-churn-prediction-team"
    rows = [{"name": name, "text": "a sentence that is too long for one line", "until": "2026-12-31T18:00:00Z"}]
    show_rows(Output(), ("name", "text", "until"), rows)
    out = capsys.readouterr().out
    assert name in out
    assert "a sentence that is too long for one line" not in out
    assert "2026-12-31" in out


def test_ids_are_as_short_as_they_stay_apart() -> None:
    first, second = "ab" * 16, "ab" * 5 + "cd" * 11
    assert terminal_table._shorten_ids([[first, "x"], [second, "y"]]) == [["ab" * 5 + "a", "x"], ["ab" * 5 + "c", "y"]]
    assert terminal_table._shorten_ids([[first]]) == [["ab" * 4]]
