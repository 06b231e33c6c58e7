"""Twelve kinds of tampering with the audit, each found and located (T-39)."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from aizen_hub.audit.integrity.chain_verifier import MAX_FINDINGS, ChainReport, Tampering
from aizen_hub.settings import Settings
from aizen_hub.store.audit_log.hash_chain import genesis, row_hash
from tests.audit.conftest import ROWS, AuditedDatabase

COLUMNS = "writer, number, id, at, event, identity, project, body, previous, hash"
PLACEHOLDERS = ", ".join("?" * 10)
NUMBER = st.integers(2, ROWS - 1)
Row = tuple[str, int, str, int, str, str | None, str | None, bytes, bytes, bytes]


def read_row(db: sqlite3.Connection, number: int) -> Row:
    row: Row = db.execute(f"SELECT {COLUMNS} FROM audit WHERE number = ?", (number,)).fetchone()
    return row


def insert_rows(db: sqlite3.Connection, *rows: Row) -> None:
    db.executemany(f"INSERT INTO audit ({COLUMNS}) VALUES ({PLACEHOLDERS})", rows)


def relink(db: sqlite3.Connection, start: int) -> None:
    """Recompute the chain from a row on, like an attacker who knows the algorithm."""
    previous = genesis("main") if start == 1 else read_row(db, start - 1)[9]
    for number, body in db.execute(
        "SELECT number, body FROM audit WHERE number >= ? ORDER BY number", (start,)
    ).fetchall():
        digest = row_hash(previous, "main", number, body)
        db.execute("UPDATE audit SET previous = ?, hash = ? WHERE number = ?", (previous, digest, number))
        previous = digest


def edit_body(body: bytes, **changes: object) -> bytes:
    return json.dumps({**json.loads(body), **changes}, sort_keys=True, separators=(",", ":")).encode()


def change_body(db: sqlite3.Connection, number: int) -> None:
    body = edit_body(read_row(db, number)[7], event="harmless")
    db.execute("UPDATE audit SET body = ? WHERE number = ?", (body, number))


def change_body_and_hash(db: sqlite3.Connection, number: int) -> None:
    old = read_row(db, number)
    body = edit_body(old[7], identity="user:innocent")
    digest = row_hash(old[8], "main", number, body)
    db.execute(
        "UPDATE audit SET body = ?, identity = 'user:innocent', hash = ? WHERE number = ?", (body, digest, number)
    )


def change_column(db: sqlite3.Connection, number: int) -> None:
    db.execute("UPDATE audit SET identity = 'user:innocent' WHERE number = ?", (number,))


def change_time(db: sqlite3.Connection, number: int) -> None:
    db.execute("UPDATE audit SET at = at + 1 WHERE number = ?", (number,))


def delete_one(db: sqlite3.Connection, number: int) -> None:
    db.execute("DELETE FROM audit WHERE number = ?", (number,))


def delete_and_close_the_gap(db: sqlite3.Connection, number: int) -> None:
    delete_one(db, number)
    for later in range(number + 1, ROWS + 1):
        db.execute("UPDATE audit SET number = ? WHERE number = ?", (later - 1, later))
    relink(db, number)


def insert_one(db: sqlite3.Connection, number: int) -> None:
    rows = [read_row(db, later) for later in range(number, ROWS + 1)]
    db.execute("DELETE FROM audit WHERE number >= ?", (number,))
    forged = rows[0]
    body = edit_body(forged[7], id="f" * 46)
    insert_rows(db, (*forged[:2], "f" * 46, *forged[3:7], body, forged[8], row_hash(forged[8], "main", number, body)))
    insert_rows(db, *[(later[0], later[1] + 1, *later[2:]) for later in rows])


def insert_and_relink(db: sqlite3.Connection, number: int) -> None:
    insert_one(db, number)
    relink(db, number)


def swap(db: sqlite3.Connection, number: int) -> None:
    first, second = read_row(db, number), read_row(db, number + 1)
    db.execute("DELETE FROM audit WHERE number IN (?, ?)", (number, number + 1))
    insert_rows(db, (*second[:1], number, *second[2:]), (*first[:1], number + 1, *first[2:]))


def swap_and_rehash(db: sqlite3.Connection, number: int) -> None:
    swap(db, number)
    relink(db, number)


def truncate(db: sqlite3.Connection, number: int) -> None:
    db.execute("DELETE FROM audit WHERE number >= ?", (number,))


def rename_writer(db: sqlite3.Connection, number: int) -> None:
    db.execute("UPDATE audit SET writer = 'other' WHERE number >= ?", (number,))


OPERATIONS: dict[str, tuple[Callable[[sqlite3.Connection, int], None], Tampering]] = {
    "content changed": (change_body, Tampering.CHANGED),
    "content and hash changed": (change_body_and_hash, Tampering.RELINKED),
    "column changed": (change_column, Tampering.CHANGED),
    "time changed": (change_time, Tampering.CHANGED),
    "row deleted": (delete_one, Tampering.DELETED),
    "row deleted, chain recomputed": (delete_and_close_the_gap, Tampering.REWRITTEN),
    "row inserted": (insert_one, Tampering.CHANGED),
    "row inserted, chain recomputed": (insert_and_relink, Tampering.REWRITTEN),
    "rows swapped": (swap, Tampering.CHANGED),
    "rows swapped, chain recomputed": (swap_and_rehash, Tampering.REWRITTEN),
    "end deleted": (truncate, Tampering.TRUNCATED),
    "end moved to another writer": (rename_writer, Tampering.TRUNCATED),
}

FOUND_IN_NEXT_ROW = (change_body_and_hash, insert_one)


def findings_of_main(report: ChainReport) -> set[tuple[Tampering, int]]:
    return {(finding.kind, finding.number) for finding in report.findings if finding.writer in ("main", "")}


@pytest.mark.proves("R95")
def test_an_intact_audit_has_no_findings(audited_database: AuditedDatabase) -> None:
    report = audited_database.report()
    assert report.is_intact
    assert (report.rows, report.checkpoints, report.heads["main"].number) == (ROWS, 2, ROWS)


@pytest.mark.proves("R95", "R96", "T-39")
@pytest.mark.parametrize("name", OPERATIONS)
@hypothesis(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=NUMBER)
def test_tampering_is_found_and_located(audited_template: AuditedDatabase, name: str, number: int) -> None:
    operation, kind = OPERATIONS[name]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(audited_template.settings.data_dir, Path(folder), dirs_exist_ok=True)
        audited_database = AuditedDatabase(Settings(data_dir=Path(folder)), audited_template.checkpoints)
        audited_database.tamper(lambda db: operation(db, number))
        report = audited_database.report()
    assert not report.is_intact
    found = findings_of_main(report)
    first = min((position for found_kind, position in found if found_kind is not Tampering.REWRITTEN), default=0)
    if operation in FOUND_IN_NEXT_ROW:
        # The row itself is consistent; the next one does not follow it.
        assert (kind, number + 1) in found
        assert first == number + 1
    elif kind is not Tampering.REWRITTEN:
        assert (kind, number) in found
        assert first == number
    elif operation is delete_and_close_the_gap and number > 10:
        assert found == {(Tampering.TRUNCATED, ROWS)}
    else:
        # Only the signed heads show it: the location is known up to the previous checkpoint.
        assert (kind, 1 if number <= 10 else 11) in found


@pytest.mark.proves("R95", "T-39")
@hypothesis(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(1, ROWS),
    column=st.sampled_from(["body", "previous", "hash"]),
    at=st.integers(0, 10_000),
    bit=st.integers(0, 7),
)
def test_every_bit_counts(audited_template: AuditedDatabase, number: int, column: str, at: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(audited_template.settings.data_dir, Path(folder), dirs_exist_ok=True)
        audited_database = AuditedDatabase(Settings(data_dir=Path(folder)), audited_template.checkpoints)

        def flip(db: sqlite3.Connection) -> None:
            data = bytearray(db.execute(f"SELECT {column} FROM audit WHERE number = ?", (number,)).fetchone()[0])
            data[at % len(data)] ^= 1 << bit
            db.execute(f"UPDATE audit SET {column} = ? WHERE number = ?", (bytes(data), number))

        audited_database.tamper(flip)
        report = audited_database.report()
    assert {finding.number for finding in report.findings} & {number, number + 1}


@pytest.mark.proves("R95")
@pytest.mark.parametrize("column", ["body", "previous", "hash"])
@pytest.mark.parametrize("value", ["CAST({column} AS TEXT)", "'text'", "1000000000000", "1.5"])
def test_a_value_of_another_type_is_a_finding(audited_database: AuditedDatabase, column: str, value: str) -> None:
    """SQLite stores any type in any column; one such statement made every later verification end with an error."""
    statement = f"UPDATE audit SET {column} = {value.format(column=column)} WHERE number = 7"
    audited_database.tamper(lambda db: db.execute(statement))
    assert findings_of_main(audited_database.report()) == {(Tampering.CHANGED, 7)}


@pytest.mark.proves("R95")
@pytest.mark.parametrize("change", ["number = 'seven'", "number = -7", "at = 'noon'", "writer = CAST('x' AS BLOB)"])
def test_no_column_of_a_row_makes_the_verification_fail(audited_database: AuditedDatabase, change: str) -> None:
    audited_database.tamper(lambda db: db.execute(f"UPDATE audit SET {change} WHERE number = 7"))
    report = audited_database.report()
    assert Tampering.CHANGED in {finding.kind for finding in report.findings}
    assert report.rows >= ROWS - 1


def test_one_change_is_one_finding(audited_database: AuditedDatabase) -> None:
    audited_database.tamper(lambda db: change_body(db, 7))
    assert findings_of_main(audited_database.report()) == {(Tampering.CHANGED, 7)}


@pytest.mark.proves("R96")
def test_without_checkpoints_a_deleted_end_is_not_found(audited_database: AuditedDatabase) -> None:
    audited_database.tamper(lambda db: truncate(db, 20))
    assert audited_database.report(signed=False).is_intact
    assert findings_of_main(audited_database.report()) == {(Tampering.TRUNCATED, 20)}


@pytest.mark.proves("R96")
def test_a_missing_writer_is_found(audited_database: AuditedDatabase) -> None:
    audited_database.tamper(lambda db: db.execute("DELETE FROM audit"))
    assert findings_of_main(audited_database.report()) == {(Tampering.TRUNCATED, 1)}


def test_a_rolled_back_database_is_found(audited_database: AuditedDatabase) -> None:
    audited_database.tamper(lambda db: db.execute("UPDATE revision SET value = 2"))
    assert findings_of_main(audited_database.report()) == {(Tampering.ROLLED_BACK, 0)}


def test_the_findings_are_bounded(audited_database: AuditedDatabase) -> None:
    report = audited_database.report()
    for number in range(MAX_FINDINGS + 5):
        report._add(Tampering.CHANGED, "main", number, "")
    assert len(report.findings) == MAX_FINDINGS
