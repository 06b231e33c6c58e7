"""Secrets that the hub and the service share through a file that nobody else can read."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path

from aizen_hub.secret_files import PrivateFileError, make_private, read_private

_LINE = re.compile(r"[!-~]{32,512}")
_MOST = 1024


class SecretFileError(ValueError):
    """The file cannot be used; the message names it and the fix, never its content."""


def read_secret(path: Path) -> str:
    """Read a secret of at least 32 printable characters.

    Raises
    ------
    SecretFileError
        See `read_private`; or it is too short, or holds something else (R2, R3).
    """
    try:
        text = read_private(path, _MOST).decode("ascii", "replace").strip()
    except PrivateFileError as error:
        remedy = f": {error.remedy}" if error.remedy else ""
        raise SecretFileError(f"the secret file `{path}` {error.fault}{remedy}") from None
    if not _LINE.fullmatch(text):
        raise SecretFileError(f"the secret file `{path}` does not hold 32 or more printable characters")
    return text


def read_or_make_secret(path: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
    """Read the secret, or write a new one with mode 0600; of two processes that start at once, the first one wins."""
    if not path.exists():
        make_private(path, make().encode("ascii") + b"\n")
    return read_secret(path)
