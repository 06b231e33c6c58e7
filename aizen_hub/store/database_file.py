"""Whether the file of an embedded database is still the one that this process opened.

SQLite keeps using a file that was deleted or replaced: what is committed there is lost at the end of the process, and
nothing says so. Where another file was copied over it, SQLite even mixes the pages of both.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from aizen_hub.store.db_errors import UnusableDatabase

_LOG_IDENTITY = "write-ahead-log"
_RESTART = (
    "stop the service, put the newest database in its place, for example with `aizen-hub db restore`, and start it"
)


class DatabaseFile:
    """An embedded database with its write-ahead log, identified by device and inode.

    A file that was copied over it is known by its header: the change counter and the number of pages never decrease,
    except by VACUUM, which no command does while a service runs. So an older copy is noticed, once it differs there; a
    newer file of another installation is not.

    Parameters
    ----------
    path : Path
        Exists already.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = _open_shared(path)
        self._header, self._header_lock = _read_header(self._descriptor), threading.Lock()
        self._overwritten = False
        self._log_path = path.with_name(path.name + "-wal")
        self._identity = _identity(path)
        self._lost_log = False

    def check(self) -> None:
        """Compare the file at the path with the one that was opened.

        Raises
        ------
        UnusableDatabase
            It was deleted or replaced, in which case the former file can be put back; or overwritten.
        """
        identity = _identity(self._path)
        if identity != self._identity:
            did = "deleted" if identity is None else "replaced"
            raise UnusableDatabase(
                f"the database file was {did} while the service runs", remedy=_RESTART, extensions={"sealed": True}
            )
        if self._descriptor is None:  # used again after `close`
            self._descriptor = _open_shared(self._path)
        if self._overwritten or _read_header(self._descriptor) != self._header:
            self._check_header(self._descriptor)
        if self._lost_log:
            raise UnusableDatabase(
                "the write-ahead log of the database was deleted or replaced while the service runs: the last rows may"
                " be lost",
                remedy=_RESTART,
                extensions={"sealed": True},
            )

    def close(self) -> None:
        """Close what observes the file; only once no connection to the database is left."""
        if self._descriptor is not None:
            _close_shared(self._descriptor)
            self._descriptor = None

    def _check_header(self, descriptor: int) -> None:
        with self._header_lock:  # read again in it: another thread may have seen a newer one
            header = _read_header(descriptor)
            if any(now < before for now, before in zip(header, self._header, strict=True)):
                self._overwritten = True
            self._header = header
        if self._overwritten:
            raise UnusableDatabase(
                "the database file was overwritten while the service runs", remedy=_RESTART, extensions={"sealed": True}
            )

    def check_log(self, connection_info: MutableMapping[Any, Any]) -> None:
        """Compare the write-ahead log with that of the connection's first transaction; called inside of one.

        SQLite removes the log only with the last connection, so that it stays the same while a connection is open.
        Losing it cannot be undone.

        Raises
        ------
        UnusableDatabase
        """
        identity = _identity(self._log_path)
        if connection_info.setdefault(_LOG_IDENTITY, identity) != identity:
            self._lost_log = True
            self.check()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _read_header(descriptor: int) -> tuple[int, int]:
    """Return the change counter and the number of pages; zeros for an empty file."""
    data = os.pread(descriptor, _HEADER.size, _HEADER_OFFSET)
    if len(data) < _HEADER.size:
        return 0, 0
    counter, pages = _HEADER.unpack(data)
    return counter, pages


_HEADER, _HEADER_OFFSET = struct.Struct(">II"), 24
"""SQLite's file format, 1.3: the file change counter and the size of the database in pages."""
_shared: dict[tuple[int, int], tuple[int, int]] = {}
"""The descriptor of each file, by device and inode, and how many use it.

Closing any descriptor of a file ends the locks of the whole process on it (POSIX), which SQLite relies on.
"""
_shared_lock = threading.Lock()


def _open_shared(path: Path) -> int:
    with _shared_lock:
        status = os.stat(path)
        key = status.st_dev, status.st_ino
        descriptor, users = _shared.get(key) or (os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0)
        _shared[key] = descriptor, users + 1
        return descriptor


def _close_shared(descriptor: int) -> None:
    with _shared_lock:
        key = next((key for key, (opened, _) in _shared.items() if opened == descriptor), None)
        if key is None:
            return
        users = _shared[key][1] - 1
        if users:
            _shared[key] = descriptor, users
        else:
            del _shared[key]
            os.close(descriptor)
