"""Twelve ways to tamper with the audit, each found and located (T-39)."""

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

from aizen_hub.audit.integrity.chain_verifier import MAX_FINDINGS, Report, Tampering
from aizen_hub.settings import Settings
from aizen_hub.store.audit_log.hash_chain import genesis, link
from tests.audit.conftest import ROWS, Archive

COLUMNS = "writer, number, id, at, event, identity, project, body, previous, hash"
PLACES = ", ".join("?" * 10)
NUMBER = st.integers(2, ROWS - 1)
Row = tuple[str, int, str, int, str, str | None, str | None, bytes, bytes, bytes]


def row(db: sqlite3.Connection, number: int) -> Row:
    found: Row = db.execute(f"SELECT {COLUMNS} FROM audit WHERE number = ?", (number,)).fetchone()
    return found


def put(db: sqlite3.Connection, *rows: Row) -> None:
    db.executemany(f"INSERT INTO audit ({COLUMNS}) VALUES ({PLACES})", rows)


def relink(db: sqlite3.Connection, start: int) -> None:
    """Compute the chain anew from a row on, as somebody would who knows how it is made."""
    previous = genesis("main") if start == 1 else row(db, start - 1)[9]
    for number, body in db.execute(
        "SELECT number, body FROM audit WHERE number >= ? ORDER BY number", (start,)
    ).fetchall():
        digest = link(previous, "main", number, body)
        db.execute("UPDATE audit SET previous = ?, hash = ? WHERE number = ?", (previous, digest, number))
        previous = digest


def edited(body: bytes, **changes: object) -> bytes:
    return json.dumps({**json.loads(body), **changes}, sort_keys=True, separators=(",", ":")).encode()


def change_body(db: sqlite3.Connection, number: int) -> None:
    body = edited(row(db, number)[7], event="harmless")
    db.execute("UPDATE audit SET body = ? WHERE number = ?", (body, number))


def change_body_and_hash(db: sqlite3.Connection, number: int) -> None:
    old = row(db, number)
    body = edited(old[7], identity="user:innocent")
    digest = link(old[8], "main", number, body)
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
    rows = [row(db, later) for later in range(number, ROWS + 1)]
    db.execute("DELETE FROM audit WHERE number >= ?", (number,))
    forged = rows[0]
    body = edited(forged[7], id="f" * 46)
    put(db, (*forged[:2], "f" * 46, *forged[3:7], body, forged[8], link(forged[8], "main", number, body)))
    put(db, *[(one[0], one[1] + 1, *one[2:]) for one in rows])


def insert_and_relink(db: sqlite3.Connection, number: int) -> None:
    insert_one(db, number)
    relink(db, number)


def swap(db: sqlite3.Connection, number: int) -> None:
    one, other = row(db, number), row(db, number + 1)
    db.execute("DELETE FROM audit WHERE number IN (?, ?)", (number, number + 1))
    put(db, (*other[:1], number, *other[2:]), (*one[:1], number + 1, *one[2:]))


def swap_and_rehash(db: sqlite3.Connection, number: int) -> None:
    swap(db, number)
    relink(db, number)


def cut_off(db: sqlite3.Connection, number: int) -> None:
    db.execute("DELETE FROM audit WHERE number >= ?", (number,))


def rename_writer(db: sqlite3.Connection, number: int) -> None:
    db.execute("UPDATE audit SET writer = 'other' WHERE number >= ?", (number,))


OPERATIONS: dict[str, tuple[Callable[[sqlite3.Connection, int], None], Tampering]] = {
    "content changed": (change_body, Tampering.CHANGED),
    "content and hash changed": (change_body_and_hash, Tampering.RELINKED),
    "column changed": (change_column, Tampering.CHANGED),
    "time changed": (change_time, Tampering.CHANGED),
    "row deleted": (delete_one, Tampering.DELETED),
    "row deleted, chain computed anew": (delete_and_close_the_gap, Tampering.REWRITTEN),
    "row inserted": (insert_one, Tampering.CHANGED),
    "row inserted, chain computed anew": (insert_and_relink, Tampering.REWRITTEN),
    "rows swapped": (swap, Tampering.CHANGED),
    "rows swapped, chain computed anew": (swap_and_rehash, Tampering.REWRITTEN),
    "end cut off": (cut_off, Tampering.TRUNCATED),
    "end moved to another writer": (rename_writer, Tampering.TRUNCATED),
}

