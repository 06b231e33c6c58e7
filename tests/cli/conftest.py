"""A receiver that stands where the service would, and keeps what the command line sends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aizen_hub.cli.main import cli


@dataclass
class Counter:
    """Where requests arrive; ``asked`` holds method, path and body of each."""

    url: str = ""
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def run(self, *arguments: str) -> Result:
        environ = {"AIZEN_HUB_URL": self.url, "AIZEN_HUB_TOKEN": "a made-up token"}
        return CliRunner().invoke(cli, list(arguments), env=environ, standalone_mode=False)


@pytest.fixture
def counter() -> Iterator[Counter]:
    counter = Counter()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.removeprefix("/services/aizen/api/v1/")
            counter.asked.append((self.command, path, json.loads(body) if body else None))
            answer = json.dumps({"kind": "message", "message": "done", "data": {}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    counter.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield counter
    server.shutdown()
    server.server_close()
    thread.join()
