"""Archive manifests: where the audit in the database begins, after its oldest rows were moved to a signed file.

A manifest ends every chain at one signed checkpoint. It is stored in the database and is also the first line of its
archive file. It names the hash of the previous manifest, so that none can be removed from the middle, and holds one
hash over the change records whose audit rows it archives, so that the store can still be compared with its recorded
changes (T-38).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, select

from aizen_hub.audit.checkpoints import signed_json
from aizen_hub.audit.checkpoints.signed_json import SignatureCheck, Signer
from aizen_hub.store import tables
from aizen_hub.store.audit_log.hash_chain import genesis
from aizen_hub.store.timestamps import from_microseconds, to_microseconds

_PREFIX = b"aizen-hub audit archive\0"
_NO_PREVIOUS = "0" * 64
INITIAL_STATE = bytes(32)


class ChainSegment(NamedTuple):
    """The rows that a manifest archives from one chain: ``first`` to ``last``, between two hashes."""

    first: int
    last: int
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class ArchiveManifest:
    """The signed content of a manifest.

    Attributes
    ----------
    number : int
        Counted from 1 without gaps.
    until : datetime
        Time of the checkpoint at which it ends.
    revision : int
        Revision of that checkpoint: the archive file holds the audit rows of the change records up to it.
    state_hash : bytes
        `fold_state` over the hashes of all change records up to that revision.
    previous : str
        SHA-256 of the previous manifest, as signed JSON.
    segments : mapping
        By writer.
    """

    number: int
    until: datetime
    revision: int
    state_hash: bytes
    previous: str
    segments: Mapping[str, ChainSegment]

    @property
    def rows(self) -> int:
        return sum(segment.last - segment.first + 1 for segment in self.segments.values())

    def to_signed_json(self, sign: Signer) -> str:
        """Return the manifest as one line of signed JSON; the same key gives the same line."""
        segments = {
            writer: [segment.first, segment.last, segment.previous.hex(), segment.hash.hex()]
            for writer, segment in self.segments.items()
        }
        content = {
            "number": self.number,
            "until": to_microseconds(self.until),
            "revision": self.revision,
            "state_hash": self.state_hash.hex(),
            "previous": self.previous,
            "segments": segments,
        }
        return signed_json.encode_signed(content, _PREFIX, sign)

    @classmethod
    def parse(cls, line: bytes | str, check: SignatureCheck) -> Self | None:
        """Return the manifest of a line; None if it is not one, or not signed by one of this service's keys."""
        signed = signed_json.parse_signed(line)
        if signed is None or not signed.is_signed_by(_PREFIX, check):
            return None
        content: dict[str, Any] = signed.content
        segments = {
            writer: ChainSegment(first, last, bytes.fromhex(previous), bytes.fromhex(digest))
            for writer, (first, last, previous, digest) in content["segments"].items()
        }
        return cls(
            content["number"],
            from_microseconds(content["until"]),
            content["revision"],
            bytes.fromhex(content["state_hash"]),
            content["previous"],
            segments,
        )


@dataclass(frozen=True, slots=True)
class ArchiveManifests:
    """The manifests of a database, oldest first, and their faults.

    Attributes
    ----------
    lines : tuple of str
        Each manifest as the database stores it: an archive file begins with exactly one of them.
    faults : tuple of str
        Sentences. The manifests after a fault are left out.
    """

    manifests: tuple[ArchiveManifest, ...] = ()
    lines: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @classmethod
    def read(cls, conn: Connection, check: SignatureCheck) -> Self:
        """Read the manifests of the database and check that each is signed and continues the previous one."""
        manifests: list[ArchiveManifest] = []
        lines: list[str] = []
        ends: dict[str, tuple[int, bytes]] = {}
        table = tables.archive_manifests
        for row in conn.execute(select(table).order_by(table.c.number)):
            manifest = ArchiveManifest.parse(row.signed_json, check)
            if manifest is None:
                fault = f"the archive manifest {row.number} is not signed by a key of this service"
                return cls(tuple(manifests), tuple(lines), (fault,))
            is_next = manifest.number == row.number == len(manifests) + 1
            if (
                not is_next
                or manifest.previous != previous_hash(lines)
                or not all(_continues(writer, segment, ends) for writer, segment in manifest.segments.items())
            ):
                fault = f"the archive manifest {row.number} does not continue the previous one"
                return cls(tuple(manifests), tuple(lines), (fault,))
            ends.update({writer: (segment.last, segment.hash) for writer, segment in manifest.segments.items()})
            manifests.append(manifest)
            lines.append(row.signed_json)
        return cls(tuple(manifests), tuple(lines))

    @property
    def newest(self) -> ArchiveManifest | None:
        return self.manifests[-1] if self.manifests else None

    @property
    def rows(self) -> int:
        return sum(manifest.rows for manifest in self.manifests)

    def archived_head(self, writer: str) -> tuple[int, bytes]:
        """Return number and hash of the last archived row of a chain, after which its rest begins."""
        for manifest in reversed(self.manifests):
            if writer in manifest.segments:
                return manifest.segments[writer].last, manifest.segments[writer].hash
        return 0, genesis(writer)

    def writers(self) -> set[str]:
        """Return the writers whose chains have archived rows."""
        return {writer for manifest in self.manifests for writer in manifest.segments}


def archived_until(conn: Connection) -> datetime | None:
    """Return until when the audit is archived; not verified, only to tell users where to look."""
    table = tables.archive_manifests.c
    line = conn.scalar(select(table.signed_json).order_by(table.number.desc()).limit(1))
    signed = None if line is None else signed_json.parse_signed(line)
    return None if signed is None else from_microseconds(signed.content["until"])


def previous_hash(lines: Sequence[str]) -> str:
    """Return the hash by which the next manifest names the last of ``lines``."""
    return hashlib.sha256(lines[-1].encode()).hexdigest() if lines else _NO_PREVIOUS


def fold_state(state_hash: bytes, change_hashes: Iterable[str]) -> bytes:
    """Return the state hash after further change records, in the order of their revisions."""
    for change_hash in change_hashes:
        state_hash = hashlib.sha256(state_hash + bytes.fromhex(change_hash)).digest()
    return state_hash


def _continues(writer: str, segment: ChainSegment, ends: Mapping[str, tuple[int, bytes]]) -> bool:
    last, digest = ends.get(writer, (0, genesis(writer)))
    return segment.first == last + 1 and segment.previous == digest and segment.last >= segment.first
