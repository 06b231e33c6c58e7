"""Questions in a cell: what is asked of the service, and how the answer is shown."""

from __future__ import annotations

import time
from typing import Any

import pytest
from IPython.utils.capture import capture_output

from aizen_hub.notebook.display.answer import Answer, example_of
from aizen_hub.notebook.display.refusal import Refusal
from aizen_hub.notebook.display.result import CommandResult
from aizen_hub.notebook.errors import AizenDenied
from tests.notebook.service_double import ServiceDouble, decision, deny_with

NO = {
    "command": "start training", "usage": "start training [<name>] [key=value …]", "description": "Start a training",
    "complete": True, "allowed": False, "sentence": "no role allows `execute:training`",
    "permission": "execute:training",
    "scope": "churn", "role": "PROJECT_EXECUTOR", "who_can_grant": ["paul"], "remedy": "ask `paul`",
    "why": "/services/aizen/why?do=start+training&in=churn", "ask": "/services/aizen/me/ask?role=PROJECT_EXECUTOR",
}  # fmt: skip
YES = {**NO, "allowed": True, "sentence": "role PROJECT_EXECUTOR in `churn`", "remedy": None, "ask": None}


def run(shell: Any, text: str) -> Any:
    with capture_output() as captured:
        done = shell.run_cell(text)
    assert "Traceback" not in captured.stdout
    return done


@pytest.mark.parametrize("fetched", [True, False], ids=["catalog known", "catalog unknown"])
def test_can_i(shell: Any, double: ServiceDouble, fetched: bool) -> None:
    if fetched:
        run(shell, "%aizen help")
    double.answers["command"] = NO
    answer = run(shell, "can i start training churn?").result
    assert isinstance(answer, Answer)
    assert not answer
    assert double.questions == [("command", {"line": "start training churn"})]
    assert answer.text().splitlines() == ["no: no role allows `execute:training`", "ask `paul`"]
    markup = answer.html()
    assert "<code>execute:training</code>" in markup
    assert '<a href="/services/aizen/me/ask?role=PROJECT_EXECUTOR"' in markup
    assert '<a href="/services/aizen/why?do=start+training&amp;in=churn"' in markup
    double.answers["command"] = YES
    answer = run(shell, "can i start training churn in p2").result
    assert bool(answer) is True
    assert double.questions[-1] == ("command", {"line": "start training churn", "project": "p2"})
    assert answer.text() == "yes: role PROJECT_EXECUTOR in `churn`"
    assert "Ask" not in answer.html()


def test_a_yes_says_what_it_is_not_about() -> None:
    incomplete = {**YES, "complete": False}
    assert "the rest of the line cannot be read" in Answer(incomplete, "start training churn epochs").text()
    assert "the rest" not in Answer(incomplete, "start training").text()
    assert "the rest" not in Answer(YES, "start training churn").text()


def test_why_explains_the_last_refusal(shell: Any, double: ServiceDouble) -> None:
    assert "nothing was refused" in run(shell, "why").result.text()
    double.answers |= {"command": NO, "why": {"kind": "object", "data": {"others": ["PROJECT_READER in `churn`"]}}}
    double.scripts["start training churn"] = deny_with(decision=decision(False, sentence="no"), who_can_grant=["paul"])
    assert isinstance(run(shell, "start training churn").result, Refusal)
    for text in ("why", "%aizen why", "why not?", "why start training churn"):
        answer = run(shell, text).result
        assert answer.text().splitlines()[0] == "no: no role allows `execute:training`", text
        assert "not by: PROJECT_READER in `churn`" in answer.text()
    assert double.questions[:2] == [
        ("command", {"line": "start training churn"}),
        ("why", {"permission": "execute:training", "scope": "churn"}),
    ]
    shell.user_ns["why"] = 5
    assert run(shell, "why").result == 5, "a variable of the user's own"


def test_who_can(shell: Any, double: ServiceDouble) -> None:
    double.answers |= {
        "command": YES, "who-can": {"kind": "table", "columns": ["identity"], "rows": [["user:paul"]], "data": {}},
    }  # fmt: skip
    done = run(shell, "who can start training?")
    assert isinstance(done.result, CommandResult)
    assert done.result.records == [{"identity": "user:paul"}]
    assert double.questions[-1] == ("who-can", {"permission": "execute:training", "scope": "churn"})


def test_what_can_i_do_is_grouped_by_object(shell: Any, double: ServiceDouble) -> None:
    result = run(shell, "what can i do").result
    assert result.rows == (("projects", "list"), ("training", "list, start"))
    assert "in `churn` you may give 3 of 155 commands" in result.text()


def test_a_day_ends_at_midnight_also_when_the_clocks_change(
    shell: Any, double: ServiceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        run(shell, "request PROJECT_READER until 2027-03-28")
        assert double.requests[-1]["until"] == "2027-03-29T00:00:00+02:00"
        assert "is not a day" in run(shell, "request PROJECT_READER until 9999-12-31").result.text()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_strict_mode_raises_refused_requests(shell: Any, double: ServiceDouble) -> None:
    assert isinstance(run(shell, "%aizen --strict request NONE").error_in_exec, AizenDenied)


@pytest.mark.parametrize(
    ("usage", "example"),
    [
        ("start training [<name>] [key=value …]", "start training churn epochs=5"),
        ("grant role <roles,…> to <user> [until <until>]", "grant role PROJECT_READER to rita"),
        ("create project <name>[,config=<config file>]", "create project churn"),
        ("list projects", "list projects"),
    ],
)
def test_examples(usage: str, example: str) -> None:
    assert example_of(usage) == example
