"""Where archive files are: a folder of this machine, or object storage."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from aizen_hub.audit.archive.object_storage import ObjectStorage
from aizen_hub.problems import NotFound

_URL_MARK = "://"


class ArchiveStorage(Protocol):
    """Where archive files are, each by a name of its own."""

    def staging(self) -> AbstractContextManager[Path]:
        """Return the local folder in which a file is written and checked before `keep`."""
        ...

    def keep(self, file: Path) -> str:
        """Move a file of `staging` into the storage durably; return where it is.

        Raises
        ------
        Conflict
            Another file of that name is there, or what arrived is not what was sent.
        Unavailable
            The storage cannot be reached, or refuses.
        """
        ...

    def locate(self, name: str) -> str:
        """Return the path or URL of a file."""
        ...

    def fetch(self, name: str) -> AbstractContextManager[Path]:
        """Return the local path of a file, to read it.

        Raises
        ------
        NotFound
            There is none of that name.
        Unavailable
            The storage cannot be reached, or refuses.
        """
        ...


class ArchiveFolder:
    """A folder of this machine. Files are written in it, so that they need not be moved."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def staging(self) -> AbstractContextManager[Path]:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return nullcontext(self._path)

    def keep(self, file: Path) -> str:
        return str(file)

    def locate(self, name: str) -> str:
        return str(self._path / name)

    def fetch(self, name: str) -> AbstractContextManager[Path]:
        path = self._path / name
        if not path.is_file():
            raise NotFound(f"`{path}` does not exist", remedy="name the path that `aizen-hub audit archive` printed")
        return nullcontext(path)


def is_url(text: str) -> bool:
    """Return whether a text names object storage, rather than a file or folder."""
    return _URL_MARK in text


def open_storage(text: str) -> ArchiveStorage:
    """Return the storage that a folder or a URL names.

    Raises
    ------
    BadInput
        The URL cannot be used for archives, or contains a credential.
    Unavailable
        The library for it is not installed.
    """
    return ObjectStorage(text) if is_url(text) else ArchiveFolder(Path(text))


def fetch_archive(text: str) -> AbstractContextManager[Path]:
    """Return the local path of the archive file that a path or a URL names, to read it.

    Raises
    ------
    BadInput, Unavailable
        As `open_storage`.
    NotFound
        There is no such object.
    """
    if not is_url(text):
        return nullcontext(Path(text))
    folder, _, name = text.rpartition("/")
    return ObjectStorage(folder).fetch(name)
