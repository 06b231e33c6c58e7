"""How the command line finds a service that has another host than the hub."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from aizen_hub.client.errors import InvalidResponse
from aizen_hub.client.hub_address_client import HubAddressClient

HUB, SERVICE = "hub.localhost", "aizen--service.hub.localhost"
Seen = list[tuple[str, str, str, str | None]]


@contextmanager
def hub(location: str, seen: Seen, *, service: str = SERVICE) -> Iterator[int]:
    """A proxy with a hub that redirects to ``location``, and the service at its own host."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            host = self.headers["Host"].partition(":")[0]
            seen.append((self.command, host, self.path, self.headers["Authorization"]))
            length = int(self.headers.get("Content-Length", 0))
            self.rfile.read(length)
            if host == service:
                self._send(200, b'{"user": "ann"}', ("X-Aizen-Instance", "i"), ("Content-Type", "application/json"))
            elif self.command != "GET":
                self._send(405, b"<html>")
            elif self.path.startswith("/hub/"):
                self._send(307, b"", ("Location", location.replace("PORT", str(port)) + self.path.removeprefix("/hub")))
            else:
                self._send(302, b"", ("Location", f"http://{HUB}:{port}/hub{self.path}"))

        do_GET = do_POST = answer

        def _send(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_service_is_found_below_the_host_of_the_hub(method: str) -> None:
    seen: Seen = []
    with hub(f"http://{SERVICE}:PORT", seen) as port:
        client = HubAddressClient(f"http://{HUB}:{port}/services/aizen", "token t")
        for _ in range(2):
            assert client.request(method, "/api/v1/me", None if method == "GET" else {}) == {"user": "ann"}
    assert [request for request in seen if request[1] == SERVICE and request[3]] == [
        (method, SERVICE, "/services/aizen/api/v1/me", "token t")
    ] * 2
    assert len([request for request in seen if request[1] == HUB]) == 3, "it is asked for once"
    assert [request[3] for request in seen if request[0] == "GET" and request[2].endswith("/aizen/")] == [None] * 3


@pytest.mark.proves("T-34")
@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example:PORT",
        "http://hub.localhost.evil.localhost:PORT",
        "http://xhub.localhost:PORT",
        f"https://{SERVICE}:PORT",
        f"http://{SERVICE}:1",
        f"http://{SERVICE}:PORT/user/eve",
        f"http://{HUB}:PORT/hub",
    ],
)
def test_a_credential_goes_to_no_other_host(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.create_connection

    def refuse(address: tuple[str, int], *args: object, **more: object) -> socket.socket:
        assert address[0] == "127.0.0.1", address
        return connect(address, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_connection", refuse)
    seen: Seen = []
    with hub(location, seen) as port:
        client = HubAddressClient(f"http://{HUB}:{port}/services/aizen", "token t")
        with pytest.raises(InvalidResponse, match="redirect"):
            client.get("/api/v1/me")
    assert {request[1] for request in seen if request[3]} == {HUB}


@pytest.mark.proves("T-34")
def test_an_address_that_was_not_asked_is_not_used() -> None:
    seen: Seen = []
    # This host redirects to itself, without end.
    with hub("http://other.hub.localhost:PORT/hub", seen) as port:
        client = HubAddressClient(f"http://{HUB}:{port}/hub/aizen", "token t")
        with pytest.raises(InvalidResponse, match="redirect"):
            client.get("/api/v1/me")
    assert {request[1] for request in seen if request[3]} == {HUB}
