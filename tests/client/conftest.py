"""A real HTTP server that answers as it is told: what honest and broken services send."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Answering:
    """What is answered to every request, and what was asked.

    Attributes
    ----------
    stall : threading.Event
        Answers wait for it; set at first.
    raw : bytes
        Sent instead of an answer, where not empty.
    """

    url: str = ""
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    raw: bytes = b""
    asked: list[dict[str, Any]] = field(default_factory=list)
    stall: threading.Event = field(default_factory=threading.Event)

    def say(self, status: int, document: Any) -> None:
        self.status, self.body = status, json.dumps(document).encode()


@pytest.fixture
def server() -> Iterator[Answering]:
    told = Answering()
    told.stall.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.asked.append({"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body})
            told.stall.wait(10)
            if told.raw:
                self.wfile.write(told.raw)
                self.close_connection = True
                return
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        do_GET = do_POST = do_DELETE = do_PUT = answer

        def log_message(self, *args: object) -> None:
            """Nothing: the tests look at ``asked``."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        told.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield told
        told.stall.set()
        running.shutdown()
        thread.join()
