"""Seals: where the audit in the database begins, after its oldest rows went into a signed file.

A seal ends every chain at one signed checkpoint. It stands in the database and, as the first line of its file, with
the rows themselves. It names the seal before it, so that none can be lost from the middle, and holds one hash over the
change records whose audit rows it takes away, so that the store can still be compared with its history (T-38).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, select

from aizen_hub.audit.checkpoints import signed_json as signed_line
from aizen_hub.audit.checkpoints.signed_json import Check, Sign
from aizen_hub.store import tables
from aizen_hub.store.audit_log.hash_chain import genesis
from aizen_hub.store.timestamps import from_microseconds, to_microseconds

_PREFIX = b"aizen-hub audit seal\0"
_FIRST = "0" * 64
NO_CHANGES = bytes(32)


class Part(NamedTuple):
    """What a seal takes from one chain: rows ``first`` to ``last``, between two hashes."""

    first: int
    last: int
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """What was signed.

    Attributes
    ----------
    number : int
        Counted from 1 without a gap.
    until : datetime
        When the checkpoint was made at which it ends.
    revision : int
        Of that checkpoint: the change records up to here have their audit rows in the file.
    changes : bytes
        `fold` over the hashes of all change records up to that revision.
    previous : str
        SHA-256 of the line of the seal before.
    parts : mapping
        By writer.
    """

    number: int
    until: datetime
    revision: int
    changes: bytes
    previous: str
    parts: Mapping[str, Part]

    @property
    def rows(self) -> int:
        return sum(part.last - part.first + 1 for part in self.parts.values())

    def line(self, sign: Sign) -> str:
        """Return the seal as one signed line; the same one whenever it is made with the same key."""
        parts = {
            writer: [part.first, part.last, part.previous.hex(), part.hash.hex()] for writer, part in self.parts.items()
        }
        content = {
            "number": self.number,
            "until": to_microseconds(self.until),
            "revision": self.revision,
            "changes": self.changes.hex(),
            "previous": self.previous,
            "parts": parts,
        }
        return signed_line.write(content, _PREFIX, sign)

    @classmethod
    def parse(cls, line: bytes | str, check: Check) -> Self | None:
        """Return the seal of a line; None if it is none, or not signed by a key of ours."""
        parsed = signed_line.parse(line)
        if parsed is None or not parsed.vouched(_PREFIX, check):
            return None
        content: dict[str, Any] = parsed.content
        parts = {
            writer: Part(first, last, bytes.fromhex(previous), bytes.fromhex(end))
            for writer, (first, last, previous, end) in content["parts"].items()
        }
        return cls(
            content["number"],
            from_microseconds(content["until"]),
            content["revision"],
            bytes.fromhex(content["changes"]),
            content["previous"],
            parts,
        )


@dataclass(frozen=True, slots=True)
class Seals:
    """The seals of a database, oldest first, and what is wrong with them.

    Attributes
    ----------
    lines : tuple of str
        As they stand in the database: a file begins with exactly one of them.
    faults : tuple of str
        Sentences; the seals behind a fault are left out.
    """

    seals: tuple[Seal, ...] = ()
    lines: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @classmethod
    def read(cls, conn: Connection, check: Check) -> Self:
        """Read the seals of the database and check that each is signed and goes on where the one before it ended."""
        seals: list[Seal] = []
        lines: list[str] = []
        ends: dict[str, tuple[int, bytes]] = {}
        for row in conn.execute(select(tables.seals).order_by(tables.seals.c.number)):
            seal = Seal.parse(row.line, check)
            if seal is None:
                return cls(tuple(seals), tuple(lines), (f"the seal {row.number} is not signed by a key of ours",))
            fits = seal.number == row.number == len(seals) + 1 and seal.previous == follows(lines)
            if not fits or not all(_goes_on(writer, part, ends) for writer, part in seal.parts.items()):
                sentence = f"the seal {row.number} does not follow the one before it"
                return cls(tuple(seals), tuple(lines), (sentence,))
            ends.update({writer: (part.last, part.hash) for writer, part in seal.parts.items()})
            seals.append(seal)
            lines.append(row.line)
        return cls(tuple(seals), tuple(lines))

    @property
    def last(self) -> Seal | None:
        return self.seals[-1] if self.seals else None

    @property
    def rows(self) -> int:
        return sum(seal.rows for seal in self.seals)

    def boundary(self, writer: str) -> tuple[int, bytes]:
        """Return number and hash of the last sealed row of a chain: what its rest begins behind."""
        for seal in reversed(self.seals):
            if writer in seal.parts:
                return seal.parts[writer].last, seal.parts[writer].hash
        return 0, genesis(writer)

    def writers(self) -> set[str]:
        return {writer for seal in self.seals for writer in seal.parts}


def sealed_until(conn: Connection) -> datetime | None:
    """Return until when the audit is no longer in the database; not proven, for telling people where to look."""
    line = conn.scalar(select(tables.seals.c.line).order_by(tables.seals.c.number.desc()).limit(1))
    parsed = None if line is None else signed_line.parse(line)
    return None if parsed is None else from_microseconds(parsed.content["until"])


def follows(lines: Sequence[str]) -> str:
    """Return what the next seal names as the one before it."""
    return hashlib.sha256(lines[-1].encode()).hexdigest() if lines else _FIRST


def fold(so_far: bytes, digests: Iterable[str]) -> bytes:
    """Return one hash over the hashes of change records, in the order of their revisions."""
    for digest in digests:
        so_far = hashlib.sha256(so_far + bytes.fromhex(digest)).digest()
    return so_far


def _goes_on(writer: str, part: Part, ends: Mapping[str, tuple[int, bytes]]) -> bool:
    last, digest = ends.get(writer, (0, genesis(writer)))
    return part.first == last + 1 and part.previous == digest and part.last >= part.first
