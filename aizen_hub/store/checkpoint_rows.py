"""The rows of the checkpoints of the audit on PostgreSQL, in a schema that a third role owns (R96, R97).

``deploy/postgresql/checkpoints.sql`` creates the table. The role that writes it may only insert and select, and neither
the service's role nor the owner of the audit can change a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from aizen_hub.problems import Unavailable
from aizen_hub.store.database import Database
from aizen_hub.store.db_diagnosis import diagnose
from aizen_hub.store.db_errors import is_outage

SCHEMA = "aizen_checkpoints"
TABLE = f"{SCHEMA}.checkpoints"
_PAGE = 2_000
_NEWEST = "SELECT position, line FROM aizen_checkpoints.checkpoints ORDER BY position DESC LIMIT %s"
_NEXT = "SELECT position, line FROM aizen_checkpoints.checkpoints WHERE position > %s ORDER BY position LIMIT %s"
_INSERT = "INSERT INTO aizen_checkpoints.checkpoints (position, line) VALUES (%s, %s)"
_UNIQUE_VIOLATION = "23505"
_CAUSES = {
    "3F000": f"it has no schema `{SCHEMA}`",
    "42P01": f"it has no table `{TABLE}`",
    "42501": f"its role may not read and insert rows of `{TABLE}`",
    "25006": "it is a standby, which cannot be written",
}
"""SQL states, and what they mean in words that name no address."""


class CheckpointRowsError(OSError):
    """The table cannot be used; the sentence names no address.

    Attributes
    ----------
    diagnosis : Unavailable or None
        What an operator is told: it names the server and the role, and what corrects it.
    """

    def __init__(self, sentence: str, diagnosis: Unavailable | None = None) -> None:
        super().__init__(sentence)
        self.diagnosis = diagnosis


class RolePrivileges(NamedTuple):
    """What a database role can do with the rows, and so what must not be."""

    role: str
    can_append: bool
    can_change: bool


class CheckpointRows:
    """The table of checkpoints.

    Parameters
    ----------
    url : str
        ``postgresql://role@…``; the connection is made at the first use.
    deadline_seconds : float
        Upper bound of the wait for a connection or a statement.

    Raises
    ------
    ConfigurationError
        The URL is invalid, or the driver is not installed.
    """

    def __init__(self, url: str, deadline_seconds: float) -> None:
        self._database = Database(url, deadline_seconds)
        self.location = self._database.url.render_as_string(hide_password=True)

    def read_newest(self, limit: int) -> list[tuple[int, bytes]]:
        """Return the last rows with their positions, in their order."""
        with self._transaction("read") as conn:
            rows = conn.exec_driver_sql(_NEWEST, (limit,)).all()
        return [(row.position, row.line.encode()) for row in reversed(rows)]

    def read_all(self) -> Iterator[tuple[int, bytes]]:
        """Yield all rows of one snapshot with their positions, in their order."""
        with self._transaction("read") as conn:
            position = 0
            while True:
                rows = conn.exec_driver_sql(_NEXT, (position, _PAGE)).all()
                if not rows:
                    return
                yield from ((row.position, row.line.encode()) for row in rows)
                position = rows[-1].position

    def insert(self, position: int, line: bytes) -> bool:
        """Insert a row durably; False if another process took that position first."""
        try:
            with self._transaction("append") as conn:
                conn.exec_driver_sql(_INSERT, (position, line.decode()))
        except CheckpointRowsError as error:
            if _sql_state(error.__cause__) == _UNIQUE_VIOLATION:
                return False
            raise
        return True

    def server_started(self) -> str:
        """Return when the server started, which tells two servers apart."""
        with self._transaction("read") as conn:
            return str(conn.exec_driver_sql("SELECT pg_postmaster_start_time()").scalar_one())

    def read_own_privileges(self) -> RolePrivileges:
        """Return what the connected role can do."""
        with self._transaction("read") as conn:
            role = str(conn.exec_driver_sql("SELECT current_user").scalar_one())
            return _read_privileges(conn, role)

    def read_privileges(self, role: str) -> RolePrivileges | None:
        """Return what another role can do; None if this server has no such role."""
        with self._transaction("read") as conn:
            if not conn.exec_driver_sql("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).first():
                return None
            return _read_privileges(conn, role)

    def close(self) -> None:
        self._database.dispose()

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[Connection]:
        try:
            with self._database.engine.connect() as conn:
                self._database.begin(conn, kind)
                try:
                    yield conn
                    self._database.commit(conn)
                except BaseException:  # re-raised; a pooled connection must not keep an open transaction
                    self._database.rollback(conn)
                    raise
        except (self._database.driver_error, SQLAlchemyError) as error:
            diagnosis = diagnose(error, self._database.url, "checkpoint_database")
            raise CheckpointRowsError(_explain(error), diagnosis) from error


def _read_privileges(conn: Connection, role: str) -> RolePrivileges:
    """Read what a role can do; a member of the owner counts, since an owner can grant itself everything."""
    query = (
        "SELECT has_table_privilege(%s::name, c.oid, 'INSERT') AND has_schema_privilege(%s::name, n.oid, 'USAGE')"
        " AS can_append,"
        " has_table_privilege(%s::name, c.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER')"
        " OR has_any_column_privilege(%s::name, c.oid, 'UPDATE')"
        " OR pg_has_role(%s::name, c.relowner, 'MEMBER') OR pg_has_role(%s::name, n.nspowner, 'MEMBER') AS can_change"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s::regclass"
    )
    row = conn.exec_driver_sql(query, (*[role] * 6, TABLE)).one()
    return RolePrivileges(role, row.can_append, row.can_change)


def _sql_state(error: BaseException | None) -> str | None:
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlstate", None)


def _explain(error: BaseException) -> str:
    cause = _CAUSES.get(_sql_state(error) or "")
    if cause is not None:
        return cause
    return "its server does not answer" if is_outage(error) else f"its server refuses: {type(error).__name__}"
