"""The listener on the loopback address that waits for the browser."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator

import pytest

from aizen_hub.cli.browser_sign_in import _LoopbackServer

STATE = "a-state-of-this-terminal"


@pytest.fixture
def server() -> Iterator[_LoopbackServer]:
    server = _LoopbackServer(STATE)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def visit(server: _LoopbackServer, query: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request("GET", f"/?{query}")
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("query", ["", f"state={STATE}", "code=x", "code=x&state=another", f"code=&state={STATE}"])
def test_only_a_code_with_our_state_is_taken(server: _LoopbackServer, query: str) -> None:
    assert visit(server, query) == 404
    assert not server.answered.is_set()
    assert visit(server, f"code=the-code&state={STATE}") == 200
    assert server.answered.wait(60)
    assert server.code == "the-code"


def test_a_connection_without_a_request_holds_nothing_up(server: _LoopbackServer) -> None:
    """Browsers open connections in advance; the handler reads from one for as long as its timeout."""
    before = server.RequestHandlerClass.timeout
    server.RequestHandlerClass.timeout = 600
    try:
        with socket.create_connection(("127.0.0.1", server.server_port)):
            assert visit(server, f"code=the-code&state={STATE}") == 200
    finally:
        server.RequestHandlerClass.timeout = before
