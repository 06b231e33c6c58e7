"""Checkpoints in a table of PostgreSQL, which all replicas reach and none of them can change."""

from __future__ import annotations

from collections.abc import Callable

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
from aizen_hub.store.checkpoint_rows import CheckpointRows, CheckpointRowsError

TABLE_STORAGE = CheckpointStorage(
    "checkpoint database",
    "checkpoint_database",
    "make sure that the server of `checkpoint_database` runs, and that its role may read and insert rows of"
    " `aizen_checkpoints.checkpoints`: `aizen-hub doctor` says which; decisions resume by themselves",
    "put the newest rows of `aizen_checkpoints.checkpoints` back from a backup, and decisions resume by themselves; if"
    " there is none, restart the service: it goes on after the last row, and nothing proves any more what the lost rows"
    " signed",
)
_MAX_NEWEST = 200
_ATTEMPTS = 8
"""Of one checkpoint: each fails only where another process wrote one at the same moment."""


class CheckpointTable(CheckpointLog):
    """An append-only table of signed checkpoints, written with a database role of its own.

    Parameters
    ----------
    rows : CheckpointRows
        Its role should be able to insert and select only, so that neither the service nor the owner of the audit can
        change a checkpoint.
    """

    storage = TABLE_STORAGE

    def __init__(self, rows: CheckpointRows) -> None:
        super().__init__()
        self.rows = rows
        self.location = rows.location

    def read(self, check: SignatureCheck) -> tuple[list[Checkpoint], list[CheckpointFault]]:
        return read_lines(self.rows.read_all(), check)

    def newest(self, check: SignatureCheck) -> tuple[list[Checkpoint], list[CheckpointFault]]:
        return read_newest([line for _, line in self.rows.read_newest(_MAX_NEWEST)], check)

    def is_missing(self) -> bool:
        return not self.rows.read_newest(1)

    def close(self) -> None:
        self.rows.close()

    def _append_line(self, encode: Callable[[LastCheckpoint], bytes]) -> int:
        for _ in range(_ATTEMPTS):
            newest = self.rows.read_newest(_MAX_NEWEST)
            last = find_last([line for _, line in newest])
            if last is None and len(newest) == _MAX_NEWEST:
                raise CheckpointRowsError("its last rows are not checkpoints")
            last = last or LastCheckpoint()
            position = newest[-1][0] if newest else 0
            if self.rows.insert(position + 1, encode(last)):
                return last.number + 1
        raise CheckpointRowsError("other processes write to it all the time")
