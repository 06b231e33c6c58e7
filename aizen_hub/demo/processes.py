"""Processes of the demo: start, supervision, and cleanup of all descendants."""

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
_is_subreaper = threading.Event()


class StartError(RuntimeError):
    """A process ended or did not respond during the start; the message contains the end of its log."""


def become_subreaper() -> None:
    """On Linux, become the parent of orphaned descendants, so that all of them can be found and ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _is_subreaper.set()


def reap_zombies() -> None:
    """Collect the exit status of adopted processes that have ended."""
    if not _is_subreaper.is_set():
        return
    for process in psutil.Process(os.getpid()).children():
        if process.status() == psutil.STATUS_ZOMBIE:
            os.waitpid(process.pid, 0)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


@dataclass
class Processes:
    """The processes of one demo, ended in reverse order of their start.

    Each has its own session, so Ctrl-C reaches only the demo, which stops them one after the other: the hub has to stop
    the user servers first.
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
        """Wait until ``ready`` returns True.

        Raises
        ------
        StartError
            A process ended, or ``seconds`` passed.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise StartError(
                    f"{name} did not respond within {seconds:.0f} s; the end of {self.log}:\n{self.tail()}"
                )
            time.sleep(0.05)

    def check(self) -> None:
        """Raise StartError if a process has ended."""
        for name, process in self.started:
            if process.poll() is not None:
                raise StartError(f"{name} ended with {process.returncode}; the end of {self.log}:\n{self.tail()}")

    def tail(self, lines: int = 25) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def stop(self) -> list[str]:
        """Stop all processes and their descendants; return those that had to be killed."""
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
        for leftover in remaining_processes():
            try:
                killed.append(f"{leftover.pid} {' '.join(leftover.cmdline())[:100]}")
                leftover.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(remaining_processes(), timeout=STOP_SECONDS)
        reap_zombies()
        return killed


def remaining_processes() -> list[psutil.Process]:
    """Return the running descendants of this process."""
    return [
        process
        for process in psutil.Process(os.getpid()).children(recursive=True)
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]
