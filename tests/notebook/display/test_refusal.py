"""A refusal is two lines: the verdict and the way out; the rest is folded, and nothing is repeated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.notebook.display.refusal import REFUSAL_MIME, Refusal
from tests.notebook.display.markup import NASTY, VALUES, check

MEMBERS = ("title", "detail", "decision", "who_can_grant", "remedy", "errors", "why", "ask", "suggestion", "scope")


@given(st.dictionaries(st.sampled_from(MEMBERS), VALUES))
def test_any_refusal_can_be_shown(document: dict[str, Any]) -> None:
    check(Refusal(document, "start training churn"), REFUSAL_MIME)


def test_a_hostile_value_stays_text() -> None:
    document = {"title": NASTY, "detail": NASTY, "remedy": NASTY, "errors": [{"pointer": NASTY}], "why": NASTY}
    bundle = check(Refusal(document, NASTY), REFUSAL_MIME)
    assert "\u202e" not in bundle["text/plain"] + bundle["text/html"]


DENIAL = {
    "title": "Not allowed",
    "detail": "short",
    "who_can_grant": ["alice", "carol"],
    "scope": "churn",
    "permission": "execute:training",
    "remedy": "ask alice",
    "why": "/services/aizen/why?decision=d1",
    "ask": "https://hub.example/services/aizen/me/ask?project=churn&role=PROJECT_EXECUTOR",
    "decision": {
        "id": "d1", "allowed": False, "reason": "no-assignment", "role": "PROJECT_EXECUTOR",
        "sentence": "no role allows `execute:training` in `churn`",
    },
}  # fmt: skip


def test_a_denial_is_two_lines_with_links_and_folded_details() -> None:
    refusal = Refusal(DENIAL, "start training churn")
    assert refusal.is_denial
    assert refusal.text().splitlines() == [
        "Not allowed: no role allows `execute:training` in `churn`",
        "→ `alice` or `carol` can give you PROJECT_EXECUTOR in `churn`; ask with: `request PROJECT_EXECUTOR in churn`",
    ]
    markup = check(refusal, REFUSAL_MIME)["text/html"]
    visible, _, folded = markup.partition("<details")
    assert "no role allows <code>execute:training</code> in <code>churn</code>" in visible
    assert '<a href="https://hub.example/services/aizen/me/ask?project=churn&amp;role=PROJECT_EXECUTOR"' in visible
    assert '<a href="/services/aizen/why?decision=d1"' in visible
    assert "d1" in folded
    assert "start training churn" in folded
    assert "`" not in markup


def test_the_extension_of_jupyterlab_gets_what_its_buttons_need() -> None:
    content = Refusal(DENIAL, "start training churn")._repr_mimebundle_()[REFUSAL_MIME]
    assert content | {"title": "", "sentence": "", "way_out": ""} == {
        "decision_id": "d1", "line": "start training churn", "title": "", "sentence": "", "way_out": "",
        "project": "churn", "scope": "churn", "remedy": "ask alice", "faults": [],
        "permission": "execute:training", "role": "PROJECT_EXECUTOR",
        "who_can_grant": ["alice", "carol"], "ask_url": DENIAL["ask"], "why_url": DENIAL["why"],
    }  # fmt: skip


def test_many_grantors_are_counted() -> None:
    refusal = Refusal({**DENIAL, "who_can_grant": list("abcde"), "scope": "system"})
    assert "`a`, `b`, `c` or 2 more can give you PROJECT_EXECUTOR; ask" in refusal.way_out


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
    assert refusal.text() == "The core did not: the core cannot be reached"


def test_a_role_is_named_only_if_it_would_allow_the_command() -> None:
    decision = {"id": "d1", "allowed": False, "reason": "escalation", "sentence": "not to yourself", "role": "X"}
    text = Refusal({"title": "No", "decision": decision, "who_can_grant": ["alice"], "remedy": "ask alice"}).text()
    assert text.splitlines() == ["No: not to yourself", "→ ask alice"]


def test_an_address_of_another_kind_is_no_link() -> None:
    assert "<a " not in Refusal({"title": "No", "why": "javascript:alert(1)"}).html()


def test_nothing_is_repeated() -> None:
    fault = {"pointer": "/text", "detail": "the quote is not closed"}
    assert Refusal({"title": "Bad", "detail": "the quote is not closed", "errors": [fault]}).text().count("quote") == 1


def test_errors_in_a_file_are_listed() -> None:
    faults = [{"pointer": "/2/roles/0", "detail": "no such role", "allowed": ["PROJECT_READER"]}]
    refusal = Refusal({"title": "Bad", "detail": "one fault", "errors": faults})
    for shown in (refusal.text(), refusal.html().partition("<details")[0]):
        assert "/2/roles/0: no such role (allowed: PROJECT_READER)" in shown
    bundle = refusal._repr_mimebundle_()
    assert bundle["application/vnd.aizen.refusal+json"]["faults"] == [
        "/2/roles/0: no such role (allowed: PROJECT_READER)"
    ]


@pytest.mark.parametrize("suggestion", ["start training churn"])
def test_a_suggestion_is_the_way_out(suggestion: str) -> None:
    refusal = Refusal({"title": "Unknown command", "detail": "no such", "suggestion": suggestion, "remedy": "x"})
    assert refusal.text().splitlines()[1:] == ["→ did you mean `start training churn`?"]
