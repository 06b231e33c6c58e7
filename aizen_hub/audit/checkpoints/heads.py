"""The heads of the audit chains: the last row of every writer, in the database and as checkpoints signed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, func, select

from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, Head, valid_checkpoints
from aizen_hub.store import tables

_audit = tables.audit.c


def list_writers(conn: Connection) -> Iterator[str]:
    """Return all writers, by one index lookup each instead of reading all rows."""
    name = conn.execute(select(func.min(_audit.writer))).scalar()
    while name is not None:
        yield name
        name = conn.execute(select(func.min(_audit.writer)).where(_audit.writer > name)).scalar()


def chain_heads(conn: Connection) -> Mapping[str, Head]:
    """Return the last row of every writer: what a checkpoint signs."""
    heads = {}
    for writer in list_writers(conn):
        query = select(_audit.number, _audit.hash).where(_audit.writer == writer)
        row = conn.execute(query.order_by(_audit.number.desc()).limit(1)).one()
        heads[writer] = Head(row.number, bytes(row.hash))
    return heads


def signed_heads(checkpoints: Sequence[Checkpoint]) -> dict[str, dict[int, bytes]]:
    """Return the row hashes that valid checkpoints signed, by writer and row number."""
    hashes: dict[str, dict[int, bytes]] = {}
    for checkpoint in valid_checkpoints(checkpoints):
        for writer, head in checkpoint.heads.items():
            hashes.setdefault(writer, {})[head.number] = head.hash
    return hashes
