"""Every command in the documents is one: `aizen-hub …` is parsed as on the command line, the rest as in a cell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.cli.main import cli
from aizen_hub.notebook.question import may_be_question
from aizen_hub.notebook.subcommands import SUBCOMMANDS

ROOT = Path(__file__).parents[2]
GUIDES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *sorted((ROOT / "docs" / "explanation").glob("*.md")),
    *sorted((ROOT / "deploy").glob("*/README.md")),
]
_CELLS = [
    ROOT / "README.md",
    *(ROOT / "docs" / name for name in ("tutorial.md", "notebooks.md", "how-to/data-scientist.md")),
]


def _blocks(path: Path, language: str) -> Iterator[str]:
    for block in re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        yield from filter(None, (line.strip() for line in block.replace("\\\n", " ").splitlines()))


def _shell_commands() -> Iterator[tuple[str, str]]:
    """Yield each whole command with its document: lines of shell blocks, and code in a sentence with arguments."""
    for path in GUIDES:
        name = path.relative_to(ROOT).as_posix()
        for line in _blocks(path, "sh"):
            if match := re.match(r"(?:sudo )?(?:\S*/)?(aizen-hub .*)", line):
                yield name, match[1]
        prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for code in re.findall(r"`(aizen-hub [^`]+)`", prose):
            yield name, " ".join(code.split())


def _find_fault(line: str, *, is_whole: bool = True) -> str | None:
    """Return what is wrong with a command; of one without arguments only its name is looked up."""
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    ctx = click.Context(cli)
    while isinstance(command, click.Group) and words:
        found = command.get_command(ctx, words[0])
        if found is None:
            return f"there is no command {words[0]}"
        command, words = found, words[1:]
    if not words and not is_whole:
        return None
    try:
        command.make_context("aizen-hub", list(words), parent=ctx)
    except click.ClickException as error:
        return error.format_message()
    return None


def test_every_command_of_the_command_line_is_one() -> None:
    commands = sorted(set(_shell_commands()))
    assert len(commands) > 60
    faults = [(name, line, fault) for name, line in commands if (fault := _find_fault(line, is_whole=False))]
    assert faults == []


@pytest.mark.parametrize(
    "line",
    ["aizen-hub lock remove alice --reason x", "aizen-hub grant", "aizen-hub audit seal", "aizen-hub whoami --all"],
)
def test_a_wrong_command_would_be_found(line: str) -> None:
    assert _find_fault(line) is not None


def test_every_line_of_a_cell_is_a_command_or_a_question() -> None:
    names = tuple(load_catalog("aizen").commands[name].name for name in load_catalog("aizen").commands)

    def is_known(line: str) -> bool:
        text = re.sub(r"^(?:\w+ = )?%{1,2}aizen (?:--\w+ )?", "", line)
        word = text.partition(" ")[0]
        return text.startswith("job.") or word in SUBCOMMANDS or may_be_question(text) or text.startswith(names)

    lines = [(path.name, re.sub(r" {3,}.*", "", line)) for path in _CELLS for line in _blocks(path, "text")]
    assert len(lines) > 15
    assert [(name, line) for name, line in lines if not is_known(line)] == []
    assert not is_known("begin training churn")
