"""Plain-text commands: Python takes precedence, and only commands of the catalog are rewritten."""

from __future__ import annotations

import ast
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aizen_hub.notebook.command_catalog import CommandCatalog
from aizen_hub.notebook.transformer import transform
from tests.fixtures.timing import cpu_seconds

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
CATALOG_STATES = st.sampled_from(["known", "unknown"])


def cell(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def is_python(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
    return True


@given(TEXTS, CATALOG_STATES)
@example("import dataset", "known")
@example("plot", "known")
@example("start = training", "known")
@example("await x", "unknown")
@settings(max_examples=400, deadline=None)
def test_what_python_compiles_is_never_rewritten(
    command_catalog: CommandCatalog, text: str, catalog_state: str
) -> None:
    lines = cell(text)
    if is_python("".join(lines)):
        assert transform(lines, command_catalog if catalog_state == "known" else None) == lines


@given(TEXTS, CATALOG_STATES)
@example("start training churn", "known")
@example("strat training churn\nlist projects", "known")
@example("start training 'a\\'", "unknown")
@settings(max_examples=400, deadline=None)
def test_it_is_idempotent_and_returns_python(command_catalog: CommandCatalog, text: str, catalog_state: str) -> None:
    catalog = command_catalog if catalog_state == "known" else None
    transformed = transform(cell(text), catalog)
    assert transform(transformed, catalog) == transformed
    if transformed != cell(text):
        assert is_python("".join(transformed))


def test_every_command_of_the_catalog_is_recognised(command_catalog: CommandCatalog) -> None:
    for entry in command_catalog.entries.values():
        line = f"{entry.text} churn\n"
        assert transform([line], command_catalog) == [f"get_ipython().run_line_magic('aizen', {line.strip()!r})\n"]


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
        "start training ./churn",
        "start training /churn",
        "alter users / 2",
        "alter users .",
        "alter users ~",
        "plot ./x",
        "# start training churn",
        "",
        "\n\n",
        "start training churn" + "x" * 70_000,
    ],
)
def test_these_cells_are_not_rewritten(command_catalog: CommandCatalog, text: str) -> None:
    lines = cell(text)
    assert transform(lines, command_catalog) == lines


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
        "alter users ./users.json",
        "add users ../shared/users.json",
        "alter users /srv/users.json",
        "alter users ~/users.json",
        "alter users ~bob/users.json",
        "alter users .hidden.json",
    ],
)
def test_these_cells_are_rewritten(command_catalog: CommandCatalog, text: str) -> None:
    assert "".join(transform(cell(text), command_catalog)).startswith("get_ipython().run_")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("strat training churn", "start training churn"),
        ("start trainng churn", "start training churn"),
        ("list project", "list projects"),
        ("List Projects", "list projects"),
        ("alter user ./users.json", "alter users ./users.json"),
        ("start trainng ./churn", None),
        ("lst roles for bob", "list roles for bob"),
        ("import datset churn", "import dataset churn"),
        ("start everything now", ""),
        ("hello my world", None),
        ("import numpy nmp", None),
        ("set x = 3", None),
    ],
)
def test_similar_commands_are_suggested(command_catalog: CommandCatalog, text: str, meant: str | None) -> None:
    assert command_catalog.suggest(text) == meant
    assert (transform(cell(text), command_catalog) != cell(text)) == (meant is not None)


def test_automagic_commands_of_ipython_are_not_rewritten(command_catalog: CommandCatalog) -> None:
    assert transform(["run script\n"], command_catalog, lambda word: word == "run") == ["run script\n"]
    assert transform(["run pca\n"], command_catalog, lambda word: word == "run") != ["run pca\n"]
    assert transform(["run script\n"], None, lambda word: word == "run") == ["run script\n"]


def test_without_a_catalog_only_possible_commands_fetch_it() -> None:
    for text in ("start training churn", "plot x", "import dataset churn", "alter users ../users.json"):
        assert "--plain" in transform([text], None)[0]
    for text in ("import numpy", "for x in", "print('", "x y = 1", "Hello world", "1 2", "del x y", "start"):
        assert transform([text], None) == [text]


LONG = "".join(f"value_{index} = function({index}) + [1, 2, 3][{index % 3}]\n" for index in range(400))


@pytest.mark.parametrize(
    "text", [LONG, "start training churn\n", "import numpy as np\n", "x = 1\n", "print 'hello'\n", "start x\n" + LONG],
    ids=["long", "command", "import", "short", "broken", "long that begins like a command"],
)  # fmt: skip
def test_it_delays_no_cell_noticeably(command_catalog: CommandCatalog, text: str) -> None:
    lines = cell(text)
    # Less than a millisecond on a usual machine; a multiple of that is below what a user notices.
    assert cpu_seconds(lambda: transform(lines, command_catalog), repeat=50) < 0.05
