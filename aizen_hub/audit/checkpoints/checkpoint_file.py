"""Checkpoints in an append-only file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from aizen_hub.audit.checkpoints.checkpoint import (
    Checkpoint,
    CheckpointFault,
    LastCheckpoint,
    find_last,
    read_lines,
    read_newest,
)
from aizen_hub.audit.checkpoints.checkpoint_log import CheckpointLog, CheckpointStorage
from aizen_hub.audit.checkpoints.signed_json import SignatureCheck

FILE_STORAGE = CheckpointStorage(
    "checkpoint file",
    "checkpoint_file",
    "make sure that the service's account can write to `checkpoint_file` and that its disk is mounted and not full;"
    " decisions resume by themselves",
    "put the newest copy of `checkpoint_file` back, and decisions resume by themselves; if there is none, restart the"
    " service: it goes on after the last line, and nothing proves any more what the lost lines signed",
)
_TAIL_BYTES = 1 << 20
_MAX_NEWEST = 200


class CheckpointFile(CheckpointLog):
    """An append-only file of signed checkpoints, readable for its owner only.

    Parameters
    ----------
    path : Path
        Should be where an attacker who can write to the database cannot write.
    """

    storage = FILE_STORAGE

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def location(self) -> str:  # type: ignore[override]
        return str(self.path)

    def read(self, check: SignatureCheck) -> tuple[list[Checkpoint], list[CheckpointFault]]:
        """Return all valid checkpoints, oldest first, and the faulty lines.

        A missing file has no checkpoints. A line that a crash left incomplete is not a fault if the next one follows
        the previous one.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return [], []
        return read_lines(enumerate(lines, start=1), check, may_be_torn=True)

    def newest(self, check: SignatureCheck) -> tuple[list[Checkpoint], list[CheckpointFault]]:
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read(_TAIL_BYTES).split(b"\n")
        except FileNotFoundError:
            return [], []
        return read_newest(lines[-_MAX_NEWEST:], check)

    def is_missing(self) -> bool:
        return not self.path.exists()

    def _append_line(self, encode: Callable[[LastCheckpoint], bytes]) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        if not self._last_number:
            flags |= os.O_CREAT
        descriptor = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            last, torn = _read_end(descriptor)
            # A line that a crash left incomplete is ended, so that it does not break the next one.
            data = (b"\n" if torn else b"") + encode(last) + b"\n"
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
        return last.number + 1


def _read_end(descriptor: int) -> tuple[LastCheckpoint, bool]:
    size = os.fstat(descriptor).st_size
    start = max(0, size - _TAIL_BYTES)
    data = os.pread(descriptor, size - start, start)
    torn = bool(data) and not data.endswith(b"\n")
    last = find_last(data.split(b"\n"))
    if last is None and size > _TAIL_BYTES:
        raise OSError("the end of the checkpoint file cannot be read")
    return last or LastCheckpoint(), torn
