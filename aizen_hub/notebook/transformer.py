"""Plain text as commands: rewrites a cell that Python would not compile and that consists of commands.

Python wins: whatever compiles stays as it is, and so does a cell in which commands and Python are mixed. This is
convenience, not enforcement; what arrives at the service is read and decided there anew (F11).
"""

from __future__ import annotations

import ast
import keyword
import warnings
from collections.abc import Callable

from aizen_hub.notebook.command_catalog import Vocabulary, plain_words

_MAX_CELL = 64 * 1024
_MAX_LINES = 200
# Looks a little like a command, so that `import dataset sales` can be one; see `plausible`.
_COMMAND_KEYWORDS = frozenset({"import"})

IsMagic = Callable[[str], bool]


def transform(lines: list[str], vocabulary: Vocabulary | None, is_magic: IsMagic = lambda word: False) -> list[str]:
    """Return the lines of a cell, rewritten to a call of our magic if they are commands.

    Pure and idempotent, well under a millisecond for every cell that is not rewritten, and never on the network:
    without a vocabulary, what might be a command becomes a call that fetches it first.

    Parameters
    ----------
    lines : list of str
        The cell as IPython gives it, each line with its end.
    vocabulary : Vocabulary or None
        None while the catalog has not been fetched.
    is_magic : callable
        Whether a word names a line magic, which IPython runs without its ``%`` too: `run script` stays IPython's.
    """
    commands = command_lines(lines)
    if commands is None:
        return lines
    if len(commands) == 1 and vocabulary is not None and (asked := _asked(commands[0], vocabulary)):
        return [f"get_ipython().run_line_magic('aizen', {'help ' + asked!r})\n"]
    if vocabulary is None:
        meant = all(plausible(line) and not is_magic(_first(line)) for line in commands)
    else:
        meant = all(vocabulary.find(line) is not None or is_near_miss(line, vocabulary, is_magic) for line in commands)
    if not meant or compiles("".join(lines)):
        return lines
    if len(commands) == 1 and vocabulary is not None and vocabulary.find(commands[0]) is not None:
        return [f"get_ipython().run_line_magic('aizen', {commands[0]!r})\n"]
    return [f"get_ipython().run_cell_magic('aizen', '--plain', {''.join(lines)!r})\n"]


def command_lines(lines: list[str]) -> list[str] | None:
    """Return the lines that are neither empty nor comments, stripped; None for a cell that is too large or has none."""
    if len(lines) > _MAX_LINES or sum(map(len, lines)) > _MAX_CELL:
        return None
    stripped = (line.strip(" \t\r\n") for line in lines)
    return [line for line in stripped if line and not line.startswith("#")] or None


def plausible(line: str) -> bool:
    """Whether a line has the shape of a command, before anybody knows which commands there are."""
    split = plain_words(line)
    if split is None:
        return False
    words, rest = split
    first = words[0]
    if not first.islower() or len(words) < 2:
        return False
    return not keyword.iskeyword(first) or (first in _COMMAND_KEYWORDS and bool(rest))


def is_near_miss(line: str, vocabulary: Vocabulary, is_magic: IsMagic) -> bool:
    """Whether a line deserves a suggestion instead of a syntax error."""
    meant = vocabulary.suggest(line)
    return bool(meant) or (meant is not None and not is_magic(_first(line)))


def compiles(cell: str) -> bool:
    """Whether Python would take the cell, top-level ``await`` included; also true for what is too strange to judge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(cell, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except SyntaxError:
            return False
        except (ValueError, OverflowError, MemoryError, RecursionError):
            return True
    return True


def _asked(line: str, vocabulary: Vocabulary) -> str | None:
    # `start training?`; one word alone is a Python name that IPython explains.
    bare = line.strip("? \t")
    found = vocabulary.find(bare) if line[0] == "?" or line[-1] == "?" else None
    return found[0].text if found and len(found[0].words) > 1 else None


def _first(line: str) -> str:
    return line.partition(" ")[0].partition("\t")[0]
