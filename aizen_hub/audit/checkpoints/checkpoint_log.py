"""The log of checkpoints, which processes append to and read: what is common to all storages where it can be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from aizen_hub.audit.checkpoints.checkpoint import (
    Checkpoint,
    CheckpointFault,
    Head,
    LastCheckpoint,
    encode_checkpoint,
)
from aizen_hub.audit.checkpoints.signed_json import SignatureCheck, Signer


class CheckpointStorage(NamedTuple):
    """A kind of storage, in words for messages that need no login: they name no path and no address.

    Attributes
    ----------
    name : str
        What the log is, after "its".
    setting : str
        The key of ``aizen.yaml`` that names the storage.
    write_remedy, set_back_remedy : str
        What resolves that it cannot be used, and that it ends too early.
    """

    name: str
    setting: str
    write_remedy: str
    set_back_remedy: str


class CheckpointSetBackError(OSError):
    """The log ends before what this process wrote last: it was replaced by an older copy, or cut."""

    def __init__(self, number: int, written: int) -> None:
        super().__init__(f"it ends with the checkpoint {number}, but {written} was written")


class CheckpointLog(ABC):
    """Append-only signed checkpoints, which several processes may write.

    All methods block, and raise OSError where the storage cannot be used.

    Attributes
    ----------
    storage : CheckpointStorage
    location : str
        Path or address, without a secret, for operators.
    """

    storage: CheckpointStorage
    location: str

    def __init__(self) -> None:
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
            The log ends before what this process wrote last.
        OSError
            The log cannot be written: it is gone, or its disk or server. The caller reports either error and retries
            with the next checkpoint.
        """
        last_heads = {} if void_from is not None else self._last_heads
        changed = {writer: head for writer, head in heads.items() if last_heads.get(writer) != head}
        if not changed:
            return False

        def encode(last: LastCheckpoint) -> bytes:
            if last.number < self._last_number:
                raise CheckpointSetBackError(last.number, self._last_number)
            return encode_checkpoint(last, Checkpoint(0, at, revision, changed, void_from), sign)

        self._last_number = self._append_line(encode)
        self._last_heads.update(changed)
        return True

    @abstractmethod
    def read(self, check: SignatureCheck) -> tuple[list[Checkpoint], list[CheckpointFault]]:
        """Return all valid checkpoints, oldest first, and the faulty lines; none where nothing was ever written."""

    @abstractmethod
    def newest(self, check: SignatureCheck) -> tuple[list[Checkpoint], list[CheckpointFault]]:
        """Return the newest checkpoints, oldest first, and those not signed by a key of this service.

        The cost does not depend on the length of the log.
        """

    @abstractmethod
    def is_missing(self) -> bool:
        """Whether there is no checkpoint, as before the first start."""

    def close(self) -> None:  # noqa: B027 - a file is open only while it is used
        """Close connections."""

    @abstractmethod
    def _append_line(self, encode: Callable[[LastCheckpoint], bytes]) -> int:
        """Append the line that ``encode`` makes for the last checkpoint; return the number of the new one.

        No other process may append in between. `_last_number` is 0 until this process has written one.
        """
