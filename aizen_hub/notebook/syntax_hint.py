"""One line under Python's syntax error, where a command stands in a cell that only Python can have."""

from __future__ import annotations

import re

from aizen_hub.notebook.command_catalog import Vocabulary
from aizen_hub.notebook.transformer import command_lines, compiles

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\s*=\s*(.+)")


def hint(cell: str, vocabulary: Vocabulary) -> str | None:
    """Return how the first command of a cell that Python refused would be written, or None if it holds none."""
    for line in command_lines(cell.splitlines(keepends=True)) or ():
        if line[0] in "%!?" or compiles(line):
            continue
        if vocabulary.find(line):
            return f"`{line[:200]}` is a command; beside Python it is written: %aizen {line[:200]}"
        kept = _ASSIGNMENT.fullmatch(line)
        if kept and vocabulary.find(kept[2]):
            return f"`{kept[2][:200]}` is a command; to keep its answer: {kept[1]} = %aizen {kept[2][:200]}"
        bare = line.rstrip("; \t")
        if bare != line and vocabulary.find(bare):
            return f"a command takes no `;`: {bare[:200]}"
    return None
