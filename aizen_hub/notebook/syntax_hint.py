"""Hints for commands in cells that failed with Python's syntax error."""

from __future__ import annotations

import re

from aizen_hub.notebook.command_catalog import CommandCatalog
from aizen_hub.notebook.transformer import command_lines, compiles, is_known

_HELP = "help"
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\s*=\s*(.+)")


def find_syntax_hint(cell: str, catalog: CommandCatalog) -> str | None:
    """Return how to write the first command in a cell that is not valid Python; None if there is none."""
    for line in command_lines(cell.splitlines(keepends=True)) or ():
        if line[0] in "%!?" or compiles(line):
            continue
        if is_known(line, catalog):
            return f"`{line[:200]}` is a command; in a cell with Python write: %aizen {line[:200]}"
        assignment = _ASSIGNMENT.fullmatch(line)
        if assignment and catalog.find(assignment[2]):
            command = assignment[2][:200]
            return f"`{command}` is a command; to assign its result: {assignment[1]} = %aizen {command}"
        without_semicolon = line.rstrip("; \t")
        if without_semicolon != line and catalog.find(without_semicolon):
            return f"a command does not end with `;`: {without_semicolon[:200]}"
    return None


def find_python_hint(cell: str, catalog: CommandCatalog) -> str | None:
    """Return how to write the command whose only word was taken for a name of Python; None for any other cell."""
    word = cell.strip()
    if word == _HELP or (word.isidentifier() and (word,) in catalog.entries):
        return f"`{word}` is Python here; the command is %aizen {word}"
    return None
