"""A service as a process that a test may kill, stop and start again; it always ends by its pid."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from aizen_hub.store.failpoints import VARIABLE
from tests.fixtures.forked_process import ForkedProcess, start_forked

ROOT = Path(__file__).parents[2]
MODULE = ("aizen_hub.service",)
START_SECONDS = 40.0
OUTAGES = frozenset({"OperationalError", "InterfaceError", "InternalError", "TimeoutError"})
"""Failures of what the service stands on, by their classes in Python; all others are its own."""
_FAILURE = re.compile(r'^aizen_failures_total\{kind="([^"]*)",route="([^"]*)"\} ', re.MULTILINE)


class Service:
    """One replica.

    Parameters
    ----------
    config : Path
        Its ``aizen.yaml``.
    port : int
        Where it listens, as its configuration says.
    module : sequence of str
        What Python runs, with its arguments before the configuration.
    """

    def __init__(self, config: Path, port: int, module: Sequence[str] = MODULE) -> None:
        self.config, self.port, self.module = config, port, module
        self.process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self.log = config.with_suffix(".log")
        self._failures: set[tuple[str, str]] = set()

    def start(self, *, kill_at: str | None = None, wait: bool = True) -> None:
        """Start it, and wait until it is ready.

        Raises
        ------
        RuntimeError
            It ended or did not become ready; says what it wrote last.
        """
        given = {name: value for name, value in os.environ.items() if not name.startswith("AIZEN_")}
        given["AIZEN_LOG_LEVEL"] = "WARNING"
        # It is started dozens of times: without its bytecode kept, each start would compile it again.
        given.pop("PYTHONDONTWRITEBYTECODE", None)
        if kill_at is not None:
            given[VARIABLE] = kill_at
        if kill_at is None and self.module == MODULE:
            self.process = start_forked(*MODULE, [str(self.config)], ROOT, given, self.log)
        else:
            self.process = self._start_process(given)
        if wait:
            self.wait_ready()

    def _start_process(self, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *self.module, str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env=dict(environ),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.alive:
                break
            if self.ready():
                return
            time.sleep(0.02)
        last = self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise RuntimeError(f"the service did not become ready:\n{last}")

    def ready(self) -> bool:
        return self.status("/readyz") == http.client.OK

    def status(self, path: str, timeout: float = 8) -> int | None:
        """Return the status of a GET, None if there is no answer."""
        response = self._get(path, timeout)
        return None if response is None else response[0]

    def _get(self, path: str, timeout: float) -> tuple[int, str] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def record_failures(self) -> None:
        """Take down what it counts as unforeseen; what a process counted is gone with it."""
        page = self._get("/metrics", 1) if self.alive and not self.is_stopped() else None
        if page is not None:
            self._failures.update((kind, route) for kind, route in _FAILURE.findall(page[1]))

    def unexpected_failures(self) -> list[str]:
        """Say which failures of its own it had, by what it counted and by its log, which survives every kill.

        Outages of what it stands on are not among them.
        """
        self.record_failures()
        failures = {(kind, route) for kind, route in self._failures}
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # cut short by a kill
            kind = entry.get("class") or entry.get("exception")
            if entry["level"] in ("error", "critical") and kind is not None:
                failures.add((kind, entry.get("route") or entry["event"]))
        return [f"{kind} at {where}" for kind, where in sorted(failures) if kind not in OUTAGES]

    def wait_dead(self, seconds: float = 20) -> bool:
        """Wait until it has ended by itself, as at a kill point."""
        assert self.process is not None
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def send_signal(self, signal_number: int) -> None:
        assert self.process is not None
        self.process.send_signal(signal_number)

    def kill(self) -> None:
        self.record_failures()
        if self.alive:
            self.send_signal(signal.SIGKILL)
            self.wait_dead()

    def stop(self, seconds: float = 15) -> None:
        """End it as a supervisor does: asked first, and not after so many seconds."""
        if self.alive:
            self.send_signal(signal.SIGCONT)
            self.send_signal(signal.SIGTERM)
            if not self.wait_dead(seconds):
                self.kill()

    def resident_megabytes(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1.024e-3

    def is_stopped(self) -> bool:
        """Whether it stands still by SIGSTOP."""
        return Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"
