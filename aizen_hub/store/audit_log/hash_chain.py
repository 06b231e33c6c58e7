"""The chain: each writer numbers its rows without a gap and hashes each over the one before (R95)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from aizen_hub.store.audit_log.record import Encoded

_HEAD = "SELECT number, hash FROM audit WHERE writer = ? ORDER BY number DESC LIMIT 1"
_INTO = " INTO audit (writer, number, id, at, event, identity, project, body, previous, hash) VALUES "
_PLACES = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_Link = tuple[str, int, str, int, str, str | None, str | None, bytes, bytes, bytes]
"""A row of the table: its writer, its number, the columns of `Encoded`, the hash before it and its own."""
_AT_ONCE = 64  # few enough that the drivers remember a statement of each length


def genesis(writer: str) -> bytes:
    """Return what stands for the hash before a writer's first row."""
    return hashlib.sha256(b"aizen-hub audit chain\0" + writer.encode()).digest()


def link(previous: bytes, writer: str, number: int, body: bytes) -> bytes:
    """Return the hash of a row: SHA-256 over what came before, the row's place and its content.

    The writer's name is length-prefixed, so that no two rows have one preimage (R33).
    """
    name = writer.encode()
    place = len(name).to_bytes(2, "big") + name + number.to_bytes(8, "big")
    return hashlib.sha256(previous + place + body).digest()


class _Head(NamedTuple):
    server: int
    number: int
    hash: bytes


class Chain:
    """The writing end of one writer's chain.

    Two transactions of one process would take the same number, so a transaction that appends holds ``lock`` from its
    first append to its commit. Another process under the same name is stopped by the primary key.

    Parameters
    ----------
    writer : str
        Name of the writer, at most 40 characters.
    placeholder : str
        How this database's driver writes a parameter, ``?`` or ``%s``.
    shared : bool
        Whether other processes append too: then the head is read in each transaction. Otherwise it is read once, and
        again after every transaction that was not confirmed: of that nobody knows whether it is there.
    """

    def __init__(self, writer: str, placeholder: str, *, shared: bool = True) -> None:
        self.writer = writer
        self._shared = shared
        self._known: _Head | None = None
        self._next: _Head | None = None
        self.lock = threading.Lock()
        self._head = _HEAD.replace("?", placeholder)
        self._places = _PLACES.replace("?", placeholder)
        # SQLite keeps a journal of its own for a statement that may be taken back half way; nobody goes on after one.
        self._insert = ("INSERT OR ROLLBACK" if placeholder == "?" else "INSERT") + _INTO

    def append(self, cursor: Any, rows: Sequence[Encoded], server: int = 0) -> None:
        """Insert ``rows`` in their order through a DBAPI cursor, inside the caller's transaction.

        Parameters
        ----------
        server : int
            Which of several database servers answers: after a failover the other one's head counts.

        Raises
        ------
        The driver's errors; the caller rolls back, and nothing of the batch stays.
        """
        links = self._links(cursor, rows, server)
        # Row by row would be a message for each to a server, and on SQLite hand the interpreter to another thread and
        # back for each.
        for start in range(0, len(links), _AT_ONCE):
            some = links[start : start + _AT_ONCE]
            places = ", ".join([self._places] * len(some))
            cursor.execute(self._insert + places, [one for row in some for one in row])

    def _links(self, cursor: Any, rows: Sequence[Encoded], server: int) -> Sequence[_Link]:
        """Return ``rows`` as links that continue the chain as the caller's transaction sees it."""
        if not rows:
            return ()
        writer = self.writer
        known, self._known = self._known, None
        if known is None or known.server != server:
            known = self._read(cursor, server)
        number, previous = known.number, known.hash
        links = []
        for row in rows:
            number += 1
            digest = link(previous, writer, number, row.body)
            links.append(
                (writer, number, row.id, row.at, row.event, row.identity, row.project, row.body, previous, digest)
            )
            previous = digest
        self._next = _Head(server, number, previous)
        return links

    def confirm(self) -> None:
        """Take note that the transaction with the last links was committed; still in its turn."""
        if not self._shared:
            self._known, self._next = self._next, None

    def _read(self, cursor: Any, server: int) -> _Head:
        cursor.execute(self._head, (self.writer,))
        found = cursor.fetchone()
        return _Head(server, 0, genesis(self.writer)) if found is None else _Head(server, found[0], bytes(found[1]))
