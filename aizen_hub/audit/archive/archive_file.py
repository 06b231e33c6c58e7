"""The archive file of audit rows: JSON lines, first the signed manifest, then the rows of every chain in order.

A row is ``{"body":{…},"hash":"…","number":…,"writer":"…"}``. The hash covers the exact bytes of ``body``, see
`hash_chain.row_hash`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from sqlalchemy import Connection, select

from aizen_hub.audit.archive.manifest import ArchiveManifest
from aizen_hub.store import tables
from aizen_hub.store.audit_log.hash_chain import row_hash

_audit = tables.audit.c
_PAGE = 1_000
_MAX_LINE = 1 << 20  # a row has at most 256 KiB
_MAX_HEADER = 1 << 26  # the manifest names every writer
_BODY, _HASH = b'{"body":', b',"hash":"'


class ArchiveFileError(ValueError):
    """The file does not match its manifest; the message names the line or row."""


class _ArchivedRow(NamedTuple):
    writer: str
    number: int
    body: bytes
    hash: bytes


@dataclass(slots=True)
class ArchiveContents:
    """The result of checking a file.

    Attributes
    ----------
    rows : int
    change_hashes : dict
        By audit id, the hash of the change record that the audit row holds.
    """

    rows: int = 0
    change_hashes: dict[str, str] = field(default_factory=dict)


class ArchiveFile:
    """One file of archived rows, readable by its owner only.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, conn: Connection, manifest: ArchiveManifest, line: str) -> None:
        """Write the rows that a manifest archives, durably; an incomplete file never has the final name.

        Parameters
        ----------
        line : str
            The manifest as signed JSON.

        Raises
        ------
        FileExistsError
            A file of this name exists.
        OSError
            It cannot be written.
        """
        part = self.path.with_name(self.path.name + ".part")
        part.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(part, flags, 0o600), "wb") as out:
            out.write(line.encode() + b"\n")
            for writer in sorted(manifest.segments):
                _copy_segment(conn, writer, manifest.segments[writer].first, manifest.segments[writer].last, out)
            out.flush()
            os.fsync(out.fileno())
        os.link(part, self.path)  # unlike a rename, never replaces an existing file
        part.unlink()
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read_manifest_line(self) -> str:
        """Return the first line of the file; ArchiveFileError if it cannot be a manifest."""
        with self.path.open("rb") as file:
            return _read_header(file).decode("utf-8", "replace")

    def check(self, manifest: ArchiveManifest, signed: Mapping[str, Mapping[int, bytes]]) -> ArchiveContents:
        """Read the whole file and check every row against the manifest and the checkpoints.

        Parameters
        ----------
        manifest : ArchiveManifest
            From the database, its signature verified.
        signed : mapping
            By writer and row number, the hashes that checkpoints signed.

        Raises
        ------
        ArchiveFileError
            Names the row that was changed.
        """
        contents = ArchiveContents()
        with self.path.open("rb") as file:
            _read_header(file)
            rows = _read_rows(file)
            for writer in sorted(manifest.segments):
                segment = manifest.segments[writer]
                previous = segment.previous
                for number in range(segment.first, segment.last + 1):
                    row = next(rows, None)
                    if row is None or (row.writer, row.number) != (writer, number):
                        raise ArchiveFileError(f"row {number} of {writer} is missing or out of order")
                    previous = row_hash(previous, writer, number, row.body)
                    if previous != row.hash:
                        raise ArchiveFileError(f"row {number} of {writer} does not match its hash")
                    signed_hash = signed.get(writer, {}).get(number)
                    if signed_hash is not None and signed_hash != previous:
                        raise ArchiveFileError(f"row {number} of {writer} is not the one that was signed")
                    contents.rows += 1
                    _collect_change_hash(contents.change_hashes, row.body)
                if previous != segment.hash:
                    raise ArchiveFileError(f"row {segment.last} of {writer} is not the one that was archived")
            if next(rows, None) is not None:
                raise ArchiveFileError("there are rows after the last one that was archived")
        return contents


def _copy_segment(conn: Connection, writer: str, first: int, last: int, out: IO[bytes]) -> None:
    while first <= last:
        query = select(_audit.number, _audit.body, _audit.hash)
        query = query.where(_audit.writer == writer, _audit.number >= first, _audit.number <= last)
        page = conn.execute(query.order_by(_audit.number).limit(_PAGE)).all()
        if not page:
            raise ArchiveFileError(f"row {first} of {writer} is missing")
        for row in page:
            body, name = bytes(row.body), json.dumps(writer).encode()
            end = b',"number":%d,"writer":%s}\n' % (row.number, name)
            out.write(_BODY + body + _HASH + bytes(row.hash).hex().encode() + b'"' + end)
        first = page[-1].number + 1


def _read_header(file: IO[bytes]) -> bytes:
    line = file.readline(_MAX_HEADER)
    if not line.endswith(b"\n"):
        raise ArchiveFileError("line 1 is incomplete or too long")
    return line[:-1]


def _read_rows(file: IO[bytes]) -> Iterator[_ArchivedRow]:
    for position, line in enumerate(iter(lambda: file.readline(_MAX_LINE), b""), start=2):
        if not line.endswith(b"\n"):
            raise ArchiveFileError(f"line {position} is incomplete or too long")
        body, separator, rest = line.removeprefix(_BODY).rpartition(_HASH)
        try:
            columns = json.loads(b'{"hash":"' + rest)
            row = _ArchivedRow(columns["writer"], columns["number"], body, bytes.fromhex(columns["hash"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ArchiveFileError(f"line {position} is not a row") from None
        if not separator or not line.startswith(_BODY) or not isinstance(row.writer, str):
            raise ArchiveFileError(f"line {position} is not a row")
        yield row


def _collect_change_hash(change_hashes: dict[str, str], body: bytes) -> None:
    # Few rows belong to a change; the others need not be parsed.
    if b'"change":"' not in body:
        return
    data = json.loads(body)
    details = data.get("details")
    if isinstance(details, dict) and isinstance(details.get("change"), str):
        change_hashes[data["id"]] = details["change"]
