"""What goes on behind a seal: chains, checkpoints and seals still fit each other; a run gives way to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.audit.archive import archiver as sealing
from aizen_hub.audit.archive.archive_file import SegmentFault, SegmentFile
from aizen_hub.audit.archive.manifest import Seals
from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, CheckpointFile, Head
from aizen_hub.audit.checkpoints.signing import checker, signer
from aizen_hub.audit.integrity.chain_verifier import Tampering, verify
from aizen_hub.audit.integrity.rollback_detection import Loss, find_loss
from aizen_hub.problems import Conflict
from aizen_hub.store import tables
from tests.audit.archive.test_archiver import Kept, kept  # noqa: F401 - a fixture

FORGED = b"\x07" * 32


def checkpoints(kept: Kept) -> list[Checkpoint]:  # noqa: F811
    with kept.store.read() as tx:
        good, faults = CheckpointFile(kept.settings.checkpoint_path).read(checker(kept.keys.list(tx)))
    assert not faults
    return good


def with_seals(kept: Kept, work: Callable[[Any, Seals], Any]) -> Any:  # noqa: F811
    with kept.store.read() as tx:
        return work(tx, Seals.read(tx.conn, checker(kept.keys.list(tx))))


def forged(signed: list[Checkpoint], number: int) -> list[Checkpoint]:
    """The same checkpoints, but for what they say of the rows of one number."""

    def heads(one: Checkpoint) -> dict[str, Head]:
        return {
            writer: Head(head.number, FORGED if head.number == number else head.hash)
            for writer, head in one.heads.items()
        }

    return [replace(one, heads=heads(one)) for one in signed]


@pytest.mark.proves("T-40", "R96")
def test_a_sealed_database_holds_all_that_was_signed(kept: Kept) -> None:  # noqa: F811
    """Some checkpoints end before the seal, one at it, one behind it."""

    def loss(signed: list[Checkpoint]) -> Loss | None:
        return with_seals(kept, lambda tx, seals: find_loss(tx.conn, tx.revision, seals, signed))

    first, second = checkpoints(kept)
    kept.seal(second.at)
    assert loss([first, second]) is None
    kept.seal(second.at + timedelta(microseconds=1))
    kept.look(2)
    kept.sign()
    signed = checkpoints(kept)
    assert len(signed) == 3
    for known in (signed, [first, second], [first]):
        assert loss(known) is None
    at_the_seal = max(head.number for head in second.heads.values())
    lost = loss(forged(signed[:2], at_the_seal))
    assert lost is not None
    assert "does not hold the audit" in lost.sentence
    behind = max(head.number for head in signed[-1].heads.values())
    assert loss(forged(signed, behind)) is not None


@pytest.mark.proves("R95", "R96", "T-39")
def test_a_seal_and_a_checkpoint_that_disagree_are_found(kept: Kept) -> None:  # noqa: F811
    done = kept.seal().seal
    assert done is not None
    (part,) = [part for part in done.parts.values() if part.last > 1]
    kinds = with_seals(
        kept,
        lambda tx, seals: {one.kind for one in verify(tx.conn, forged(checkpoints(kept), part.last), seals).findings},
    )
    assert kinds == {Tampering.REWRITTEN}
    with pytest.raises(SegmentFault, match="is not the one that was signed"):
        SegmentFile(kept.files()[0]).check(done, {writer: {one.last: FORGED} for writer, one in done.parts.items()})
    parts = {writer: one._replace(hash=FORGED) for writer, one in done.parts.items()}
    with pytest.raises(SegmentFault, match="is not the one that was sealed"):
        SegmentFile(kept.files()[0]).check(replace(done, parts=parts), {})


@pytest.mark.proves("R95", "T-39")
def test_a_row_changed_after_it_was_sealed_and_before_it_was_removed_is_found(
    kept: Kept,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sealing.Sealing, "_remove", lambda self: 0)
    done = kept.seal().seal
    assert done is not None
    last = max(part.last for part in done.parts.values())
    kept.tamper(f"UPDATE audit SET hash = previous WHERE number = {last}")
    assert "rewritten" in {one.kind for one in kept.examine().findings}
    alone = with_seals(kept, lambda tx, seals: verify(tx.conn, (), seals).findings)
    assert (Tampering.REWRITTEN, last) in {(one.kind, one.number) for one in alone}


@pytest.mark.proves("R95", "T-39")
@pytest.mark.parametrize("sql", ["DELETE FROM seals WHERE number = 1", "UPDATE seals SET number = number + 1"])
def test_a_seal_that_is_lost_from_the_middle_is_found(kept: Kept, sql: str) -> None:  # noqa: F811
    first, _ = checkpoints(kept)
    kept.seal(first.at + timedelta(microseconds=1))
    assert kept.seal().seal is not None
    if "+ 1" in sql:
        kept.tamper("UPDATE seals SET number = number + 10")
        sql = "UPDATE seals SET number = number - 9"
    kept.tamper(sql)
    found = kept.examine().findings
    assert any(one.kind == "seal" and "does not follow" in one.sentence for one in found), found
    with pytest.raises(Conflict, match="does not follow"):
        kept.seal()


@pytest.mark.proves("R95", "T-39")
def test_a_seal_that_names_another_before_it_is_found(kept: Kept) -> None:  # noqa: F811
    """Signed by us, but for another place: of a database that was set back, say."""
    first, _ = checkpoints(kept)
    kept.seal(first.at + timedelta(microseconds=1))
    second = kept.seal().seal
    assert second is not None
    with kept.store.read() as tx:
        line = replace(second, previous="0" * 64).line(signer(kept.keys.ring(tx)))
    with kept.store.database.engine.connect() as conn:
        conn.execute(tables.seals.update().where(tables.seals.c.number == 2).values(line=line))
    assert any(one.kind == "seal" and "does not follow" in one.sentence for one in kept.examine().findings)


def test_a_run_gives_way_to_another_that_was_faster(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    reached = sealing.kill_point.reached
    others = []

    def other(point: str) -> None:
        reached(point)
        if point == "segment-written" and not others:
            others.append(point)
            others.append(kept.seal())

    monkeypatch.setattr(sealing.kill_point, "reached", other)
    with pytest.raises(Conflict, match="another run sealed meanwhile"):
        kept.seal()
    assert others[1].seal is not None, "it finds the file of the first, and uses it"
    assert len(kept.files()) == 1
    assert kept.examine(*kept.files()).findings == ()


@pytest.mark.proves("T-38", "T-39")
def test_a_change_that_was_touched_before_is_not_sealed(kept: Kept) -> None:  # noqa: F811
    kept.tamper("UPDATE changes SET payload = '[]' WHERE revision = 3")
    rows = kept.rows()
    with pytest.raises(Conflict, match="change record of revision 3"):
        kept.seal()
    assert kept.rows() == rows
    assert kept.files() == []


@pytest.mark.parametrize(
    "line", [b'{"body":{},"hash":"xx","number":1,"writer":"main"}', b'{"body":{},"hash":"00","number":1,"writer":7}']
)
def test_a_line_that_is_no_row_is_named(kept: Kept, line: bytes) -> None:  # noqa: F811
    done = kept.seal().seal
    assert done is not None
    lines = kept.files()[0].read_bytes().splitlines()
    kept.files()[0].write_bytes(b"\n".join([lines[0], line, *lines[2:]]) + b"\n")
    with pytest.raises(SegmentFault, match="line 2 is not a row"):
        SegmentFile(kept.files()[0]).check(done, {})


def test_a_file_without_an_end_of_its_first_line_is_no_segment(kept: Kept) -> None:  # noqa: F811
    kept.seal()
    kept.files()[0].write_bytes(b'{"content":')
    assert [one.sentence for one in kept.examine(kept.files()[0]).findings] == ["line 1 is cut off or too long"]
