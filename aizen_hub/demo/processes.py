"""Starting the demo's processes, and leaving none behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
STOP_SECONDS = 15.0
_adopted = threading.Event()


class StartFailed(RuntimeError):
    """A process ended, or did not answer, before the demo was up; the message holds the end of its log."""


def adopt_orphans() -> None:
    """On Linux, make grandchildren whose parent dies ours, so that the last one can be found and ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _adopted.set()


def bury() -> None:
    """Take the exit status of adopted processes that have ended, which nobody else will do."""
    if not _adopted.is_set():
        return
    for one in psutil.Process(os.getpid()).children():
        if one.status() == psutil.STATUS_ZOMBIE:
            os.waitpid(one.pid, 0)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


@dataclass
class Processes:
    """The processes of one demo, ended in reverse order of their start.

    Each gets a session of its own: Ctrl-C reaches only the demo, which then ends them one after the other, so that the
    hub can stop the servers of its users first.
    """

    log: Path
    started: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> None:
        with self.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - fixed programs, no text from users
                command,
                cwd=cwd,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self.started.append((name, process))

    def wait(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until ``ready`` says so.

        Raises
        ------
        StartFailed
            A process ended meanwhile, or ``seconds`` passed.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise StartFailed(f"{name} did not answer in {seconds:.0f} s; the end of {self.log}:\n{self.tail()}")
            time.sleep(0.05)

    def check(self) -> None:
        """Raise StartFailed if one of them has ended."""
        for name, process in self.started:
            if process.poll() is not None:
                raise StartFailed(f"{name} ended with {process.returncode}; the end of {self.log}:\n{self.tail()}")

    def tail(self, lines: int = 25) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def stop(self) -> list[str]:
        """End all of them and everything they started; return what had to be killed."""
        for _, process in reversed(self.started):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.started.clear()
        killed = []
        for one in left_over():
            try:
                killed.append(f"{one.pid} {' '.join(one.cmdline())[:100]}")
                one.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left_over(), timeout=STOP_SECONDS)
        bury()
        return killed


def left_over() -> list[psutil.Process]:
    """The living descendants of this process."""
    return [
        one
        for one in psutil.Process(os.getpid()).children(recursive=True)
        if one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    ]
