"""Checkpoints: the heads of all chains, signed, in a file outside the database (R96).

Without them the end of a chain could be deleted, or a whole chain be recomputed. Each line holds the hash of the
previous one, so that none can be removed from the middle of the file.
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

from aizen_hub.audit.checkpoints import signed_json
from aizen_hub.audit.checkpoints.signed_json import SignatureCheck, SignedJson, Signer
from aizen_hub.store.timestamps import from_microseconds, to_microseconds

_PREFIX = b"aizen-hub audit checkpoint\0"  # so that a signature made for another purpose is not valid (R43)
_NO_PREVIOUS = "0" * 64
_TAIL_BYTES = 1 << 20
_MAX_NEWEST = 200


class Head(NamedTuple):
    """The last row of a writer."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of a checkpoint: the heads that changed since the previous one.

    Attributes
    ----------
    void_from : int or None
        Set when an operator accepted a database that lacks what the checkpoints from this number on had signed
        (T-40): they are void. The heads are then those of all writers.
    """

    number: int
    at: datetime
    revision: int
    heads: Mapping[str, Head]
    void_from: int | None = None


@dataclass(frozen=True, slots=True)
class CheckpointFault:
    """A line of the file that was changed, inserted or not signed by this service.

    Attributes
    ----------
    unsigned : int or None
        The checkpoint number in the line, if only its signature is not valid.
    """

    line: int
    sentence: str
    unsigned_number: int | None = None


class CheckpointSetBackError(OSError):
    """The file ends before what this process wrote last: it was replaced by an older copy, or cut."""

    def __init__(self, number: int, written: int) -> None:
        super().__init__(f"it ends with the checkpoint {number}, but {written} was written")


class CheckpointFile:
    """An append-only file of signed checkpoints, readable for its owner only.

    Parameters
    ----------
    path : Path
        Should be where an attacker who can write to the database cannot write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last_heads: dict[str, Head] = {}
        self._last_number = 0

    def append(
        self, heads: Mapping[str, Head], revision: int, at: datetime, sign: Signer, *, void_from: int | None = None
    ) -> bool:
        """Sign the heads that changed since this process wrote last and append them durably; False if none did.

        Parameters
        ----------
        void_from : int, optional
            The first checkpoint that becomes void; then all heads are signed.

        Raises
        ------
        CheckpointSetBackError
            The file ends before what this process wrote last.
        OSError
            The file cannot be written: it was deleted, or its disk is full or gone. The caller reports either error and
            retries with the next checkpoint.
        """
        last_heads = {} if void_from is not None else self._last_heads
        changed = {writer: head for writer, head in heads.items() if last_heads.get(writer) != head}
        if not changed:
            return False
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        if not self._last_number:
            flags |= os.O_CREAT
        descriptor = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            number, previous, torn = _read_end(descriptor)
            if number < self._last_number:
                raise CheckpointSetBackError(number, self._last_number)
            content: dict[str, Any] = {
                "number": number + 1,
                "at": to_microseconds(at),
                "revision": revision,
                "heads": {writer: [head.number, head.hash.hex()] for writer, head in changed.items()},
                "previous": previous,
            }
            if void_from is not None:
                content["void_from"] = void_from
            line = signed_json.encode_signed(content, _PREFIX, sign) + "\n"
            # A line that a crash left incomplete is ended, so that it does not break the next one.
            data = (b"\n" if torn else b"") + line.encode()
            start = os.fstat(descriptor).st_size
            try:
                written = os.write(descriptor, data)
                if written != len(data):
                    raise OSError("the checkpoint was only partly written")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, start)
                raise
        finally:
            os.close(descriptor)
        self._last_heads.update(changed)
        self._last_number = number + 1
        return True

    def read(self, check: SignatureCheck) -> tuple[list[Checkpoint], list[CheckpointFault]]:
        """Return all valid checkpoints, oldest first, and the faulty lines.

        A missing file has no checkpoints. A line that a crash left incomplete is not a fault if the next one follows
        the previous one.
        """
        good: list[Checkpoint] = []
        faults: list[CheckpointFault] = []
        previous, number = _NO_PREVIOUS, 0
        unreadable: int | None = None
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return good, faults
        for position, line in enumerate(lines, start=1):
            if not line:
                continue
            parsed = _parse_line(line)
            if parsed is None:
                unreadable = position
                continue
            content = parsed.content
            if not parsed.is_signed_by(_PREFIX, check):
                sentence = f"line {position} is not signed by a key of this service"
                faults.append(CheckpointFault(position, sentence, content["number"]))
            elif content["previous"] != previous or content["number"] != number + 1:
                first = position if unreadable is None else unreadable
                faults.append(CheckpointFault(first, f"line {position} does not follow the previous line"))
                good.append(_parse_checkpoint(content))
            else:
                good.append(_parse_checkpoint(content))
            previous, number, unreadable = hashlib.sha256(line).hexdigest(), content["number"], None
        if unreadable is not None and unreadable != len(lines):
            faults.append(CheckpointFault(unreadable, f"line {unreadable} is not a checkpoint"))
        # The key of a void checkpoint may be lost with the database that had it.
        is_void = _voided(good)
        return good, [fault for fault in faults if fault.unsigned_number is None or not is_void(fault.unsigned_number)]

    def newest(self, check: SignatureCheck) -> tuple[list[Checkpoint], list[CheckpointFault]]:
        """Return the newest checkpoints, oldest first, and those not signed by a key of this service.

        The cost does not depend on the length of the file.
        """
        good: list[Checkpoint] = []
        unsigned: list[CheckpointFault] = []
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read(_TAIL_BYTES).split(b"\n")
        except FileNotFoundError:
            return good, unsigned
        for line in lines[-_MAX_NEWEST:]:
            parsed = _parse_line(line)
            if parsed is None:
                continue
            if parsed.is_signed_by(_PREFIX, check):
                good.append(_parse_checkpoint(parsed.content))
            else:
                number = parsed.content["number"]
                unsigned.append(
                    CheckpointFault(0, f"the checkpoint {number} is not signed by a key of this service", number)
                )
        is_void = _voided(good)
        return good, [fault for fault in unsigned if not is_void(fault.unsigned_number or 0)]


