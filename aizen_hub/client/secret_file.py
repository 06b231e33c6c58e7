"""Secrets that the hub and the service share through a file that nobody else can read."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

_LINE = re.compile(r"[!-~]{32,512}")


class SecretFileError(ValueError):
    """The file cannot be used; the message names it and the fix, never its content."""


def read_secret(path: Path) -> str:
    """Read a secret of at least 32 printable characters.

    Raises
    ------
    SecretFileError
        Missing, not a regular file, readable by others, of another account, or too short (R2, R3).
    """
    try:
        # Opened once and judged by its descriptor: a swap between check and read has no effect.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SecretFileError(f"the secret file `{path}` cannot be read: {error.strerror}") from None
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise SecretFileError(f"the secret file `{path}` is not a regular file")
    with open(descriptor, encoding="ascii", errors="replace") as file:
        if about.st_mode & 0o077:
            raise SecretFileError(f"the secret file `{path}` can be read by others: run `chmod 600 {path}`")
        if about.st_uid not in (0, os.geteuid()):
            raise SecretFileError(f"the secret file `{path}` belongs to another account")
        text = file.read(1024).strip()
    if not _LINE.fullmatch(text):
        raise SecretFileError(f"the secret file `{path}` does not hold 32 or more printable characters")
    return text


def read_or_make_secret(path: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
    """Read the secret, or write a new one with mode 0600; of two processes that start at once, the first one wins."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(make() + "\n")
                file.flush()
                os.fsync(file.fileno())
            # A link, not a rename: it never replaces a file, so a secret in use is never lost here.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return read_secret(path)
