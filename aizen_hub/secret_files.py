"""Files with a secret in them: ours alone, judged as they are opened, and never replaced."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path


class PrivateFileError(Exception):
    """The file cannot be used.

    Attributes
    ----------
    fault : str
        What is wrong, as the rest of a sentence that begins with the file; never its content.
    remedy : str or None
    missing : bool
        Whether there is no such file.
    """

    def __init__(self, fault: str, remedy: str | None = None, *, missing: bool = False) -> None:
        super().__init__(fault)
        self.fault, self.remedy, self.missing = fault, remedy, missing


def read_private(path: Path, most: int) -> bytes:
    """Read at most so many bytes of a file that nobody else can read.

    Raises
    ------
    PrivateFileError
        Missing, a link, not a regular file, readable by others, or of another account (R2, R3).
    """
    try:
        # Opened once and judged by its descriptor: a swap between check and read has no effect.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise PrivateFileError(f"cannot be read: {error.strerror}", missing=True) from None
    except OSError as error:
        raise PrivateFileError(f"cannot be read: {error.strerror}") from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise PrivateFileError("is not a regular file")
        if about.st_mode & 0o077:
            raise PrivateFileError("can be read by others", f"run `chmod 600 {path}`")
        if about.st_uid not in (0, os.geteuid()):
            raise PrivateFileError("belongs to another account")
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def make_private(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600; one that is there, or that another process makes first, stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        # A link, not a rename: it never replaces a file, so a secret in use is never lost here.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
