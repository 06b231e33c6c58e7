"""Files that a command names: read here, by the person's own process, and sent as content (R111)."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from aizen_hub.notebook.errors import FileProblem

MAX_FILE = 512 * 1024
_CONFIG = re.compile(r"""(?:^|[\s,])config=(?:"([^"]*)"|'([^']*)'|([^\s,]+))""")
_WHOLE = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|(\S+))\s*""")


def named_files(rest: str, grammar: str) -> tuple[str, ...]:
    """Return the names of files in the arguments of a command.

    Parameters
    ----------
    rest : str
        What follows the words of the command.
    grammar : str
        Its template from the catalog: ``<config:file>`` says that the argument itself is a file; ``config=`` always is.
    """
    if grammar.startswith("<") and grammar.partition(">")[0].endswith(":file"):
        whole = _WHOLE.fullmatch(rest)
        return (_text(whole),) if whole else ()
    return tuple(dict.fromkeys(_text(found) for found in _CONFIG.finditer(rest)))


def read_file(name: str) -> str:
    """Return the text of a regular file.

    Raises
    ------
    FileProblem
        Missing, not a regular file, larger than 512 KiB, or not UTF-8.
    """
    shown = name[:200]
    try:
        # Opened once and then asked what it is, so that nothing can be swapped in between; non-blocking, since opening
        # a pipe would wait for ever.
        descriptor = os.open(Path(name).expanduser(), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "not a file name"
        raise FileProblem(f"the file `{shown}` cannot be read: {why.lower()} (in {os.getcwd()})") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileProblem(f"`{shown}` is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise FileProblem(f"the file `{shown}` has more than {MAX_FILE // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileProblem(f"the file `{shown}` is not UTF-8 at byte {error.start}") from None


def _text(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group is not None)