SEEN_BEHIND = (change_body_and_hash, insert_one)


def places(report: Report) -> set[tuple[Tampering, int]]:
    return {(one.kind, one.number) for one in report.findings if one.writer in ("main", "")}


@pytest.mark.proves("R95")
def test_nothing_is_found_where_nothing_was_done(archive: Archive) -> None:
    report = archive.report()
    assert report.sound
    assert (report.rows, report.checkpoints, report.heads["main"].number) == (ROWS, 2, ROWS)


@pytest.mark.proves("R95", "R96", "T-39")
@pytest.mark.parametrize("name", OPERATIONS)
@hypothesis(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=NUMBER)
def test_tampering_is_found_and_located(written: Archive, name: str, number: int) -> None:
    operation, kind = OPERATIONS[name]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(written.settings.data_dir, Path(folder), dirs_exist_ok=True)
        archive = Archive(Settings(data_dir=Path(folder)), written.checkpoints)
        archive.tamper(lambda db: operation(db, number))
        report = archive.report()
    assert not report.sound
    found = places(report)
    first = min((one for what, one in found if what is not Tampering.REWRITTEN), default=0)
    if operation in SEEN_BEHIND:
        # The row itself fits where it stands; the one behind it does not follow.
        assert (kind, number + 1) in found
        assert first == number + 1
    elif kind is not Tampering.REWRITTEN:
        assert (kind, number) in found
        assert first == number
    elif operation is delete_and_close_the_gap and number > 10:
        assert found == {(Tampering.TRUNCATED, ROWS)}
    else:
        # Only the signed heads tell: the place is known up to the checkpoint before.
        assert (kind, 1 if number <= 10 else 11) in found


@pytest.mark.proves("R95", "T-39")
@hypothesis(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(1, ROWS),
    column=st.sampled_from(["body", "previous", "hash"]),
    at=st.integers(0, 10_000),
    bit=st.integers(0, 7),
)
def test_every_bit_counts(written: Archive, number: int, column: str, at: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(written.settings.data_dir, Path(folder), dirs_exist_ok=True)
        archive = Archive(Settings(data_dir=Path(folder)), written.checkpoints)

        def flip(db: sqlite3.Connection) -> None:
            data = bytearray(db.execute(f"SELECT {column} FROM audit WHERE number = ?", (number,)).fetchone()[0])
            data[at % len(data)] ^= 1 << bit
            db.execute(f"UPDATE audit SET {column} = ? WHERE number = ?", (bytes(data), number))

        archive.tamper(flip)
        report = archive.report()
    assert {one.number for one in report.findings} & {number, number + 1}


def test_one_change_is_one_finding(archive: Archive) -> None:
    archive.tamper(lambda db: change_body(db, 7))
    assert places(archive.report()) == {(Tampering.CHANGED, 7)}


@pytest.mark.proves("R96")
def test_without_checkpoints_the_end_could_be_cut_off(archive: Archive) -> None:
    archive.tamper(lambda db: cut_off(db, 20))
    assert archive.report(signed=False).sound
    assert places(archive.report()) == {(Tampering.TRUNCATED, 20)}


@pytest.mark.proves("R96")
def test_a_writer_that_is_gone_is_missed(archive: Archive) -> None:
    archive.tamper(lambda db: db.execute("DELETE FROM audit"))
    assert places(archive.report()) == {(Tampering.TRUNCATED, 1)}


def test_a_former_database_is_noticed(archive: Archive) -> None:
    archive.tamper(lambda db: db.execute("UPDATE revision SET value = 2"))
    assert places(archive.report()) == {(Tampering.ROLLED_BACK, 0)}


def test_the_findings_are_bounded(archive: Archive) -> None:
    report = archive.report()
    for number in range(MAX_FINDINGS + 5):
        report._found(Tampering.CHANGED, "main", number, "")
    assert len(report.findings) == MAX_FINDINGS
