"""Checkpoints: the heads of all chains, signed, in a file outside the database (R96).

Without them the end of a chain could be cut off, or a chain be computed anew. Each line names the one before it, so
that the file itself cannot lose one from its middle.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from aizen_hub.audit.checkpoints import signed_json as signed_line
from aizen_hub.audit.checkpoints.signed_json import Check, Sign, SignedLine
from aizen_hub.store.timestamps import from_microseconds, to_microseconds

_PREFIX = b"aizen-hub audit checkpoint\0"  # so that no signature made for something else fits (R43)
_FIRST = "0" * 64
_TAIL = 1 << 20
_NEWEST = 200


class Head(NamedTuple):
    """The last row of a writer."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was signed: the heads that had moved since the checkpoint before.

    Attributes
    ----------
    void_from : int or None
        An operator went on from a database that lacks what the checkpoints from this number on had signed (T-40):
        they count no longer. The heads are then those of all writers.
    """

    number: int
    at: datetime
    revision: int
    heads: Mapping[str, Head]
    void_from: int | None = None


@dataclass(frozen=True, slots=True)
class CheckpointFault:
    """A line of the file that is not what was written there.

    Attributes
    ----------
    unsigned : int or None
        The number that the line gives itself, where only its signature is none of ours.
    """

    line: int
    sentence: str
    unsigned: int | None = None


class CheckpointFile:
    """An append-only file of signed checkpoints, readable for its owner only.

    Parameters
    ----------
    path : Path
        Should lie where the writer of the database cannot write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last_heads: dict[str, Head] = {}
        self._last_number = 0

    def append(
        self, heads: Mapping[str, Head], revision: int, at: datetime, sign: Sign, *, void_from: int | None = None
    ) -> bool:
        """Sign the heads that moved since this process wrote last and append them durably; False if none did.

        Parameters
        ----------
        void_from : int, optional
            The first checkpoint that counts no longer; then all heads are signed.

        Raises
        ------
        OSError
            The file cannot be written, or ends before what this process wrote last: it was removed, set back, or its
            disk is gone. The caller reports it, and tries again with the next checkpoint.
        """
        known = {} if void_from is not None else self._last_heads
        moved = {writer: head for writer, head in heads.items() if known.get(writer) != head}
        if not moved:
            return False
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        if not self._last_number:
            flags |= os.O_CREAT
        descriptor = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            number, previous, torn = _end(descriptor)
            if number < self._last_number:
                raise OSError(f"it ends with number {number}, and {self._last_number} was written already")
            content: dict[str, Any] = {
                "number": number + 1,
                "at": to_microseconds(at),
                "revision": revision,
                "heads": {writer: [head.number, head.hash.hex()] for writer, head in moved.items()},
                "previous": previous,
            }
            if void_from is not None:
                content["void_from"] = void_from
            line = signed_line.write(content, _PREFIX, sign) + "\n"
            # A line that a crash cut short is ended, so that it spoils no other.
            data = (b"\n" if torn else b"") + line.encode()
            start = os.fstat(descriptor).st_size
            try:
                written = os.write(descriptor, data)
                if written != len(data):
                    raise OSError("the checkpoint was written in part only")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, start)
                raise
        finally:
            os.close(descriptor)
        self._last_heads.update(moved)
        self._last_number = number + 1
        return True

    def read(self, check: Check) -> tuple[list[Checkpoint], list[CheckpointFault]]:
        """Return all good checkpoints, oldest first, and the lines that are not good.

        A missing file has no checkpoints. A line that a crash cut short is no fault, as long as the next one follows
        the one before it.
        """
        good: list[Checkpoint] = []
        faults: list[CheckpointFault] = []
        previous, number = _FIRST, 0
        unreadable: int | None = None
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return good, faults
        for position, line in enumerate(lines, start=1):
            if not line:
                continue
            parsed = _parse(line)
            if parsed is None:
                unreadable = position
                continue
            content = parsed.content
            if not parsed.vouched(_PREFIX, check):
                sentence = f"line {position} is not signed by a key of ours"
                faults.append(CheckpointFault(position, sentence, content["number"]))
            elif content["previous"] != previous or content["number"] != number + 1:
                where = position if unreadable is None else unreadable
                faults.append(CheckpointFault(where, f"line {position} does not follow the line before it"))
                good.append(_checkpoint(content))
            else:
                good.append(_checkpoint(content))
            previous, number, unreadable = hashlib.sha256(line).hexdigest(), content["number"], None
        if unreadable is not None and unreadable != len(lines):
            faults.append(CheckpointFault(unreadable, f"line {unreadable} is not a checkpoint"))
        # The key of a checkpoint that counts no longer may be lost with the database that had it.
        void = _void(good)
        return good, [one for one in faults if one.unsigned is None or not void(one.unsigned)]

    def newest(self, check: Check) -> tuple[list[Checkpoint], list[CheckpointFault]]:
        """Return the newest checkpoints, oldest first, and those of them that no key of ours signed; costs no more for
        a long file."""
        good: list[Checkpoint] = []
        strange: list[CheckpointFault] = []
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                lines = file.read(_TAIL).split(b"\n")
        except FileNotFoundError:
            return good, strange
        for line in lines[-_NEWEST:]:
            parsed = _parse(line)
            if parsed is None:
                continue
            if parsed.vouched(_PREFIX, check):
                good.append(_checkpoint(parsed.content))
            else:
                number = parsed.content["number"]
                strange.append(CheckpointFault(0, f"the checkpoint {number} is not signed by a key of ours", number))
        void = _void(good)
        return good, [one for one in strange if not void(one.unsigned or 0)]


def in_force(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return the checkpoints that still count, after every restored database that an operator accepted."""
    void = _void(checkpoints)
    return [one for one in checkpoints if not void(one.number)]


def _void(checkpoints: Iterable[Checkpoint]) -> Callable[[int], bool]:
    spans = [(one.void_from, one.number) for one in checkpoints if one.void_from is not None]
    return lambda number: any(start <= number < end for start, end in spans)


def _end(descriptor: int) -> tuple[int, str, bool]:
    size = os.fstat(descriptor).st_size
    start = max(0, size - _TAIL)
    data = os.pread(descriptor, size - start, start)
    torn = bool(data) and not data.endswith(b"\n")
    for line in reversed(data.split(b"\n")):
        parsed = _parse(line) if line else None
        if parsed is not None:
            return parsed.content["number"], hashlib.sha256(line).hexdigest(), torn
    if size > _TAIL:
        raise OSError("the end of the checkpoint file cannot be read")
    return 0, _FIRST, torn


def _parse(line: bytes) -> SignedLine | None:
    parsed = signed_line.parse(line) if line else None
    if parsed is None or not isinstance(parsed.content.get("previous"), str):
        return None
    try:
        _checkpoint(parsed.content)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    return parsed


def _checkpoint(content: Mapping[str, Any]) -> Checkpoint:
    heads = {
        str(writer): Head(int(number), bytes.fromhex(digest)) for writer, (number, digest) in content["heads"].items()
    }
    at = from_microseconds(int(content["at"]))
    void_from = content.get("void_from")
    return Checkpoint(
        int(content["number"]), at, int(content["revision"]), heads, None if void_from is None else int(void_from)
    )
