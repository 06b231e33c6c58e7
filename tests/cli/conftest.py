"""Shared fixtures: a server that records requests, and a probe for the write lock while a password is hashed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aizen_hub.accounts.credentials import passwords
from aizen_hub.cli.main import cli


@dataclass
class RecordingServer:
    """An HTTP server that accepts every request with ``answer``; ``requests`` has method, path and body of each."""

    url: str = ""
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=lambda: {"kind": "message", "message": "done", "data": {}})

    def run(self, *arguments: str) -> Result:
        environ = {"AIZEN_HUB_URL": self.url, "AIZEN_HUB_TOKEN": "a made-up token"}
        return CliRunner().invoke(cli, list(arguments), env=environ, standalone_mode=False)


@pytest.fixture
def recording_server() -> Iterator[RecordingServer]:
    recording_server = RecordingServer()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.removeprefix("/services/aizen/api/v1/")
            recording_server.requests.append((self.command, path, json.loads(body) if body else None))
            answer = json.dumps(recording_server.answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    recording_server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield recording_server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def write_lock_probe(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[bool]]:
    """Record for each hashed password whether the database at ``path`` was free for other writers meanwhile."""
    genuine = passwords._HASHER

    def watch(path: Path) -> list[bool]:
        is_free: list[bool] = []

        class Watched:
            def hash(self, text: str) -> str:
                with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
                    try:
                        other.execute("BEGIN IMMEDIATE")
                    except sqlite3.OperationalError:
                        is_free.append(False)
                    else:
                        is_free.append(True)
                        other.execute("ROLLBACK")
                return genuine.hash(text)

        monkeypatch.setattr(passwords, "_HASHER", Watched())
        return is_free

    return watch
