"""Folder with all files of a demo, locked by one demo at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

MAX_PARALLEL_DEMOS = 9  # further demos that can use one base folder at the same time


class WorkspaceInUseError(RuntimeError):
    """All folders are in use by running demos."""


@dataclass
class Workspace:
    """A folder, locked while the demo runs.

    Attributes
    ----------
    path : Path
        Absolute path; readable by its owner only, since it contains keys and homes.
    lock : file
        Open file; the lock ends with the process.
    """

    path: Path
    lock: IO[str] = field(repr=False)

    @classmethod
    def claim(cls, base: Path) -> Workspace:
        """Lock ``base``, or the first free folder ``base/parallel-N`` if other demos are running.

        Raises
        ------
        WorkspaceInUseError
            All folders are in use.
        """
        base = base.absolute()
        for path in (base, *(base / f"parallel-{index}" for index in range(2, MAX_PARALLEL_DEMOS + 2))):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (path / "demo.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            path.chmod(0o700)
            return cls(path, lock)
        raise WorkspaceInUseError(f"{MAX_PARALLEL_DEMOS + 1} demos are already running in {base}; stop one with Ctrl-C")

    @property
    def config(self) -> Path:
        return self.path / "aizen.yaml"

    @property
    def hub_config(self) -> Path:
        return self.path / "jupyterhub_config.py"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def homes(self) -> Path:
        return self.path / "homes"

    @property
    def core(self) -> Path:
        return self.path / "core"

    @property
    def log(self) -> Path:
        return self.path / "demo.log"

    @property
    def seeded_marker(self) -> Path:
        """Marker file, written after the accounts; without it the data is incomplete."""
        return self.path / "accounts-are-ready"

    def empty(self) -> None:
        """Delete all data except the lock and the folders of other demos."""
        for entry in self.path.iterdir():
            if entry.name == "demo.lock" or entry.name.startswith(("parallel-", "check-")):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def release(self) -> None:
        self.lock.close()

    def remove(self) -> None:
        shutil.rmtree(self.path)
        self.release()


def free_ports(count: int, preferred: Sequence[int] = ()) -> list[int]:
    """Return free ports of the loopback address, the first ones as preferred if those are free.

    Another process may bind one of them before it is used, in which case the start fails.
    """
    listeners: list[socket.socket] = []
    try:
        for index in range(count):
            port = preferred[index] if index < len(preferred) else 0
            listener = socket.socket()
            listeners.append(listener)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its creation on (R3)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
