"""Files that a command names: read in the user's kernel and sent as content (R111)."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from aizen_hub.notebook.command_catalog import takes_file
from aizen_hub.notebook.errors import CommandFileError

MAX_FILE = 512 * 1024
_CONFIG = re.compile(r"""(?:^|[\s,])config=(?:"([^"]*)"|'([^']*)'|([^\s,]+))""")
_ONLY_ARGUMENT = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|(\S+))\s*""")


def find_file_names(arguments: str, grammar: str) -> tuple[str, ...]:
    """Return the names of files in the arguments of a command.

    Parameters
    ----------
    arguments : str
        The arguments of the command.
    grammar : str
        The grammar of the arguments: ``<config:file>`` is a file; ``config=`` always names one.
    """
    if takes_file(grammar):
        match_whole = _ONLY_ARGUMENT.fullmatch(arguments)
        return (_first_group(match_whole),) if match_whole else ()
    return tuple(dict.fromkeys(_first_group(match) for match in _CONFIG.finditer(arguments)))


def read_file(name: str) -> str:
    """Return the text of a regular file.

    Raises
    ------
    CommandFileError
        The file is missing, not a regular file, larger than 512 KiB, or not UTF-8.
    """
    shown_name = name[:200]
    try:
        # The type is checked on the open descriptor, so that the file cannot be replaced in between; non-blocking,
        # since opening a pipe would otherwise wait forever.
        descriptor = os.open(Path(name).expanduser(), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise CommandFileError(f"the file `{shown_name}` cannot be read: {reason.lower()} (in {os.getcwd()})") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CommandFileError(f"`{shown_name}` is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise CommandFileError(f"the file `{shown_name}` has more than {MAX_FILE // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandFileError(f"the file `{shown_name}` is not UTF-8 at byte {error.start}") from None


def _first_group(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None)
