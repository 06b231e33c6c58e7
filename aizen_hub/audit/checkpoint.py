"""Checkpoints: the heads of all chains, signed, in a file outside the database (R96).

Without them the end of a chain could be cut off, or a chain be computed anew. Each line names the one before it, so
that the file itself cannot lose one from its middle. One line:

``{"content": {…}, "kid": "…", "signature": "…"}``, signed over `_PREFIX` and the canonical JSON of ``content``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from aizen_hub.audit.row import canonical
from aizen_hub.store.instant import from_microseconds, to_microseconds

Sign = Callable[[bytes], tuple[str, bytes]]
"""Returns the id of the key and the signature."""
Check = Callable[[str, bytes, bytes], bool]
"""Takes the id of the key, what was signed, and the signature."""
_PREFIX = b"aizen-hub audit checkpoint\0"  # so that no signature made for something else fits (R43)
_FIRST = "0" * 64
_TAIL = 1 << 20


class Head(NamedTuple):
    """The last row of a writer."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was signed: the heads that had moved since the checkpoint before."""

    number: int
    at: datetime
    revision: int
    heads: Mapping[str, Head]


@dataclass(frozen=True, slots=True)
class CheckpointFault:
    """A line of the file that is not what was written there."""

    line: int
    sentence: str


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

    def append(self, heads: Mapping[str, Head], revision: int, at: datetime, sign: Sign) -> bool:
        """Sign the heads that moved since this process wrote last and append them durably; False if none did.

        Raises
        ------
        OSError
            The file cannot be written; the caller reports it, and tries again with the next checkpoint.
        """
        moved = {writer: head for writer, head in heads.items() if self._last_heads.get(writer) != head}
        if not moved:
            return False
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            number, previous, torn = _end(descriptor)
            content = {
                "number": number + 1,
                "at": to_microseconds(at),
                "revision": revision,
                "heads": {writer: [head.number, head.hash.hex()] for writer, head in moved.items()},
                "previous": previous,
            }
            kid, signature = sign(_PREFIX + canonical(content).encode())
            line = canonical({"content": content, "kid": kid, "signature": signature.hex()}) + "\n"
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
            content, kid, signature = parsed
            if not check(kid, _PREFIX + canonical(content).encode(), signature):
                faults.append(CheckpointFault(position, f"line {position} is not signed by a key of ours"))
            elif content["previous"] != previous or content["number"] != number + 1:
                where = position if unreadable is None else unreadable
                faults.append(CheckpointFault(where, f"line {position} does not follow the line before it"))
                good.append(_checkpoint(content))
            else:
                good.append(_checkpoint(content))
            previous, number, unreadable = hashlib.sha256(line).hexdigest(), content["number"], None
        if unreadable is not None and unreadable != len(lines):
            faults.append(CheckpointFault(unreadable, f"line {unreadable} is not a checkpoint"))
        return good, faults


def _end(descriptor: int) -> tuple[int, str, bool]:
    size = os.fstat(descriptor).st_size
    start = max(0, size - _TAIL)
    data = os.pread(descriptor, size - start, start)
    torn = bool(data) and not data.endswith(b"\n")
    for line in reversed(data.split(b"\n")):
        parsed = _parse(line) if line else None
        if parsed is not None:
            return parsed[0]["number"], hashlib.sha256(line).hexdigest(), torn
    if size > _TAIL:
        raise OSError("the end of the checkpoint file cannot be read")
    return 0, _FIRST, torn


def _parse(line: bytes) -> tuple[dict[str, Any], str, bytes] | None:
    try:
        data = json.loads(line)
        content, kid, signature = data["content"], data["kid"], bytes.fromhex(data["signature"])
        _checkpoint(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    if not isinstance(kid, str) or not isinstance(content.get("previous"), str):
        return None
    return content, kid, signature


def _checkpoint(content: Mapping[str, Any]) -> Checkpoint:
    heads = {
        str(writer): Head(int(number), bytes.fromhex(digest)) for writer, (number, digest) in content["heads"].items()
    }
    at = from_microseconds(int(content["at"]))
    return Checkpoint(int(content["number"]), at, int(content["revision"]), heads)
