"""Checkpoints in a table of PostgreSQL: several processes write it, none can change it, and who does is found."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest

from aizen_hub.audit.checkpoints.checkpoint_log import CheckpointSetBackError
from aizen_hub.audit.checkpoints.checkpoint_table import CheckpointTable
from aizen_hub.store.checkpoint_rows import CheckpointRows, CheckpointRowsError
from tests.audit.checkpoints.test_checkpoint_file import NOW, heads
from tests.audit.conftest import Ed25519Signer
from tests.fixtures.databases.checkpoint_database import CheckpointDatabase, checkpoint_database
from tests.fixtures.databases.postgres import Server

pytestmark = pytest.mark.needs("postgres")

ROWS = "aizen_checkpoints.checkpoints"


@pytest.fixture
def database(fast_postgres_server: Server) -> Iterator[CheckpointDatabase]:
    with checkpoint_database(fast_postgres_server) as database:
        yield database


@pytest.fixture
def table(database: CheckpointDatabase, signer: Ed25519Signer) -> Iterator[CheckpointTable]:
    table = open_table(database)
    for number in range(1, 6):
        assert table.append(heads(number), number, NOW, signer.sign)
    yield table
    table.close()


def open_table(database: CheckpointDatabase) -> CheckpointTable:
    return CheckpointTable(CheckpointRows(database.url, 20.0))


@pytest.mark.proves("R96")
def test_checkpoints_are_read_as_written(table: CheckpointTable, signer: Ed25519Signer) -> None:
    good, faults = table.read(signer.check)
    assert not faults
    assert [(checkpoint.number, checkpoint.revision, dict(checkpoint.heads)) for checkpoint in good] == [
        (n, n, heads(n)) for n in range(1, 6)
    ]
    assert table.newest(signer.check) == (good, [])
    assert not table.append(heads(5), 5, NOW, signer.sign), "no head has changed"


@pytest.mark.proves("R96", "R97")
@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE {ROWS} SET line = 'x' WHERE position = 1",
        f"DELETE FROM {ROWS} WHERE position = 5",
        f"TRUNCATE {ROWS}",
        f"DROP TABLE {ROWS}",
        f"ALTER TABLE {ROWS} DISABLE TRIGGER ALL",
        "DROP SCHEMA aizen_checkpoints CASCADE",
        "SET ROLE postgres",
        "CREATE TABLE public.own (number int)",
        "CREATE TEMPORARY TABLE own (number int)",
    ],
)
def test_the_role_of_the_service_can_only_append(
    table: CheckpointTable, database: CheckpointDatabase, statement: str
) -> None:
    with psycopg.connect(database.url, autocommit=True) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement.encode())
    own = table.rows.read_own_privileges()
    assert (own.role, own.can_append, own.can_change) == ("aizen_checkpoints", True, False)


@pytest.mark.proves("R96")
def test_processes_that_write_at_the_same_time_leave_one_chain(
    table: CheckpointTable, database: CheckpointDatabase, signer: Ed25519Signer
) -> None:
    def write(writer: int) -> None:
        other = open_table(database)
        try:
            number = 0
            for _ in range(200):
                # The scheduled task tries again too, where others were faster eight times.
                with suppress(CheckpointRowsError):
                    assert other.append(heads(number + 1, f"w{writer}"), number, NOW, signer.sign)
                    number += 1
                if number == 10:
                    break
        finally:
            other.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    good, faults = table.read(signer.check)
    assert faults == []
    assert [checkpoint.number for checkpoint in good] == list(range(1, 46))


@pytest.mark.proves("R96")
def test_a_checkpoint_of_another_process_in_between_is_followed(
    table: CheckpointTable, database: CheckpointDatabase, signer: Ed25519Signer
) -> None:
    """Another process writes after this one has read the last row, and before it inserts its own."""
    other, waiting = open_table(database), [heads(1, "other")]

    def sign(data: bytes) -> tuple[str, bytes]:
        if waiting:
            assert other.append(waiting.pop(), 6, NOW, signer.sign)
        return signer.sign(data)

    assert table.append(heads(7), 7, NOW, sign)
    other.close()
    good, faults = table.read(signer.check)
    assert ([checkpoint.number for checkpoint in good], faults) == (list(range(1, 8)), [])
    assert [dict(checkpoint.heads) for checkpoint in good[-2:]] == [heads(1, "other"), heads(7)]


@pytest.mark.proves("R96", "T-39")
@pytest.mark.parametrize(
    ("statement", "line"),
    [
        (f"UPDATE {ROWS} SET line = replace(line, '\"revision\":3', '\"revision\":2') WHERE position = 3", 3),
        (f"DELETE FROM {ROWS} WHERE position = 3", 4),
        (f"DELETE FROM {ROWS} WHERE position = 1", 2),
        (f"INSERT INTO {ROWS} SELECT 6, line FROM {ROWS} WHERE position = 2", 6),
        (f"INSERT INTO {ROWS} VALUES (6, 'garbage')", 6),
        (f"UPDATE {ROWS} SET line = 'garbage' WHERE position = 5", 5),
    ],
)
def test_a_changed_table_is_noticed(
    table: CheckpointTable, database: CheckpointDatabase, signer: Ed25519Signer, statement: str, line: int
) -> None:
    database.change(statement)
    _, faults = table.read(signer.check)
    assert [fault.line for fault in faults][:1] == [line]


@pytest.mark.proves("R96", "T-39")
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (f"DELETE FROM {ROWS} WHERE position = 5", "ends with the checkpoint 4, but 5 was written"),
        (f"TRUNCATE {ROWS}", "ends with the checkpoint 0, but 5 was written"),
        (f"ALTER TABLE {ROWS} RENAME TO elsewhere", "has no table"),
        ("ALTER SCHEMA aizen_checkpoints RENAME TO elsewhere", "has no"),
        (f"REVOKE INSERT ON {ROWS} FROM aizen_checkpoints", "may not read and insert"),
    ],
)
def test_nothing_is_appended_to_a_table_that_was_set_back_or_is_gone(
    table: CheckpointTable, database: CheckpointDatabase, signer: Ed25519Signer, loss: str, message: str
) -> None:
    database.change(loss)
    with pytest.raises(OSError, match=message) as caught:
        table.append(heads(8), 8, NOW, signer.sign)
    assert isinstance(caught.value, CheckpointSetBackError) == ("was written" in message)
    assert "127.0.0.1" not in str(caught.value), "the health check shows it without a login"


@pytest.mark.proves("R96")
def test_another_process_continues_after_garbage(
    table: CheckpointTable, database: CheckpointDatabase, signer: Ed25519Signer
) -> None:
    database.change(f"INSERT INTO {ROWS} VALUES (9, 'garbage')")
    other = open_table(database)
    assert other.append(heads(9), 9, NOW, signer.sign)
    other.close()
    good, faults = table.read(signer.check)
    assert ([checkpoint.number for checkpoint in good], [fault.line for fault in faults]) == ([1, 2, 3, 4, 5, 6], [9])


def test_nothing_is_appended_after_rows_that_cannot_be_read(
    table: CheckpointTable, database: CheckpointDatabase, signer: Ed25519Signer
) -> None:
    database.change(f"INSERT INTO {ROWS} SELECT n, 'garbage' FROM generate_series(6, 300) AS n")
    with pytest.raises(CheckpointRowsError, match="last rows are not checkpoints"):
        table.append(heads(8), 8, NOW, signer.sign)


def test_a_server_that_is_gone_is_said_so_without_its_address() -> None:
    table = CheckpointTable(CheckpointRows("postgresql://aizen_checkpoints:secret@127.0.0.1:1/none", 2.0))
    with pytest.raises(CheckpointRowsError, match="does not answer") as caught:
        table.is_missing()
    assert caught.value.diagnosis is not None
    assert "127.0.0.1:1" in caught.value.diagnosis.detail
    assert "`checkpoint_database` of aizen.yaml" in (caught.value.diagnosis.remedy or "")
    assert "secret" not in table.location + caught.value.diagnosis.detail + str(caught.value)
