"""When an audit writer reads the head of its chain, and when it uses the cached one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from aizen_hub.store.audit_log.hash_chain import HashChain
from aizen_hub.store.audit_log.record import EncodedRecord

TABLE = "CREATE TABLE audit (writer, number, id, at, event, identity, project, body, previous, hash)"


class CountingCursor:
    """A cursor that counts how often the head was read."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.cursor, self.reads = cursor, 0

    def execute(self, text: str, values: Any) -> None:
        self.reads += text.startswith("SELECT")
        self.cursor.execute(text, values)

    def fetchone(self) -> Any:
        return self.cursor.fetchone()

    def numbers(self) -> list[int]:
        return [row[0] for row in self.cursor.execute("SELECT number FROM audit ORDER BY number")]


@pytest.fixture
def cursor() -> Iterator[CountingCursor]:
    with sqlite3.connect(":memory:", isolation_level=None) as conn:
        conn.execute(TABLE)
        yield CountingCursor(conn.cursor())
    conn.close()


def row(number: int) -> EncodedRecord:
    return EncodedRecord(f"{number:064x}", number, "looked", None, None, b"{}")


@pytest.mark.proves("R95")
@pytest.mark.parametrize(("shared", "reads"), [(True, 3), (False, 1)])
def test_the_head_of_an_unshared_chain_is_read_once(cursor: CountingCursor, shared: bool, reads: int) -> None:
    chain = HashChain("w", "?", shared=shared)
    for number in range(3):
        chain.append(cursor, [row(2 * number), row(2 * number + 1)])
        chain.confirm()
    assert cursor.reads == reads
    assert cursor.numbers() == [1, 2, 3, 4, 5, 6]


@pytest.mark.proves("R95", "R105")
def test_after_an_unconfirmed_transaction_the_head_is_read_again(cursor: CountingCursor) -> None:
    chain = HashChain("w", "?", shared=False)
    chain.append(cursor, [row(1)])
    chain.confirm()
    cursor.execute("BEGIN", ())
    chain.append(cursor, [row(2)])
    cursor.execute("ROLLBACK", ())
    chain.append(cursor, [row(3)])
    assert (cursor.reads, cursor.numbers()) == (2, [1, 2])


@pytest.mark.proves("R95", "T-44")
def test_another_database_server_has_another_head(cursor: CountingCursor) -> None:
    chain = HashChain("w", "?", shared=False)
    chain.append(cursor, [row(1), row(2)], server_started=1)
    chain.confirm()
    cursor.execute("DELETE FROM audit WHERE number = 2", ())
    chain.append(cursor, [row(3)], server_started=2)
    assert cursor.numbers() == [1, 2]
