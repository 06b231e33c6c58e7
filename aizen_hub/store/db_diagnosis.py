"""Diagnosis of database errors for operators: what is wrong with which server or file, and what corrects it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from aizen_hub.problems import Unavailable
from aizen_hub.store.db_errors import is_outage


class _Cause(NamedTuple):
    """A pattern in the name, code and text of the driver's error; what it means; what corrects it."""

    pattern: re.Pattern[str]
    meaning: str
    remedy: str


def _cause(pattern: str, meaning: str, remedy: str) -> _Cause:
    return _Cause(re.compile(pattern, re.IGNORECASE), meaning, remedy)


_SERVER_CAUSES = (
    _cause(
        r"connection refused|no route to host|network is unreachable|no such file or directory",
        "no PostgreSQL server accepts connections at {server}",
        "start the server, or correct the address in `{key}` of aizen.yaml",
    ),
    _cause(
        r"could not translate host name|name or service not known|failed to resolve host|temporary failure in name",
        "the name `{host}` of the database server cannot be resolved",
        "correct the host in `{key}` of aizen.yaml, or the name server of this machine",
    ),
    _cause(
        r"timeout|timed out",
        "the database server at {server} does not answer in time",
        "check that the server runs and that no firewall is between it and this machine",
    ),
    _cause(
        r"28P01|password authentication failed|no password supplied",
        "the database server at {server} rejects the password of the role `{user}`",
        "correct the password in `{key}` of aizen.yaml, in {variable} or in ~/.pgpass",
    ),
    _cause(
        r"no pg_hba\.conf entry|28000",
        "the database server at {server} admits no connection of the role `{user}` from this machine",
        "add a line for them to pg_hba.conf of the server, and reload it",
    ),
    _cause(
        r"3D000|database \S+ does not exist",
        "the database server at {server} has no database `{database}`",
        "correct the name in `{key}` of aizen.yaml, or create it: createdb {database}",
    ),
    _cause(
        r"role \S+ does not exist",
        "the database server at {server} has no role `{user}`",
        "correct the user in `{key}` of aizen.yaml, or create it: createuser {user}",
    ),
    _cause(
        r"53300|too many (?:clients|connections)|connection slots are reserved",
        "the database server at {server} has no connection left",
        "raise max_connections of the server, or use a pooler: each replica needs up to 16",
    ),
    _cause(
        r"57P03|starting up|shutting down|recovery mode",
        "the database server at {server} is starting or stopping",
        "try again when it is up",
    ),
    _cause(
        r"25006|read-only transaction",
        "the database server at {server} is a standby, which cannot be changed",
        "name the primary in `{key}` of aizen.yaml",
    ),
    _cause(
        r"42501|permission denied|insufficientprivilege",
        "the role `{user}` lacks privileges in the database `{database}`",
        "run as the owner of the tables: aizen-hub db upgrade --service-role {user}",
    ),
    _cause(
        r"ssl|certificate",
        "no encrypted connection to the database server at {server} is possible",
        "correct sslmode and sslrootcert in `{key}` of aizen.yaml",
    ),
)
_FILE_CAUSES = (
    _cause(
        r"SQLITE_NOTADB|not a database",
        "the file {file} is not a SQLite database",
        "restore it from a backup, or correct `database` of aizen.yaml",
    ),
    _cause(
        r"SQLITE_CORRUPT|malformed",
        "the database file {file} is damaged",
        "check its disk, and restore the file from a backup; see docs/operations.md",
    ),
    _cause(
        r"SQLITE_READONLY|readonly database|read-only file system",
        "the database file {file} cannot be written",
        "make the file and its folder writable for the service's account, and its disk not read-only",
    ),
    _cause(
        r"SQLITE_CANTOPEN|SQLITE_PERM|unable to open|permission denied|not a directory|no such file|file exist",
        "the database file {file} cannot be opened",
        "make sure that its folder exists and belongs to the service's account, or correct `database` of aizen.yaml",
    ),
    _cause(
        r"SQLITE_FULL|no space left|disk is full", "the disk of the database file {file} is full", "free space on it"
    ),
    _cause(
        r"SQLITE_BUSY|SQLITE_LOCKED|is locked",
        "another process holds the lock of the database file {file}",
        "try again when that process is done",
    ),
    _cause(
        r"SQLITE_IOERR|disk I/O",
        "the database file {file} cannot be read or written reliably",
        "check its disk; on a network file system move it to a local one",
    ),
)


@contextmanager
def translate_for_operator(url: URL) -> Iterator[None]:
    """Translate an outage of the database or its file to an error that names its cause and what corrects it.

    Other errors are bugs and pass through.

    Raises
    ------
    Unavailable
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        if _find_cause(error, url) is None and not isinstance(error, OSError) and not is_outage(error):
            raise
        raise diagnose(error, url) from error
    except Unavailable as error:
        if not isinstance(error.__cause__, SQLAlchemyError | OSError):
            raise
        raise diagnose(error.__cause__, url) from error


def _join(hosts: str | tuple[str, ...]) -> str:
    return hosts if isinstance(hosts, str) else ", ".join(hosts)


def diagnose(error: BaseException, url: URL, key: str = "database") -> Unavailable:
    """Return the problem behind an error; its text never contains the password, nor data of the database.

    Parameters
    ----------
    key : str
        The setting that names the database.
    """
    several = url.query.get("host", "")
    names = {
        "server": f"{url.host}:{url.port or 5432}" if url.host else _join(several) or "the local socket:5432",
        "host": url.host or "",
        "user": url.username or "",
        "database": url.database or "",
        "file": url.database or "",
        "key": key,
        "variable": f"AIZEN_{key.upper()}",
    }
    cause = _find_cause(error, url)
    if cause is not None:
        return Unavailable(cause.meaning.format_map(names), remedy=cause.remedy.format_map(names))
    kind = type(_original(error)).__name__
    if _is_file(url):
        return Unavailable(f"the database file {url.database} cannot be used: {kind}", remedy="check it and its disk")
    return Unavailable(
        f"the database server at {names['server']} cannot be used: {kind}", remedy="see the log of that server"
    )


def _find_cause(error: BaseException, url: URL) -> _Cause | None:
    original = _original(error)
    codes = (getattr(original, name, None) for name in ("sqlstate", "sqlite_errorname", "strerror"))
    evidence = " ".join([type(original).__name__, *(str(code) for code in codes if code), str(original)])
    causes = _FILE_CAUSES if _is_file(url) else _SERVER_CAUSES
    return next((cause for cause in causes if cause.pattern.search(evidence)), None)


def _original(error: BaseException) -> BaseException:
    """Return the error of the driver."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"