def valid_checkpoints(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return the checkpoints without those that became void when an operator accepted a restored database."""
    is_void = _voided(checkpoints)
    return [checkpoint for checkpoint in checkpoints if not is_void(checkpoint.number)]


def _voided(checkpoints: Iterable[Checkpoint]) -> Callable[[int], bool]:
    spans = [(entry.void_from, entry.number) for entry in checkpoints if entry.void_from is not None]
    return lambda number: any(start <= number < end for start, end in spans)


def _read_end(descriptor: int) -> tuple[int, str, bool]:
    size = os.fstat(descriptor).st_size
    start = max(0, size - _TAIL_BYTES)
    data = os.pread(descriptor, size - start, start)
    torn = bool(data) and not data.endswith(b"\n")
    for line in reversed(data.split(b"\n")):
        parsed = _parse_line(line) if line else None
        if parsed is not None:
            return parsed.content["number"], hashlib.sha256(line).hexdigest(), torn
    if size > _TAIL_BYTES:
        raise OSError("the end of the checkpoint file cannot be read")
    return 0, _NO_PREVIOUS, torn


def _parse_line(line: bytes) -> SignedJson | None:
    parsed = signed_json.parse_signed(line) if line else None
    if parsed is None or not isinstance(parsed.content.get("previous"), str):
        return None
    try:
        _parse_checkpoint(parsed.content)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    return parsed


def _parse_checkpoint(content: Mapping[str, Any]) -> Checkpoint:
    heads = {
        str(writer): Head(int(number), bytes.fromhex(digest)) for writer, (number, digest) in content["heads"].items()
    }
    at = from_microseconds(int(content["at"]))
    void_from = content.get("void_from")
    return Checkpoint(
        int(content["number"]), at, int(content["revision"]), heads, None if void_from is None else int(void_from)
    )
