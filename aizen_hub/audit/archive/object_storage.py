"""Archive files in object storage, by fsspec: S3, Google Cloud Storage, Azure, and file servers that it knows.

A file is complete before it is sent, and what arrived is read back and compared by size and SHA-256 before it counts.
Object stores show an object only when all of it was received. Other servers get it under a temporary name first.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from aizen_hub.problems import BadInput, Conflict, NotFound, Problem, Unavailable
from aizen_hub.validation.printable import escape_nonprintable

_OBJECT_STORES = {
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "gcs": "gcsfs",
    "gs": "gcsfs",
    "oss": "ossfs",
    "s3": "s3fs",
    "s3a": "s3fs",
}
"""Schemes at which an upload has an effect only when it is complete, with the library of each."""
_CHUNK = 1 << 20
_MAX_REASON = 300
_OTHER = "is another file, which was not overwritten"
_INSTALL = "pip install 'aizen-hub[object-storage]'"


class _Content(NamedTuple):
    size: int
    sha256: str


class ObjectStorage:
    """The objects below a URL such as ``s3://bucket/prefix``.

    Credentials come from where the library for the scheme looks for them, and from fsspec's configuration.

    Parameters
    ----------
    url : str

    Raises
    ------
    BadInput
        The URL cannot be used for archives, or contains a credential.
    Unavailable
        fsspec or the library for the scheme is not installed, or the server cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._scheme = _check_url(self._url)
        self._files, self._root = _open_file_system(self._url, self._scheme)

    def __str__(self) -> str:
        return self._url

    @contextmanager
    def staging(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="aizen-archive-") as folder:
            yield Path(folder)

    def keep(self, file: Path) -> str:
        """Upload a file, and read it back; the same object may be there already, a different one is left as it is."""
        path, url = f"{self._root}/{file.name}", self.locate(file.name)
        with file.open("rb") as source:
            content = _measure(source)
        with _reported_errors(url):
            if self._is_there(path):
                self._require_content(path, url, content, _OTHER)
                return url
            if self._scheme in _OBJECT_STORES:
                self._files.put_file(str(file), path)
            else:
                part = f"{path}.part"
                self._files.makedirs(self._root, exist_ok=True)
                self._files.put_file(str(file), part)
                self._require_content(part, f"{url}.part", content, "is not what was sent")
                if self._is_there(path):  # written meanwhile; such a server has no way to refuse it itself
                    self._require_content(path, url, content, _OTHER)
                self._files.mv(part, path)
            self._require_content(path, url, content, "is not what was sent")
        return url

    def locate(self, name: str) -> str:
        return f"{self._url}/{name}"

    @contextmanager
    def fetch(self, name: str) -> Iterator[Path]:
        """Download a file to a temporary folder, which is removed afterwards."""
        path, url = f"{self._root}/{name}", self.locate(name)
        with self.staging() as folder:
            copy = folder / name
            with _reported_errors(url):
                is_there = self._is_there(path)
                if is_there:
                    self._files.get_file(path, str(copy))
            if not is_there:
                raise NotFound(f"`{url}` does not exist", remedy="name the URL that `aizen-hub audit archive` printed")
            yield copy

    def _is_there(self, path: str) -> bool:
        # Not `exists`, which takes every error of some file systems for "no".
        self._files.invalidate_cache()
        try:
            self._files.info(path)
        except FileNotFoundError:
            return False
        return True

    def _require_content(self, path: str, url: str, content: _Content, fault: str) -> None:
        self._files.invalidate_cache()
        with self._files.open(path, "rb") as target:
            found = _measure(target)
        if found != content:
            raise Conflict(
                f"`{url}` {fault}: it has {found.size} bytes with SHA-256 {found.sha256},"
                f" not {content.size} bytes with {content.sha256}",
                remedy="find out who wrote it, move it away, and run this again; no row goes before its file is there",
            )


def _measure(file: IO[bytes]) -> _Content:
    size, digest = 0, hashlib.sha256()
    while chunk := file.read(_CHUNK):
        size += len(chunk)
        digest.update(chunk)
    return _Content(size, digest.hexdigest())


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        has_password = parts.password is not None
    except ValueError:
        raise BadInput("this is not a URL", remedy="write for example s3://bucket/prefix") from None
    if has_password or "?" in url or "#" in url:
        # Not quoted: it may be the credential.
        raise BadInput(
            "a URL of object storage may contain neither a password nor parameters",
            remedy="give credentials in the environment, as the library for this storage reads them",
        )
    if "::" in url or parts.scheme == "memory":
        raise BadInput(
            f"`{url}` names a cache or the memory of this command, which keeps no archive",
            remedy="name the storage itself, for example s3://bucket/prefix",
        )
    if parts.scheme in ("file", "local"):
        # fsspec would let others read the file.
        raise BadInput(f"`{url}` is a folder of this machine", remedy="name it without a scheme, such as /srv/audit")
    if not parts.scheme or (not parts.netloc and not parts.path.strip("/")):
        raise BadInput(f"`{url}` names no bucket", remedy="write for example s3://bucket/prefix")
    return parts.scheme


def _open_file_system(url: str, scheme: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ModuleNotFoundError:
        raise Unavailable("fsspec is not installed, which object storage needs", remedy=_INSTALL) from None
    try:
        fsspec.get_filesystem_class(scheme)
    except ValueError:
        raise BadInput(
            f"`{scheme}://` is no storage that fsspec knows", remedy="write for example s3://bucket/prefix"
        ) from None
    except ImportError as error:
        library = _OBJECT_STORES.get(scheme)
        remedy = f"pip install {library}" if library else "install it where aizen-hub is installed"
        raise Unavailable(f"the library for `{scheme}://` is not installed: {error}", remedy=remedy) from None
    with _reported_errors(url):
        files, root = fsspec.url_to_fs(url)
    return files, str(root).rstrip("/")


@contextmanager
def _reported_errors(url: str) -> Iterator[None]:
    try:
        yield
    except Problem:
        raise
    except Exception as error:  # noqa: BLE001  each library has errors of its own, without a common base
        reason = escape_nonprintable(" ".join(f"{type(error).__name__}: {error}".split())[:_MAX_REASON])
        raise Unavailable(
            f"`{url}` cannot be used: {reason}",
            remedy="check address, credentials and rights, and run this again",
        ) from None
