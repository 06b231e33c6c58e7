"""Questions are read from whole lines only, and Python and IPython keep what is theirs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.notebook.command_catalog import CommandCatalog
from aizen_hub.notebook.question import Question, QuestionKind, may_be_question, read_question
from aizen_hub.notebook.transformer import transform

K = QuestionKind


@pytest.mark.parametrize(
    ("line", "question"),
    [
        ("can i start training", Question(K.CAN, "start training")),
        ("can i start training churn?", Question(K.CAN, "start training churn")),
        ("can i start training in p2 ?", Question(K.CAN, "start training", "p2")),
        ("can i execute:training", Question(K.CAN, "execute:training")),
        ("who can delete training", Question(K.WHO, "delete training")),
        ("why", Question(K.WHY)),
        ("why not?", Question(K.WHY)),
        ("why not start training", Question(K.WHY, "start training")),
        ("why can i not start training?", Question(K.WHY, "start training")),
        ("why may i start training", Question(K.WHY, "start training")),
        ("what can i do", Question(K.WHAT)),
        ("what can i do in p2?", Question(K.WHAT, project="p2")),
        ("request A", Question(K.REQUEST, role="A")),
        ("request A in p2 for 4h", Question(K.REQUEST, role="A", project="p2", lasts="4h")),
        ("request A for 4h in p2 because x", Question(K.REQUEST, role="A", project="p2", lasts="4h", reason="x")),
        ("request A until 2027-01-31 in p2", Question(K.REQUEST, role="A", project="p2", until="2027-01-31")),
        ('request A for 7 days because "on call"', Question(K.REQUEST, role="A", lasts="7 days", reason="on call")),
        ("request A until 2027-01-31 because x", Question(K.REQUEST, role="A", until="2027-01-31", reason="x")),
        ("start training?", Question(K.HELP, "start training")),
        ("??start training churn", Question(K.HELP, "start training churn")),
        ("can i fly", None),
        ("who can tell", None),
        ("why me", None),
        ("what can i do now please", None),
        ("request", None),
        ("request A for ever", None),
        ("request A, B", None),
        ("plot?", None),
        ("x.y?", None),
        ("who", None),
        ("who start training", None),
        ("start training", None),
    ],
)
def test_questions(command_catalog: CommandCatalog, line: str, question: Question | None) -> None:
    assert read_question(line, command_catalog) == question
    rewritten = transform([line], command_catalog, lambda word: word == "who") != [line]
    assert rewritten == (question is not None and line != "why") or line == "start training"
    if question is not None:
        assert may_be_question(line)


def test_it_wins_over_the_magic_of_ipython_with_and_without_a_catalog(command_catalog: CommandCatalog) -> None:
    def is_magic(word: str) -> bool:
        return word == "who"

    assert "'who can start training'" in transform(["who can start training"], command_catalog, is_magic)[0]
    assert "--plain" in transform(["who can start training"], None, is_magic)[0]
    assert transform(["who x"], None, is_magic) == ["who x"]


@given(st.lists(st.sampled_from(["can", "i", "why", "not", "who", "request", "A", "in", "for", "?", " ", "x"])))
@settings(max_examples=300, deadline=None)
def test_any_line_is_read_without_an_error(command_catalog: CommandCatalog, words: list[str]) -> None:
    line = " ".join(words).strip()
    if line:
        read_question(line, command_catalog)


def test_a_long_line_is_read_at_once(command_catalog: CommandCatalog) -> None:
    assert read_question("can i " + "a " * 3_000 + "?", command_catalog) is None
    assert read_question("why " + " " * 8_000 + "x", command_catalog) is None
