"""Sealing: the oldest rows leave the database for a signed file, and everything is still proven (R95, R97, T-38)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import ProgrammingError

from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import users
from aizen_hub.audit.archive.archiver import Sealed, Sealing
from aizen_hub.audit.archive.manifest import Seals
from aizen_hub.audit.checkpoints.checkpoint import CheckpointFile
from aizen_hub.audit.checkpoints.signing import checker, signer
from aizen_hub.audit.integrity.audit_run import Examination, examine
from aizen_hub.audit.integrity.chain_verifier import heads
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.problems import Conflict, Denied
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store import failpoints as kill_point
from aizen_hub.store import migrate as schema
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import make_row
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.fixtures.sqlite import lay_down

OPERATOR = Actor(Identity.service_account("operator"), Road.OPERATOR)
ADA, BEN = Identity.user("ada"), Identity.user("ben")


@dataclass
class Kept:
    """An installation whose audit is kept: a database, its keys, and the checkpoints beside it."""

    settings: Settings
    store: Store
    keys: KeyStore
    folder: Path

    @classmethod
    def open(cls, settings: Settings) -> Kept:
        store = Store.open(settings, load_catalog("aizen"))
        return cls(settings, store, KeyStore.open(settings, store), settings.data_dir / "sealed")

    def look(self, times: int) -> None:
        for number in range(times):
            with self.store.read() as tx:
                now = tx.now
            self.store.record([make_row(OPERATOR, "looked", now, number=number, project=f"p{number % 3}")])

    def sign(self) -> None:
        with self.store.read() as tx:
            found, revision, now, ring = heads(tx.conn), tx.revision, tx.now, self.keys.ring(tx)
        assert CheckpointFile(self.settings.checkpoint_path).append(found, revision, now, signer(ring))

    def sealing(self) -> Sealing:
        with self.store.read() as tx:
            known, ring = self.keys.list(tx), self.keys.ring(tx)
        checkpoints, faults = CheckpointFile(self.settings.checkpoint_path).read(checker(known))
        assert not faults
        return Sealing(self.store, OPERATOR, checkpoints, self.folder, signer(ring), checker(known))

    def seal(self, before: datetime | None = None) -> Sealed:
        return self.sealing().run(before or datetime.now(UTC) + timedelta(hours=1))

    def examine(self, *files: Path) -> Examination:
        with self.store.read() as tx:
            return examine(tx.conn, self.settings.checkpoint_path, self.keys.list(tx), files)

    def rows(self) -> int:
        with self.store.read() as tx:
            return tx.conn.scalar(select(func.count()).select_from(tables.audit)) or 0

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))

    def tamper(self, sql: str) -> None:
        with self.store.database.engine.connect() as conn:
            assert conn.exec_driver_sql(sql).rowcount, sql


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    """Two checkpoints, changes and decisions before the first, between them, and after the second."""
    data = tmp_path / "data"
    if request.param == "sqlite":
        settings = Settings(data_dir=lay_down(data))
    else:
        data.mkdir(mode=0o700)
        url = request.getfixturevalue("migrated_url")
        settings = Settings(data_dir=data, database=url)
        KeyEncryption.make(settings.key_encryption_path)
    kept = Kept.open(settings)
    with kept.store.write(OPERATOR) as tx:
        users.create(tx, "ada", password="a password, long and made up")
        assignments.put(tx, "AIZEN_ADMIN", "system", ADA)
        projects.create(tx, "p1", owner=ADA)
    kept.look(10)
    kept.sign()
    with kept.store.write(OPERATOR) as tx:
        users.create(tx, "ben", password="a password, long and made up")
    with kept.store.write(OPERATOR) as tx:
        assignments.grant(tx, ["PROJECT_READER"], "p1", BEN)
    kept.look(5)
    kept.sign()
    with kept.store.write(OPERATOR) as tx:
        locks.lock(tx, LockTarget.IDENTITY, "user:ben", reason="away")
    kept.look(4)
    yield kept
    kept.store.close()


@pytest.mark.proves("R95", "R96", "T-38", "T-39")
def test_what_is_sealed_leaves_the_database_and_all_stays_proven(kept: Kept) -> None:
    before = kept.rows()
    done = kept.seal()
    assert done.seal is not None
    assert done.path == kept.files()[0]
    assert done.path.stat().st_mode & 0o777 == 0o600
    assert done.removed >= done.seal.rows - 1, "the row that a chain goes on from may stay"
    assert kept.rows() == before - done.removed + 1, "the sealing is recorded"
    without, whole = kept.examine(), kept.examine(done.path)
    assert (without.findings, whole.findings) == ((), ())
    assert (without.unread, whole.unread) == (done.seal.rows, 0)
    assert whole.rows >= before


def test_the_file_is_plain_json_lines(kept: Kept) -> None:
    kept.seal()
    seal, *rows = [json.loads(line) for line in kept.files()[0].read_text().splitlines()]
    assert set(seal) == {"content", "kid", "signature"}
    assert {"looked", "project.created"} <= {row["body"]["event"] for row in rows}
    assert set(rows[0]) == {"body", "hash", "number", "writer"}


def test_chains_go_on_and_are_sealed_again(kept: Kept) -> None:
    assert kept.seal().seal is not None
    assert kept.seal().seal is None, "there is no newer checkpoint"
    kept.look(5)
    with kept.store.write(OPERATOR) as tx:
        locks.unlock(tx, LockTarget.IDENTITY, "user:ben")
    kept.sign()
    second = kept.seal().seal
    assert second is not None
    assert second.number == 2
    again = Kept.open(kept.settings)  # a service that starts after the sealing goes on with the same chain
    again.look(3)
    again.store.close()
    assert kept.examine().findings == ()
    assert kept.examine(*kept.files()).findings == ()
    assert kept.examine(*kept.files()).unread == 0


def test_only_what_is_old_enough_is_sealed(kept: Kept) -> None:
    with kept.store.read() as tx:
        first = CheckpointFile(kept.settings.checkpoint_path).read(checker(kept.keys.list(tx)))[0][0]
    assert kept.seal(first.at).seal is None
    done = kept.seal(first.at + timedelta(microseconds=1)).seal
    assert done is not None
    assert (done.until, done.revision) == (first.at, first.revision)
    assert kept.examine().findings == ()
    kept.look(3)
    assert kept.examine(*kept.files()).findings == ()


def change_a_word(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"looked", b"booked", 1))


def drop_a_row(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4] + lines[5:]))


def swap_rows(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[4], lines[3], *lines[5:]]))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def add_a_row(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[-1]]))


def another_seal(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":2', 1))


def no_rows_at_all(path: Path) -> None:
    path.write_bytes(b"nonsense\n")


@pytest.mark.proves("R95", "T-39")
@pytest.mark.parametrize(
    "tampering", [change_a_word, drop_a_row, swap_rows, cut_off, add_a_row, another_seal, no_rows_at_all]
)
def test_a_changed_file_is_noticed(kept: Kept, tampering: Callable[[Path], None]) -> None:
    kept.seal()
    tampering(kept.files()[0])
    assert kept.examine().findings == (), "the database alone is as it was"
    assert {one.kind for one in kept.examine(kept.files()[0]).findings} == {"segment"}


BOUNDARY = {
    "the seal is gone": ("DELETE FROM seals", "deleted"),
    "the seal is changed": ("UPDATE seals SET line = replace(line, '\"revision\":', '\"revision\":1')", "seal"),
    "the seal is another": ("UPDATE seals SET line = 'x'", "seal"),
    "a row of the rest is changed": ("UPDATE audit SET identity = 'user:eve' WHERE event = 'lock.set'", "changed"),
    "the row after the boundary is gone": (
        "DELETE FROM audit WHERE number = (SELECT min(number) FROM audit WHERE event = 'lock.set')",
        "deleted",
    ),
    "the rest is gone": ("DELETE FROM audit", "truncated"),
    "a sealed change is changed": ("UPDATE changes SET payload = '[]' WHERE revision = 3", "change"),
    "a sealed change is gone": ("DELETE FROM changes WHERE revision = 3", "change"),
    "an assignment from before is made": (
        "UPDATE assignments SET identity = 'user:eve' WHERE role = 'PROJECT_READER'",
        "assignment",
    ),
    "a sealed key is another": ("UPDATE keys SET state = 'withdrawn', private = NULL WHERE state = 'published'", "key"),
}


@pytest.mark.proves("R95", "T-38", "T-39")
@pytest.mark.parametrize("name", BOUNDARY)
def test_a_changed_boundary_or_rest_is_noticed(kept: Kept, name: str) -> None:
    kept.seal()
    sql, kind = BOUNDARY[name]
    kept.tamper(sql)
    found = kept.examine().findings
    assert kind in {one.kind for one in found}, found


@pytest.mark.proves("T-38")
def test_the_files_say_which_sealed_change_was_touched(kept: Kept) -> None:
    kept.seal()
    kept.tamper("UPDATE changes SET payload = '[]' WHERE revision = 3")
    without, whole = kept.examine(), kept.examine(*kept.files())
    assert any("are not those that were sealed" in one.sentence for one in without.findings)
    assert any("record of revision 3 is not" in one.sentence for one in whole.findings)


@pytest.mark.proves("T-38")
def test_a_key_that_nobody_made_vouches_for_nothing(kept: Kept) -> None:
    """Whoever writes to the database alone could bring a withdrawn key of theirs, and sign a seal with it."""
    with kept.store.read() as tx:
        real = next(key for key in kept.keys.list(tx) if key.purpose == "checkpoint")
    forged = type(real).new(real.purpose, real.created, real.state)
    assert forged.private is not None
    private = forged.private
    values = {"kid": forged.kid, "purpose": "checkpoint", "public": forged.public_bytes, "private": None}
    values |= {"state": "withdrawn", "created": real.created, "changed": real.created}
    with kept.store.database.engine.connect() as conn:
        conn.execute(tables.keys.insert().values(values))
    sealing = kept.sealing()
    sealing._sign = lambda data: (forged.kid, private.sign(data))
    sealing.run(datetime.now(UTC) + timedelta(hours=1))
    found = kept.examine().findings
    assert any(one.kind == "key" and forged.kid in one.sentence for one in found), found


def test_an_audit_that_was_touched_is_not_sealed(kept: Kept) -> None:
    kept.tamper("UPDATE audit SET body = previous WHERE number = 3")
    rows = kept.rows()
    with pytest.raises(Conflict, match=r"does not fit|does not hold"):
        kept.seal()
    assert kept.rows() == rows
    with kept.store.read() as tx:
        assert Seals.read(tx.conn, lambda *_: True).seals == ()


def test_a_strange_file_is_not_written_over(kept: Kept) -> None:
    other = kept.seal()
    assert other.path is not None
    kept.look(2)
    kept.sign()
    kept.seal()
    mine = kept.files()[1]
    with kept.store.read() as tx:
        seals = Seals.read(tx.conn, checker(kept.keys.list(tx)))
    assert len(seals.seals) == 2
    # The same place, sealed once more by a database that was set back: the file there is another's.
    kept.tamper("DELETE FROM seals WHERE number = 2")
    mine.write_bytes(b"something of somebody\n")
    with pytest.raises(Conflict):
        kept.seal()
    assert mine.read_bytes() == b"something of somebody\n"


SCRIPT = """
import sys
from pathlib import Path
from tests.audit.archive.test_archiver import Kept
from aizen_hub.settings import Settings
kept = Kept.open(Settings(data_dir=Path(sys.argv[1]), database=sys.argv[2] or None))
kept.seal()
"""


@pytest.mark.proves("T-45")
@pytest.mark.parametrize("point", sorted(kill_point.SEALING))
def test_a_crash_loses_nothing_and_can_be_repeated(kept: Kept, point: str) -> None:
    rows = kept.rows()
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(kept.settings.data_dir), kept.settings.database or ""],
        env=os.environ | {kill_point.VARIABLE: point},
        cwd=Path(__file__).parents[3],
        timeout=60,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert kept.examine().findings == ()
    assert kept.examine(*(kept.files() if point != "segment-written" else ())).findings == ()
    again = kept.seal()
    assert len(kept.files()) == 1
    assert (again.seal is not None) == (point == "segment-written")
    whole = kept.examine(*kept.files())
    assert (whole.findings, whole.unread) == ((), 0)
    assert whole.rows >= rows
    assert kept.rows() < rows
    if point == "sealed":
        assert again.removed > 0


def test_an_interrupted_removal_goes_on_only_with_its_file(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sealing, "_remove", lambda self: 0)
    kept.seal()
    monkeypatch.undo()
    rows, file = kept.rows(), kept.files()[0]
    elsewhere = file.rename(kept.settings.data_dir / "elsewhere")
    with pytest.raises(Conflict, match="interrupted"):
        kept.seal()
    elsewhere.rename(file)
    change_a_word(file)
    with pytest.raises(Conflict, match="does not hold"):
        kept.seal()
    assert kept.rows() == rows


@pytest.mark.needs("postgres")
@pytest.mark.proves("R97")
def test_the_service_role_can_neither_seal_nor_forge_a_boundary(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = request.getfixturevalue("postgres_url")
    settings = Settings(data_dir=tmp_path, database=url)
    KeyEncryption.make(settings.key_encryption_path)
    schema.upgrade(url)
    owner = Kept.open(settings)
    role = "aizen_sealer"
    with owner.store.database.engine.connect() as conn:
        conn.execute(text(f"DROP ROLE IF EXISTS {role}"))
        conn.execute(text(f"CREATE ROLE {role} LOGIN"))
    try:
        schema.upgrade(url, role)
        service = Kept.open(settings.model_copy(update={"database": url.replace("postgres@", f"{role}@")}))
        service.look(5)
        service.sign()
        with pytest.raises(Denied, match="may not remove"):
            service.seal()
        for sql in ("INSERT INTO seals VALUES (1, 'x')", "DELETE FROM seals", "DELETE FROM audit"):
            with service.store.database.engine.connect() as conn, pytest.raises(ProgrammingError):
                conn.execute(text(sql))
        assert owner.seal().seal is not None
        assert service.examine(*owner.files()).findings == ()
        service.look(2)
        assert service.examine().findings == ()
        service.store.close()
    finally:
        with owner.store.database.engine.connect() as conn:
            conn.execute(text(f"DROP OWNED BY {role}"))
            conn.execute(text(f"DROP ROLE {role}"))
        owner.store.close()
