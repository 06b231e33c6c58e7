"""Files that hold a secret: private to our account or group, checked on the open descriptor, never overwritten."""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

MIN_SECRET_BYTES = 32
MIN_DISTINCT_BYTES = 8
"""Random 256 bits practically always have that many different bytes."""

_TOKEN_TEXT = re.compile(r"[!-~]{32,512}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_MAX_SECRET_BYTES = 1024
_MAX_PASSWORD_BYTES = 4096
_OPEN_ATTEMPTS = 3
_HOW_TO_CREATE = "run `openssl rand -hex 32 > {path}`"


class SecretFileError(ValueError):
    """The file cannot be used; the message names it and the remedy, never its content.

    Attributes
    ----------
    reason : str
        What is wrong, as the rest of a sentence whose subject is the file.
    remedy : str or None
    missing : bool
        Whether the file does not exist.
    """

    def __init__(self, path: Path, reason: str, remedy: str | None = None, *, missing: bool = False) -> None:
        super().__init__(f"the secret file `{path}` {reason}" + (f": {remedy}" if remedy else ""))
        self.reason, self.remedy, self.missing = reason, remedy, missing


def read_secret_file(path: Path, max_bytes: int, *, group_reads_ours: bool = False) -> bytes:
    """Read at most ``max_bytes`` of a file that only our account can read, or root's file that our group can read.

    A link is followed within its own folder only, as Kubernetes mounts secrets: ``secret -> ..data/secret``, where
    ``..data`` is a link to the folder of the current version. With ``fsGroup`` those files are root's, mode 0440.

    Parameters
    ----------
    group_reads_ours : bool
        Our group may read a file of our account too: with ``runAsUser`` and ``fsGroup``, Kubernetes writes the token of
        a service account so, mode 0640.

    Raises
    ------
    SecretFileError
        The file is missing, a link that leads out of its folder, not a regular file, readable by others, or owned by
        another account (R2, R3).
    """
    descriptor = _open_inside_folder(path)
    try:
        # Opened once and checked by its descriptor: swapping the file between check and read has no effect.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretFileError(path, "is not a regular file")
        if status.st_mode & (0o037 if _is_mounted_for_our_group(status, group_reads_ours) else 0o077):
            raise SecretFileError(path, "can be read by others", f"run `chmod 600 {path}`")
        if status.st_uid not in (0, os.geteuid()):
            raise SecretFileError(path, "belongs to another account")
        return os.read(descriptor, max_bytes)
    finally:
        os.close(descriptor)


def _open_inside_folder(path: Path) -> int:
    for attempt in range(_OPEN_ATTEMPTS):
        try:
            target = _resolve_inside_folder(path)
            return os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            # A new version of a mounted secret replaces the folder that the link led to.
            if attempt == _OPEN_ATTEMPTS - 1 or not path.is_symlink():
                raise SecretFileError(path, f"cannot be read: {error.strerror}", missing=True) from None
        except OSError as error:
            raise SecretFileError(path, f"cannot be read: {error.strerror}", _access_remedy(path, error)) from None
    raise AssertionError("unreachable")


def _resolve_inside_folder(path: Path) -> Path:
    status = path.lstat()
    if not stat.S_ISLNK(status.st_mode):
        return path
    if status.st_uid not in (0, os.geteuid()):
        raise SecretFileError(path, "is a link of another account")
    try:
        target = path.resolve(strict=True)
    except RuntimeError:  # Python before 3.13 raises it for a loop of links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
    if not target.is_relative_to(path.parent.resolve()):
        raise SecretFileError(
            path, "is a link that leads out of its folder", "put a plain file there, or a link to a file beside it"
        )
    return target


def _is_mounted_for_our_group(status: os.stat_result, group_reads_ours: bool) -> bool:
    owners = (0, os.geteuid()) if group_reads_ours else (0,)
    return status.st_uid in owners and status.st_gid != 0 and status.st_gid in {os.getegid(), *os.getgroups()}


def _access_remedy(path: Path, error: OSError) -> str | None:
    if error.errno != errno.EACCES:
        return None
    return (
        f"run `chown {os.geteuid()} {path}`; a Secret of Kubernetes needs `fsGroup` in the `securityContext` of its pod"
    )


def create_secret_file(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600; a file that exists, or that another process creates first, is left unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        # A link, not a rename: it never replaces a file, so a secret in use is never lost here.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def read_token(path: Path) -> str:
    """Read a token that another program issued: 32 to 512 printable ASCII characters.

    Raises
    ------
    SecretFileError
        See `read_secret_file`; or the token is too short or has other characters (R3).
    """
    text = read_secret_file(path, _MAX_SECRET_BYTES).decode("ascii", "replace").strip()
    if not _TOKEN_TEXT.fullmatch(text):
        raise SecretFileError(path, "does not hold 32 or more printable characters")
    return text


def read_password(path: Path) -> str:
    """Read what another server issued, such as a password: any text that is not empty.

    Raises
    ------
    SecretFileError
        See `read_secret_file`; or the file is empty or not UTF-8.
    """
    try:
        text = read_secret_file(path, _MAX_PASSWORD_BYTES).decode("utf-8").strip()
    except UnicodeDecodeError:
        raise SecretFileError(path, "is not UTF-8") from None
    if not text:
        raise SecretFileError(path, "is empty", f"write the password into {path}")
    return text


def read_secret(path: Path) -> str:
    """Read a secret that two programs share, such as that of the hub and the service: 256 random bits or more.

    The text is hexadecimal or base64. A sentence or a repeated character is refused, since a secret can be tried
    without a limit by anyone who reads one message that it protects (R2).

    Raises
    ------
    SecretFileError
        See `read_token`; or the text does not encode 256 bits, or is not random (R2, R3).
    """
    text = read_token(path)
    fault = find_weakness(text)
    if fault is not None:
        raise SecretFileError(path, fault, _HOW_TO_CREATE.format(path=path))
    return text


def find_weakness(text: str) -> str | None:
    """Return why a text cannot be a random secret of 256 bits in hexadecimal or base64, or None."""
    data = _decode(text)
    if data is None or len(data) < MIN_SECRET_BYTES:
        return "does not hold 256 random bits as hexadecimal or base64 text"
    is_repeated = (text + text).find(text, 1) < len(text)
    if is_repeated or len(set(data)) < MIN_DISTINCT_BYTES:
        return "does not hold 256 random bits: it repeats few characters"
    return None


def _decode(text: str) -> bytes | None:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    digits = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except binascii.Error:
        return None


def read_or_create_secret(path: Path, generate: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
    """Read the secret, or create it; of two processes that start at the same time, the first one's is used."""
    if not path.exists():
        create_secret_file(path, generate().encode("ascii") + b"\n")
    return read_secret(path)
