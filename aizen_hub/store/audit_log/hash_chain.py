"""The hash chain of the audit: each writer numbers its rows without gaps and links each to the previous one (R95)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from aizen_hub.store.audit_log.record import EncodedRecord

_HEAD_QUERY = "SELECT number, hash FROM audit WHERE writer = ? ORDER BY number DESC LIMIT 1"
_INTO = " INTO audit (writer, number, id, at, event, identity, project, body, previous, hash) VALUES "
_ROW_PLACEHOLDERS = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ChainedRow = tuple[str, int, str, int, str, str | None, str | None, bytes, bytes, bytes]
"""A row of the table: writer, number, the fields of `EncodedRecord`, the previous hash and its own hash."""
_ROWS_PER_STATEMENT = 64  # few enough that the drivers cache a statement of each length


def genesis(writer: str) -> bytes:
    """Return the value that a writer's first row has as its previous hash."""
    return hashlib.sha256(b"aizen-hub audit chain\0" + writer.encode()).digest()


def row_hash(previous: bytes, writer: str, number: int, body: bytes) -> bytes:
    """Return the hash of a row: SHA-256 over the previous hash, the row's writer and number, and its content.

    The writer's name is length-prefixed, so that no two rows have the same preimage (R33).
    """
    return hashlib.sha256(previous + _writer_prefix(writer) + number.to_bytes(8, "big") + body).digest()


@lru_cache(maxsize=64)
def _writer_prefix(writer: str) -> bytes:
    name = writer.encode()
    return len(name).to_bytes(2, "big") + name


class _Head(NamedTuple):
    server_started: int
    number: int
    hash: bytes


class HashChain:
    """The writing end of one writer's chain.

    Two transactions of one process would use the same number, so a transaction that appends holds ``lock`` from its
    first append to its commit. The primary key stops another process with the same writer name.

    Parameters
    ----------
    writer : str
        Name of the writer, at most 40 characters.
    placeholder : str
        The placeholder of the database driver, ``?`` or ``%s``.
    shared : bool
        Whether other processes append too: then the head is read in each transaction. Otherwise it is read once, and
        again after every transaction that was not confirmed, since that one may or may not have been committed.
    """

    def __init__(self, writer: str, placeholder: str, *, shared: bool = True) -> None:
        self.writer = writer
        self._shared = shared
        self._head: _Head | None = None
        self._uncommitted_head: _Head | None = None
        self.lock = threading.Lock()
        self._head_query = _HEAD_QUERY.replace("?", placeholder)
        self._placeholders = _ROW_PLACEHOLDERS.replace("?", placeholder)
        # SQLite writes an extra journal for a statement that may be undone alone, which never happens here.
        self._insert = ("INSERT OR ROLLBACK" if placeholder == "?" else "INSERT") + _INTO

    def append(self, cursor: Any, rows: Sequence[EncodedRecord], server_started: int = 0) -> None:
        """Insert ``rows`` in their order through a DBAPI cursor, inside the caller's transaction.

        Parameters
        ----------
        server_started : int
            Start time of the database server that answers: after a failover the head is read again.

        Raises
        ------
        The driver's errors; the caller must roll back.
        """
        chained = self._chain_rows(cursor, rows, server_started)
        # A statement per row would cost a network round trip each on PostgreSQL, and a GIL handover each on SQLite.
        for start in range(0, len(chained), _ROWS_PER_STATEMENT):
            batch = chained[start : start + _ROWS_PER_STATEMENT]
            placeholders = ", ".join([self._placeholders] * len(batch))
            cursor.execute(self._insert + placeholders, [value for row in batch for value in row])

    def _chain_rows(self, cursor: Any, rows: Sequence[EncodedRecord], server_started: int) -> Sequence[_ChainedRow]:
        """Return ``rows`` chained to the head that the caller's transaction sees."""
        if not rows:
            return ()
        writer = self.writer
        head, self._head = self._head, None
        if head is None or head.server_started != server_started:
            head = self._read_head(cursor, server_started)
        number, previous = head.number, head.hash
        chained = []
        for row in rows:
            number += 1
            digest = row_hash(previous, writer, number, row.body)
            chained.append(
                (writer, number, row.id, row.at, row.event, row.identity, row.project, row.body, previous, digest)
            )
            previous = digest
        self._uncommitted_head = _Head(server_started, number, previous)
        return chained

    def confirm(self) -> None:
        """Note that the transaction with the last rows was committed; called while ``lock`` is held."""
        if not self._shared:
            self._head, self._uncommitted_head = self._uncommitted_head, None

    def _read_head(self, cursor: Any, server_started: int) -> _Head:
        cursor.execute(self._head_query, (self.writer,))
        row = cursor.fetchone()
        if row is None:
            return _Head(server_started, 0, genesis(self.writer))
        return _Head(server_started, row[0], bytes(row[1]))
