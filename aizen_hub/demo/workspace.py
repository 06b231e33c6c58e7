"""The demo's folder: everything it writes lies in there, and one demo at a time uses it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

BESIDE = 9  # so many demos may run beside each other in one folder


class FolderTaken(RuntimeError):
    """All the folders are in use by demos that run now."""


@dataclass
class DemoFolder:
    """One folder, locked for as long as the demo runs.

    Attributes
    ----------
    path : Path
        Absolute; readable by its owner only, since keys and homes lie in it.
    lock : file
        Held open: the lock ends with the process, however that ends.
    """

    path: Path
    lock: IO[str] = field(repr=False)

    @classmethod
    def claim(cls, base: Path) -> DemoFolder:
        """Take ``base``, or the first free folder ``base/beside-N`` where other demos run already.

        Raises
        ------
        FolderTaken
            Ten demos run here.
        """
        base = base.absolute()
        for path in (base, *(base / f"beside-{number}" for number in range(2, BESIDE + 2))):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (path / "demo.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            path.chmod(0o700)
            return cls(path, lock)
        raise FolderTaken(f"{BESIDE + 1} demos run in {base} already; end one with Ctrl-C")

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
    def seeded(self) -> Path:
        """Written last, when the accounts are there; without it the folder's data is of no use."""
        return self.path / "accounts-are-ready"

    def empty(self) -> None:
        """Remove all data but the lock, and the folders of demos that run beside this one."""
        for one in self.path.iterdir():
            if one.name == "demo.lock" or one.name.startswith(("beside-", "check-")):
                continue
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one)
            else:
                one.unlink()

    def release(self) -> None:
        self.lock.close()

    def remove(self) -> None:
        shutil.rmtree(self.path)
        self.release()


def free_ports(count: int, preferred: Sequence[int] = ()) -> list[int]:
    """Find ports that nobody listens on at the loopback address; the first ones as preferred, where those are free.

    Another process may take one before it is used; whoever binds it then says so and the start fails.
    """
    held: list[socket.socket] = []
    try:
        for number in range(count):
            wanted = preferred[number] if number < len(preferred) else 0
            one = socket.socket()
            held.append(one)
            try:
                one.bind(("127.0.0.1", wanted))
            except OSError:
                one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on (R3)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
