"""Servers that a benchmark starts, each a process of its own on a free port, ended by its pid."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fixtures.network.ports import free_port

START_SECONDS = 60.0


@dataclass(frozen=True)
class Running:
    host: str
    port: int
    pid: int
    seconds_to_start: float

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def cpu_seconds(self) -> float:
        """Processor time that the process has used so far, in user and system mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_megabytes(self) -> float:
        """The most memory that the process has had, in MB (10^6 bytes)."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1.024e-3


@contextmanager
def server(
    command: list[str],
    port: int,
    ready: str,
    log: Path,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Start a server and wait until ``ready`` answers 200; its whole process group ends with the block.

    Raises
    ------
    RuntimeError
        It ended, or did not answer in time; says what it wrote last.
    """
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True,
            env={**os.environ, **(environ or {})},
        )  # fmt: skip
    try:
        _wait(process, f"http://127.0.0.1:{port}{ready}", log)
        yield Running("127.0.0.1", port, process.pid, time.perf_counter() - started)
    finally:
        _end(process)


def bare(log: Path) -> Any:
    """The yardstick: a Tornado handler that reads JSON, answers JSON and does nothing else."""
    port = free_port()
    return server([sys.executable, "-m", "tests.benchmarks.bare_tornado", str(port)], port, "/", log)


def hub_backed(log: Path, hub: Running) -> Any:
    """A service that asks the hub at each request whose token it received, as services without own tokens do."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.hub_backed_service", str(port), f"{hub.url}/hub/api"]
    return server(command, port, "/", log)


@contextmanager
def hub(folder: Path) -> Iterator[tuple[Running, str]]:
    """A real JupyterHub on SQLite; yields it, reached past its proxy, and a user's token."""
    folder.mkdir()
    port, proxy_port, proxy_api = free_port(), free_port(), free_port()
    admin = secrets.token_hex(32)
    config = folder / "jupyterhub_config.py"
    config.write_text(
        f"""
import sys
c.JupyterHub.bind_url = "http://127.0.0.1:{proxy_port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_api}"
c.ConfigurableHTTPProxy.command = [sys.executable, "-c", "from configurable_http_proxy.cli import main; main()"]
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.db_url = "sqlite:///{folder / "hub.sqlite"}"
c.JupyterHub.cookie_secret_file = "{folder / "cookie"}"
c.ConfigurableHTTPProxy.pid_file = "{folder / "proxy.pid"}"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{{"name": "bench", "api_token": "{admin}"}}]
c.JupyterHub.load_roles = [{{"name": "bench", "scopes": ["admin:users", "tokens"], "services": ["bench"]}}]
c.Application.log_level = "WARN"
""",
        encoding="utf-8",
    )
    config.chmod(0o600)
    command = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
    with server(command, port, "/hub/health", folder / "log", cwd=folder) as running:
        post_json(f"{running.url}/hub/api/users/alice", {"Authorization": f"token {admin}"}, {})
        token = post_json(f"{running.url}/hub/api/users/alice/tokens", {"Authorization": f"token {admin}"}, {})["token"]
        yield running, token


def post_json(url: str, headers: Mapping[str, str], body: Any) -> Any:
    """Send one POST with a JSON body and return the JSON answer."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {**headers, "Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    last = log.read_text(encoding="utf-8", errors="replace")[-3000:]
    raise RuntimeError(f"{url} did not answer:\n{last}")


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            continue
        # The leader may be gone while a child of its group still ends.
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
    process.wait(5)
