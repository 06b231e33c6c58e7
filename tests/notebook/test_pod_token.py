"""The token of the pod goes with every request, as it is at that moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.api_models.headers import POD_TOKEN_HEADER
from aizen_hub.notebook import pod_token
from aizen_hub.notebook.client import NotebookClient
from tests.notebook.service_double import HUB_TOKEN, role_token

received: list[tuple[str, str | None]] = []


class Recorder(BaseHTTPRequestHandler):
    """Records the path and the token of the pod; answers as the renewal of a token does."""

    def do_GET(self) -> None:
        received.append((self.path, self.headers.get(POD_TOKEN_HEADER)))
        body = b'{"access_token": "' + role_token(1).encode() + b'", "expires_in": 300}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def url() -> Iterator[str]:
    received.clear()
    with HTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.proves("T-09")
def test_requests_and_renewals_carry_the_newest_token_of_the_pod(url: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    environ = {"AIZEN_URL": url, "JUPYTERHUB_API_TOKEN": HUB_TOKEN, "AIZEN_TOKEN": role_token(0, seconds=1)}
    client = NotebookClient.from_environment(environ | {pod_token.VARIABLE: str(file)})
    file.write_text("a.first.b\n")
    client.get_session()
    file.write_text("a.second.b\n")
    client.get_session()
    file.unlink()
    client.get_session()
    NotebookClient.from_environment(environ | {"AIZEN_TOKEN": role_token()}).get_session()
    assert received == [
        ("/oauth/token", "a.first.b"),
        ("/api/v1/session", "a.first.b"),
        ("/api/v1/session", "a.second.b"),
        ("/api/v1/session", None),
        ("/api/v1/session", None),
    ]


@pytest.mark.parametrize("content", [b"", b" \n", b"a\r\nInjected: b", "a.b.\u00e9".encode()])
def test_what_is_no_token_is_not_sent(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    assert pod_token.read_header(str(file)) == {}


def test_the_service_reads_the_header_that_the_notebook_sends() -> None:
    assert pod_token.HEADER == POD_TOKEN_HEADER
