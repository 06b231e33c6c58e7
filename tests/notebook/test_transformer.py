"""Plain text as commands: Python wins, and what is rewritten is exactly what a catalog holds."""

from __future__ import annotations

import ast
import statistics
import time
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aizen_hub.notebook.command_catalog import Vocabulary
from aizen_hub.notebook.transformer import transform

WORDS = (
    "start",
    "training",
    "list",
    "projects",
    "import",
    "dataset",
    "set",
    "project",
    "plot",
    "run",
    "pca",
    "churn",
    "x",
)
MARKS = (
    " ",
    "  ",
    "\t",
    "=",
    "(",
    ")",
    ",",
    ".",
    ":",
    "\n",
    "\n    ",
    "#",
    "'",
    '"',
    "-",
    "%",
    "!",
    "?",
    "1",
    "await ",
    "\u00a0",
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS + MARKS), max_size=14).map("".join))
VOCABULARIES = st.sampled_from(["known", "unknown"])


def cell(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def python_takes(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
    return True


@given(TEXTS, VOCABULARIES)
@example("import dataset", "known")
@example("plot", "known")
@example("start = training", "known")
@example("await x", "unknown")
@settings(max_examples=400, deadline=None)
def test_what_python_compiles_is_never_rewritten(vocabulary: Vocabulary, text: str, known: str) -> None:
    lines = cell(text)
    if python_takes("".join(lines)):
        assert transform(lines, vocabulary if known == "known" else None) == lines


@given(TEXTS, VOCABULARIES)
@example("start training churn", "known")
@example("strat training churn\nlist projects", "known")
@example("start training 'a\\'", "unknown")
@settings(max_examples=400, deadline=None)
def test_it_is_idempotent_and_gives_python(vocabulary: Vocabulary, text: str, known: str) -> None:
    words = vocabulary if known == "known" else None
    once = transform(cell(text), words)
    assert transform(once, words) == once
    if once != cell(text):
        assert python_takes("".join(once))


def test_every_command_of_the_catalog_is_recognised(vocabulary: Vocabulary) -> None:
    for entry in vocabulary.entries.values():
        line = f"{entry.text} churn\n"
        assert transform([line], vocabulary) == [f"get_ipython().run_line_magic('aizen', {line.strip()!r})\n"]


@pytest.mark.parametrize(
    "text",
    [
        "run pca = 1",
        "start training = churn",
        "x = start training",
        "start training churn\nprint(1)",
        "start training churn\nx = (",
        "%time start training churn",
        "!start training churn",
        "print 'hello'",
        "for x in",
        "import numpy nmp",
        "import pandas as",
        "from x import y z",
        "class training churn",
        "start\u00a0training churn",
        "def start training",
        "2 start training",
        "# start training churn",
        "",
        "\n\n",
        "start training churn" + "x" * 70_000,
    ],
)
def test_these_are_left_alone(vocabulary: Vocabulary, text: str) -> None:
    lines = cell(text)
    assert transform(lines, vocabulary) == lines


@pytest.mark.parametrize(
    "text",
    [
        "start training churn",
        "  list projects  ",
        "# who is here\nlist users\n\n# and what they may\nlist roles for bob\n",
        "grant role PROJECT_EXECUTOR,PROJECT_READER to bob",
        "create project churn-2,config=members.json",
        "import dataset churn",
        "count\trows",
        "plot x",
        "list data-quality",
        "start training churn {x} $HOME",
    ],
)
def test_these_are_commands(vocabulary: Vocabulary, text: str) -> None:
    assert "".join(transform(cell(text), vocabulary)).startswith("get_ipython().run_")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("strat training churn", "start training churn"),
        ("start trainng churn", "start training churn"),
        ("list project", "list projects"),
        ("List Projects", "list projects"),
        ("lst roles for bob", "list roles for bob"),
        ("import datset churn", "import dataset churn"),
        ("start everything now", ""),
        ("hello my world", None),
        ("import numpy nmp", None),
        ("set x = 3", None),
    ],
)
def test_near_misses_are_suggested(vocabulary: Vocabulary, text: str, meant: str | None) -> None:
    assert vocabulary.suggest(text) == meant
    assert (transform(cell(text), vocabulary) != cell(text)) == (meant is not None)


def test_what_ipython_runs_without_its_sign_stays_ipythons(vocabulary: Vocabulary) -> None:
    assert transform(["run script\n"], vocabulary, lambda word: word == "run") == ["run script\n"]
    assert transform(["run pca\n"], vocabulary, lambda word: word == "run") != ["run pca\n"]
    assert transform(["run script\n"], None, lambda word: word == "run") == ["run script\n"]


def test_without_a_catalog_only_what_looks_like_a_command_waits_for_it() -> None:
    for text in ("start training churn", "plot x", "import dataset churn"):
        assert "--plain" in transform([text], None)[0]
    for text in ("import numpy", "for x in", "print('", "x y = 1", "Hello world", "1 2", "del x y", "start"):
        assert transform([text], None) == [text]


LONG = "".join(f"value_{number} = function({number}) + [1, 2, 3][{number % 3}]\n" for number in range(400))


@pytest.mark.parametrize(
    "text", [LONG, "start training churn\n", "import numpy as np\n", "x = 1\n", "print 'hello'\n", "start x\n" + LONG],
    ids=["long", "command", "import", "short", "broken", "long that begins like a command"],
)  # fmt: skip
def test_it_takes_less_than_a_millisecond(vocabulary: Vocabulary, text: str) -> None:
    lines = cell(text)
    times = []
    for _ in range(50):
        began = time.perf_counter()
        transform(lines, vocabulary)
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < 0.001
