"""Whether the file of an embedded database is still the one that this process opened.

SQLite keeps using a file that was deleted or replaced: what is committed there is lost at the end of the process, and
nothing says so.
"""

from __future__ import annotations

import os
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

    Parameters
    ----------
    path : Path
        Exists already.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log_path = path.with_name(path.name + "-wal")
        self._identity = _identity(path)
        self._lost_log = False

    def check(self) -> None:
        """Compare the file at the path with the one that was opened.

        Raises
        ------
        UnusableDatabase
            It was deleted or replaced. The former file can be put back.
        """
        identity = _identity(self._path)
        if identity != self._identity:
            did = "deleted" if identity is None else "replaced"
            raise UnusableDatabase(
                f"the database file was {did} while the service runs", remedy=_RESTART, extensions={"sealed": True}
            )
        if self._lost_log:
            raise UnusableDatabase(
                "the write-ahead log of the database was deleted or replaced while the service runs: the last rows may"
                " be lost",
                remedy=_RESTART,
                extensions={"sealed": True},
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
