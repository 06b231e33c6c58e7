"""What the replicas and PostgreSQL have used so far: processor time, memory, and what was written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.servers import Running

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Totals since the start.

    Attributes
    ----------
    service_seconds, database_seconds : float
        Processor time of all replicas, and of all processes of PostgreSQL.
    rows, table_bytes : int
        What the tables hold, the second one with their indexes and what is free in them.
    wal_bytes : int
        The write-ahead log that was written.
    """

    service_seconds: float
    database_seconds: float
    rows: int
    table_bytes: int
    wal_bytes: int

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.service_seconds - other.service_seconds,
            self.database_seconds - other.database_seconds,
            self.rows - other.rows,
            self.table_bytes - other.table_bytes,
            self.wal_bytes - other.wal_bytes,
        )


class Meter:
    """Reads the usage of some replicas and their database.

    Parameters
    ----------
    connection : psycopg.Connection
        In autocommit mode.
    postmaster : int
        The process id of PostgreSQL's first process.
    """

    def __init__(self, replicas: Sequence[Running], connection: Any, postmaster: int) -> None:
        self._replicas, self._connection, self._postmaster = replicas, connection, postmaster

    def before(self) -> Usage:
        """Return the usage; what reading it costs lies before what is measured next."""
        rows, table_bytes, wal_bytes = self._written()
        return Usage(*self._seconds(), rows, table_bytes, wal_bytes)

    def after(self) -> Usage:
        """Return the usage; what reading it costs is not in it."""
        seconds = self._seconds()
        return Usage(*seconds, *self._written())

    def _seconds(self) -> tuple[float, float]:
        return sum(replica.cpu_seconds for replica in self._replicas), tree_seconds(self._postmaster)

    def _written(self) -> tuple[int, int, int]:
        from psycopg import sql

        tables = [
            row[0] for row in self._connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        rows = sum(
            self._connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()[0]
            for table in tables
        )
        size = "SELECT sum(pg_total_relation_size(quote_ident(tablename)::regclass)) FROM pg_tables"
        table_bytes = self._connection.execute(size + " WHERE schemaname = 'public'").fetchone()[0]
        wal_bytes = self._connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()[0]
        return rows, int(table_bytes), int(wal_bytes)


def tree_seconds(pid: int) -> float:
    """Return the processor time of a process, its children, and the children that it has waited for."""
    ticks = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text(encoding="ascii", errors="replace")
        except OSError:  # it ended meanwhile: its time is in that of its parent
            continue
        fields = text.rpartition(")")[2].split()
        if int(folder.name) == pid:
            ticks += sum(int(field) for field in fields[11:15])
        elif int(fields[1]) == pid:
            ticks += sum(int(field) for field in fields[11:13])
    return ticks / _TICKS
