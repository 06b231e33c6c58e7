"""Where ``keys recover`` writes the new key-encryption key: in place, or elsewhere if that folder cannot be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aizen_hub.problems import Conflict

if TYPE_CHECKING:
    from aizen_hub.tokens.key_encryption import KeyEncryption

_IN_PLACE = "the new key-encryption file is {path}: copy it to every replica, and back it up"
_ELSEWHERE = """\
the new key-encryption file is {path}: put it in place of {configured} for every replica, and back it up
until then the service decides nothing; on Kubernetes put it into the Secret: "A lost key" in docs/operations.md"""


@dataclass(frozen=True, slots=True)
class NewKeyFile:
    """The file for a new key-encryption key.

    Attributes
    ----------
    configured : Path
        What `key_encryption_file` of the settings names. A wrong file there is kept under another name.
    elsewhere : Path or None
        Written instead, where the configured one is on a file system that cannot be written, such as a mounted Secret.
    """

    configured: Path
    elsewhere: Path | None = None

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self.elsewhere or self.configured

    def check(self) -> None:
        """Refuse what could not be written, before anything ends.

        Raises
        ------
        Conflict
            The file exists already, or its folder does not, or cannot be written.
        """
        if self.elsewhere is not None and os.path.lexists(self.elsewhere):
            raise Conflict(f"{self.elsewhere} exists already, and is not overwritten", remedy="choose another name")
        # For root, too, this is false on a read-only file system.
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            where = self.path.parent
            raise Conflict(
                f"no file can be written in {where}" if where.exists() else f"there is no folder {where}",
                remedy="write the new key elsewhere with `--new-file FILE`, and then put it where the service reads it",
            )

    @contextmanager
    def written(self) -> Iterator[KeyEncryption]:
        """Write the file, with mode 0600, and remove it again if the block raises: then all is as before."""
        from aizen_hub.tokens.key_encryption import KeyEncryption

        kept = self._set_aside()
        try:
            yield KeyEncryption.create(self.path)
        except BaseException:  # re-raised, including Ctrl-C; without the commit nothing may use the new key
            self.path.unlink(missing_ok=True)
            if kept is not None:
                kept.rename(self.configured)
            raise

    def _set_aside(self) -> Path | None:
        if self.elsewhere is not None or not os.path.lexists(self.configured):
            return None
        kept = self.configured.with_name(f"{self.configured.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S}")
        self.configured.rename(kept)
        return kept

    def next_step(self) -> str:
        """Return what the operator does with the file."""
        text = _IN_PLACE if self.elsewhere is None else _ELSEWHERE
        return text.format(path=self.path, configured=self.configured)
