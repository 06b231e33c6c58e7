"""The listener on the loopback address that waits for the browser."""

from __future__ import annotations

import http.client
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator

import pytest

from aizen_hub.cli.browser_sign_in import _LoopbackServer, can_open_browser

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


@pytest.mark.parametrize(
    ("platform", "environ", "can"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"SSH_CONNECTION": "x", "DISPLAY": "localhost:10.0"}, True),
        ("darwin", {}, True),
        ("darwin", {"SSH_CONNECTION": "x"}, False),
    ],
)
def test_a_browser_for_terminals_is_not_opened(
    platform: str, environ: dict[str, str], can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python offers one where it finds no other, as in a terminal of JupyterLab."""
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("w3m"))
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("SSH_CONNECTION", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert can_open_browser() is can
