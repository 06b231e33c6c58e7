"""A fake service: a real HTTP server with configurable responses."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class FakeService:
    """The response to every request, and the received requests.

    Attributes
    ----------
    release : threading.Event
        Responses wait for it; initially set.
    raw : bytes
        Sent instead of a response, where not empty.
    losses : list of bytes
        Each is sent instead of one response, before all others: nothing, or what a load balancer says.
    """

    url: str = ""
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    raw: bytes = b""
    losses: list[bytes] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def respond_with(self, status: int, document: Any) -> None:
        self.status, self.body = status, json.dumps(document).encode()


@pytest.fixture
def server() -> Iterator[FakeService]:
    fake = FakeService()
    fake.release.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.requests.append(
                {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body}
            )
            fake.release.wait(60)
            if fake.losses:
                self.wfile.write(fake.losses.pop(0))
                self.close_connection = True
                return
            if fake.raw:
                self.wfile.write(fake.raw)
                self.close_connection = True
                return
            self.send_response(fake.status)
            for name, value in fake.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(fake.body)))
            self.end_headers()
            self.wfile.write(fake.body)

        do_GET = do_POST = do_DELETE = do_PUT = answer

        def log_message(self, *args: object) -> None:
            """Do nothing: the tests read ``requests``."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exception(), ConnectionError):  # some clients here end a connection early
                super().handle_error(request, client_address)

    with Server(("127.0.0.1", 0), Handler) as running:
        fake.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield fake
        fake.release.set()
        running.shutdown()
        thread.join()
