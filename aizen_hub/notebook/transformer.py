"""Input transformer for plain-text commands.

It rewrites a cell that Python cannot compile and that consists of commands and questions only. Python takes precedence:
a cell that compiles stays unchanged, and so does a cell with commands and Python. This is a convenience: the service
parses and authorizes every line itself.
"""

from __future__ import annotations

import ast
import keyword
import warnings
from collections.abc import Callable

from aizen_hub.notebook.command_catalog import CommandCatalog, split_words
from aizen_hub.notebook.question import may_be_question, read_question

_MAX_CELL = 64 * 1024
_MAX_LINES = 200
# Python keywords that also start a command, such as `import dataset sales`.
_COMMAND_KEYWORDS = frozenset({"import"})

MagicPredicate = Callable[[str], bool]


def transform(
    lines: list[str], catalog: CommandCatalog | None, is_magic: MagicPredicate = lambda word: False
) -> list[str]:
    """Return the lines of a cell, rewritten to a call of the magic if they are commands or questions.

    Pure, idempotent, without network access, and well under a millisecond for a cell that is not rewritten. Without a
    catalog, a possible command becomes a call that fetches the catalog first.

    Parameters
    ----------
    lines : list of str
        The cell as IPython passes it, each line with its line end.
    catalog : CommandCatalog or None
        None if the catalog has not been fetched yet.
    is_magic : callable
        Whether a word is a line magic that IPython runs without ``%``: `run script` is left to IPython.
    """
    commands = command_lines(lines)
    if commands is None:
        return lines
    if catalog is None:
        is_ours = all(
            may_be_question(line) or (may_be_command(line) and not is_magic(_first_word(line))) for line in commands
        )
    else:
        is_ours = all(is_known(line, catalog) or is_near_miss(line, catalog, is_magic) for line in commands)
    if not is_ours or compiles("".join(lines)):
        return lines
    if len(commands) == 1 and catalog is not None and is_known(commands[0], catalog):
        return [f"get_ipython().run_line_magic('aizen', {commands[0]!r})\n"]
    return [f"get_ipython().run_cell_magic('aizen', '--plain', {''.join(lines)!r})\n"]


def command_lines(lines: list[str]) -> list[str] | None:
    """Return the stripped lines without empty lines and comments; None if none are left or the cell is too large."""
    if len(lines) > _MAX_LINES or sum(map(len, lines)) > _MAX_CELL:
        return None
    stripped = (line.strip(" \t\r\n") for line in lines)
    return [line for line in stripped if line and not line.startswith("#")] or None


def may_be_command(line: str) -> bool:
    """Return whether a line has the form of a command, for use without a catalog."""
    split = split_words(line)
    if split is None:
        return False
    words, arguments = split
    first = words[0]
    if not first.islower() or len(words) < 2:
        return False
    return not keyword.iskeyword(first) or (first in _COMMAND_KEYWORDS and bool(arguments))


def is_known(line: str, catalog: CommandCatalog) -> bool:
    """Return whether a line is a command or a question."""
    return catalog.find(line) is not None or read_question(line, catalog) is not None


def is_near_miss(line: str, catalog: CommandCatalog, is_magic: MagicPredicate) -> bool:
    """Return whether a line is similar to a command and gets a suggestion instead of a syntax error."""
    suggestion = catalog.suggest(line)
    return bool(suggestion) or (suggestion is not None and not is_magic(_first_word(line)))


def compiles(cell: str) -> bool:
    """Return whether Python compiles the cell, with top-level ``await``; also true if the compiler fails otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(cell, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except SyntaxError:
            return False
        except (ValueError, OverflowError, MemoryError, RecursionError):
            return True
    return True


def _first_word(line: str) -> str:
    return line.partition(" ")[0].partition("\t")[0]
