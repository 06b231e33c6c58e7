"""Checkpoints: the heads of all chains, signed, one a line, in a storage outside the database (R96).

Without them the end of a chain could be deleted, or a whole chain be recomputed. Each line holds the hash of the
previous one, so that none can be removed from the middle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from aizen_hub.audit.checkpoints import signed_json
from aizen_hub.audit.checkpoints.signed_json import SignatureCheck, SignedJson, Signer
from aizen_hub.store.timestamps import from_microseconds, to_microseconds

_PREFIX = b"aizen-hub audit checkpoint\0"  # so that a signature made for another purpose is not valid (R43)
_NO_PREVIOUS = "0" * 64


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
    """A line that was changed, inserted or not signed by this service.

    Attributes
    ----------
    unsigned : int or None
        The checkpoint number in the line, if only its signature is not valid.
    """

    line: int
    sentence: str
    unsigned_number: int | None = None


class LastCheckpoint(NamedTuple):
    """The last checkpoint that was written, by any process: its number, and the hash of its line."""

    number: int = 0
    hash: str = _NO_PREVIOUS


def encode_checkpoint(last: LastCheckpoint, checkpoint: Checkpoint, sign: Signer) -> bytes:
    """Return the line of a checkpoint that follows ``last``, without a newline; its number is the next one."""
    content: dict[str, Any] = {
        "number": last.number + 1,
        "at": to_microseconds(checkpoint.at),
        "revision": checkpoint.revision,
        "heads": {writer: [head.number, head.hash.hex()] for writer, head in checkpoint.heads.items()},
        "previous": last.hash,
    }
    if checkpoint.void_from is not None:
        content["void_from"] = checkpoint.void_from
    return signed_json.encode_signed(content, _PREFIX, sign).encode()


def find_last(lines: Sequence[bytes]) -> LastCheckpoint | None:
    """Return the last checkpoint among some lines, without verifying its signature; None if there is none."""
    for line in reversed(lines):
        parsed = _parse_line(line)
        if parsed is not None:
            return LastCheckpoint(parsed.content["number"], hashlib.sha256(line).hexdigest())
    return None


def read_lines(
    lines: Iterable[tuple[int, bytes]], check: SignatureCheck, *, may_be_torn: bool = False
) -> tuple[list[Checkpoint], list[CheckpointFault]]:
    """Return the valid checkpoints among all lines, oldest first, and the faulty lines.

    Parameters
    ----------
    lines : iterable of (int, bytes)
        Every line with its position, in their order; empty lines are ignored.
    may_be_torn : bool
        Whether a crash can leave an incomplete line. It is not a fault if the next one follows the previous one, or if
        it is the last and no newline ends it.
    """
    good: list[Checkpoint] = []
    faults: list[CheckpointFault] = []
    previous, number, last_position = _NO_PREVIOUS, 0, 0
    unreadable: int | None = None
    for position, line in lines:
        last_position = position
        if not line:
            continue
        parsed = _parse_line(line)
        if parsed is None and may_be_torn:
            unreadable = position
            continue
        if parsed is None:
            faults.append(CheckpointFault(position, f"line {position} is not a checkpoint"))
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
    if unreadable is not None and unreadable != last_position:
        faults.append(CheckpointFault(unreadable, f"line {unreadable} is not a checkpoint"))
    # The key of a void checkpoint may be lost with the database that had it.
    is_void = _voided(good)
    return good, [fault for fault in faults if fault.unsigned_number is None or not is_void(fault.unsigned_number)]


def read_newest(lines: Iterable[bytes], check: SignatureCheck) -> tuple[list[Checkpoint], list[CheckpointFault]]:
    """Return the checkpoints among the last lines, oldest first, and those not signed by a key of this service."""
    good: list[Checkpoint] = []
    unsigned: list[CheckpointFault] = []
    for line in lines:
        parsed = _parse_line(line)
        if parsed is None:
            continue
        if parsed.is_signed_by(_PREFIX, check):
            good.append(_parse_checkpoint(parsed.content))
        else:
            number = parsed.content["number"]
            sentence = f"the checkpoint {number} is not signed by a key of this service"
            unsigned.append(CheckpointFault(0, sentence, number))
    is_void = _voided(good)
    return good, [fault for fault in unsigned if not is_void(fault.unsigned_number or 0)]


def valid_checkpoints(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return the checkpoints without those that became void when an operator accepted a restored database."""
    is_void = _voided(checkpoints)
    return [checkpoint for checkpoint in checkpoints if not is_void(checkpoint.number)]


def _voided(checkpoints: Iterable[Checkpoint]) -> Callable[[int], bool]:
    spans = [(entry.void_from, entry.number) for entry in checkpoints if entry.void_from is not None]
    return lambda number: any(start <= number < end for start, end in spans)


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
