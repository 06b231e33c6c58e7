"""Rendered output as text and as HTML without active content."""

from __future__ import annotations

import html.parser
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.notebook.display import (
    MAX_ROWS,
    MIME,
    CommandResult,
    Notice,
    Refusal,
    Renderable,
    escape_unprintable,
    format_cell,
)
from aizen_hub.notebook.progress import ProgressDisplay

NASTY = '<script>alert(1)</script><img src=x onerror="x">\x1b[31m\u202egnp.\r\n\x00'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ALLOWED = {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "pre", "br"}


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.styles += [value or "" for _, value in attrs]


def check(output: Any) -> dict[str, Any]:
    bundle: dict[str, Any] = output._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", MIME}
    json.dumps(bundle[MIME])
    tags = Tags()
    tags.feed(bundle["text/html"])
    assert tags.tags <= ALLOWED
    assert tags.attributes <= {"style"}
    assert not any("url(" in style or "expression" in style for style in tags.styles)
    assert all(char.isprintable() or char == "\n" for char in bundle["text/plain"])
    return bundle


@given(st.dictionaries(st.sampled_from(["kind", "message", "columns", "rows", "data"]), VALUES))
def test_any_result_can_be_shown(content: dict[str, Any]) -> None:
    check(CommandResult(content))


@given(st.dictionaries(st.sampled_from(["title", "detail", "decision", "who_can_grant", "remedy", "errors"]), VALUES))
def test_any_refusal_can_be_shown(document: dict[str, Any]) -> None:
    check(Refusal(document, "start training churn"))


def test_a_hostile_value_stays_text() -> None:
    outputs: list[Renderable] = [
        CommandResult(
            {"kind": "table", "message": NASTY, "columns": [NASTY], "rows": [[NASTY, {"a": NASTY}]], "data": {}}
        ),
        CommandResult({"kind": "object", "data": {"a": NASTY}}, state="failed", message=NASTY),
        Refusal({"title": NASTY, "detail": NASTY, "remedy": NASTY, "errors": [{"pointer": NASTY}]}, NASTY),
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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-22T07:42:02.296651Z", "2026-11-22 07:42:02 UTC"),
        ("2026-11-22T07:42:02+00:00", "2026-11-22 07:42:02 UTC"),
        ("2026-11-22T07:42:02+01:00", "2026-11-22T07:42:02+01:00"),
        ({"email": False, "phone": True}, "email: no, phone: yes"),
        ([1, None, "a"], "1, , a"),
        ("x" * 1000, "x" * 300),
        ("\u202e" * 300, "\\u202e" * 50),
    ],
)
def test_values_are_formatted(value: object, expected: str) -> None:
    assert format_cell(value) == expected


def test_a_long_table_is_truncated_on_the_screen_only() -> None:
    result = CommandResult({"kind": "table", "columns": ["n"], "rows": [[n] for n in range(MAX_ROWS + 5)]})
    assert "and 5 more rows" in result.text()
    assert "and 5 more rows" in result.html()
    assert len(result.rows) == MAX_ROWS + 5


def test_a_denial_shows_reason_grantors_and_request(monkeypatch: Any) -> None:
    monkeypatch.setenv("JUPYTERHUB_USER", "bob")
    document = {
        "title": "Not allowed",
        "detail": "short",
        "who_can_grant": ["alice", "carol"],
        "decision": {
            "id": "d1", "allowed": False, "reason": "no-assignment", "role": "PROJECT_EXECUTOR",
            "sentence": "bob may not execute:training in churn",
        },
    }  # fmt: skip
    refusal = Refusal({**document, "scope": "churn", "remedy": "ask `alice`"}, "start training churn")
    assert refusal.is_denial
    assert "ask `alice`" not in refusal.text(), "replaced by the more specific lines"
    for rendered in (refusal.text(), refusal.html()):
        for part in (
            "bob may not execute:training in churn", "PROJECT_EXECUTOR", "alice, carol",
            "%aizen ask PROJECT_EXECUTOR in churn", "runs in churn: grant role PROJECT_EXECUTOR to bob", "d1",
        ):  # fmt: skip
            assert part in rendered
    assert "Traceback" not in refusal.text()


def test_a_failure_of_something_allowed_is_not_a_denial() -> None:
    decision = {
        "id": "d1",
        "allowed": True,
        "reason": "granted",
        "sentence": "role PROJECT_EXECUTOR in p1",
        "role": "X",
    }
    refusal = Refusal({"title": "The core did not", "detail": "the core cannot be reached", "decision": decision})
    assert not refusal.is_denial
    assert refusal.text() == "The core did not: the core cannot be reached\n  decision: d1"


def test_a_role_is_named_only_if_it_would_allow_the_command() -> None:
    decision = {"id": "d1", "allowed": False, "reason": "escalation", "sentence": "not to yourself", "role": "X"}
    text = Refusal({"title": "No", "decision": decision, "who_can_grant": ["alice"], "remedy": "ask alice"}).text()
    assert text.splitlines() == [
        "No: not to yourself",
        "  who can grant it: alice",
        "  what you can do: ask alice",
        "  decision: d1",
    ]


@pytest.mark.parametrize("address", ["/services/aizen/why?decision=d1", "https://hub.example/why?decision=d1"])
def test_a_refusal_leads_to_its_explanation(address: str) -> None:
    refusal = Refusal({"title": "No", "why": address, "decision": {"id": "d1", "allowed": False}})
    assert f"  why: {address}" in refusal.text()
    assert f'<a href="{address}" target="_blank" rel="noopener">' in refusal.html()


def test_an_address_of_another_kind_is_no_link() -> None:
    assert "<a " not in Refusal({"title": "No", "why": "javascript:alert(1)"}).html()


def test_nothing_is_repeated() -> None:
    fault = {"pointer": "/text", "detail": "the quote is not closed"}
    assert Refusal({"title": "Bad", "detail": "the quote is not closed", "errors": [fault]}).text().count("quote") == 1
    empty = CommandResult({"kind": "table", "message": "you have no project", "columns": ["project"], "rows": []})
    assert empty.text() == "you have no project"
    silent = CommandResult({"kind": "table", "columns": ["project"], "rows": []})
    assert "(no rows)" in silent.text()
    assert "(no rows)" in silent.html()


def test_errors_in_a_file_are_listed() -> None:
    faults = [{"pointer": "/2/roles/0", "detail": "no such role", "allowed": ["PROJECT_READER"]}]
    text = Refusal({"title": "Bad", "detail": "one fault", "errors": faults}).text()
    assert "/2/roles/0: no such role (allowed: PROJECT_READER)" in text


@given(st.text())
def test_escaped_text_is_one_printable_line(text: str) -> None:
    assert escape_unprintable(text).isprintable()


@given(
    st.dictionaries(
        st.sampled_from(["event", "fraction", "message", "line"]), VALUES | st.sampled_from(["progress", "log"])
    )
)
def test_any_event_can_be_drawn(event: dict[str, Any]) -> None:
    progress = ProgressDisplay(NASTY)
    progress._drawn_at = float("inf")
    progress.update(event)
    check(progress)
