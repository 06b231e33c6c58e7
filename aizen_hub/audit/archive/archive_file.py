"""A file of sealed audit rows: JSON lines, the signed seal first, then the rows of every chain in their order.

A row is ``{"body":{…},"hash":"…","number":…,"writer":"…"}``; the hash is over the exact bytes of ``body``, see
`chain.link`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from sqlalchemy import Connection, select

from aizen_hub.audit.archive.manifest import Seal
from aizen_hub.store import tables
from aizen_hub.store.audit_log.hash_chain import link

_audit = tables.audit.c
_PAGE = 1_000
_MAX_LINE = 1 << 20  # a row has at most 256 KiB
_MAX_HEADER = 1 << 26  # the seal names every writer
_BODY, _HASH = b'{"body":', b',"hash":"'


class SegmentFault(ValueError):
    """The file is not what the seal says; the message names the line."""


class _Row(NamedTuple):
    writer: str
    number: int
    body: bytes
    hash: bytes


@dataclass(slots=True)
class Contents:
    """What a sound file holds that others want to know.

    Attributes
    ----------
    rows : int
    changes : dict
        By audit id, the hash of the change record that the row vouches for.
    """

    rows: int = 0
    changes: dict[str, str] = field(default_factory=dict)


class SegmentFile:
    """One file of sealed rows, readable for its owner only.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, conn: Connection, seal: Seal, line: str) -> None:
        """Write the rows that a seal takes, durably; a file that ended half-way never has the final name.

        Raises
        ------
        FileExistsError
            A file of this name is there.
        OSError
            It cannot be written.
        """
        part = self.path.with_name(self.path.name + ".part")
        part.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(part, flags, 0o600), "wb") as out:
            out.write(line.encode() + b"\n")
            for writer in sorted(seal.parts):
                _copy(conn, writer, seal.parts[writer].first, seal.parts[writer].last, out)
            out.flush()
            os.fsync(out.fileno())
        os.link(part, self.path)  # unlike a rename, never over a file that is there
        part.unlink()
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def line(self) -> str:
        """Return the seal as it stands in the file; SegmentFault if that cannot be one."""
        with self.path.open("rb") as file:
            return _header(file).decode("utf-8", "replace")

    def check(self, seal: Seal, signed: Mapping[str, Mapping[int, bytes]]) -> Contents:
        """Read the whole file and check every row against the seal and against what was signed in checkpoints.

        Parameters
        ----------
        seal : Seal
            As the database has it, its signature checked.
        signed : mapping
            By writer and number, the hashes that checkpoints name.

        Raises
        ------
        SegmentFault
            Says which row is not as it was.
        """
        contents = Contents()
        with self.path.open("rb") as file:
            _header(file)
            rows = _rows(file)
            for writer in sorted(seal.parts):
                part = seal.parts[writer]
                previous = part.previous
                for number in range(part.first, part.last + 1):
                    row = next(rows, None)
                    if row is None or (row.writer, row.number) != (writer, number):
                        raise SegmentFault(f"row {number} of {writer} is missing, or not where it belongs")
                    previous = link(previous, writer, number, row.body)
                    if previous != row.hash:
                        raise SegmentFault(f"row {number} of {writer} does not fit its hash")
                    wanted = signed.get(writer, {}).get(number)
                    if wanted is not None and wanted != previous:
                        raise SegmentFault(f"row {number} of {writer} is not the one that was signed")
                    contents.rows += 1
                    _note(contents.changes, row.body)
                if previous != part.hash:
                    raise SegmentFault(f"row {part.last} of {writer} is not the one that was sealed")
            if next(rows, None) is not None:
                raise SegmentFault("there are rows behind the last one that was sealed")
        return contents


def _copy(conn: Connection, writer: str, first: int, last: int, out: IO[bytes]) -> None:
    while first <= last:
        query = select(_audit.number, _audit.body, _audit.hash)
        query = query.where(_audit.writer == writer, _audit.number >= first, _audit.number <= last)
        page = conn.execute(query.order_by(_audit.number).limit(_PAGE)).all()
        if not page:
            raise SegmentFault(f"row {first} of {writer} is missing")
        for row in page:
            body, name = bytes(row.body), json.dumps(writer).encode()
            end = b',"number":%d,"writer":%s}\n' % (row.number, name)
            out.write(_BODY + body + _HASH + bytes(row.hash).hex().encode() + b'"' + end)
        first = page[-1].number + 1


def _header(file: IO[bytes]) -> bytes:
    line = file.readline(_MAX_HEADER)
    if not line.endswith(b"\n"):
        raise SegmentFault("line 1 is cut off or too long")
    return line[:-1]


def _rows(file: IO[bytes]) -> Iterator[_Row]:
    for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE), b""), start=2):
        if not line.endswith(b"\n"):
            raise SegmentFault(f"line {number} is cut off or too long")
        body, found, rest = line.removeprefix(_BODY).rpartition(_HASH)
        try:
            place = json.loads(b'{"hash":"' + rest)
            row = _Row(place["writer"], place["number"], body, bytes.fromhex(place["hash"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SegmentFault(f"line {number} is not a row") from None
        if not found or not line.startswith(_BODY) or not isinstance(row.writer, str):
            raise SegmentFault(f"line {number} is not a row")
        yield row


def _note(changes: dict[str, str], body: bytes) -> None:
    # Few rows change something: the others need not be parsed.
    if b'"change":"' not in body:
        return
    data = json.loads(body)
    details = data.get("details")
    if isinstance(details, dict) and isinstance(details.get("change"), str):
        changes[data["id"]] = details["change"]
