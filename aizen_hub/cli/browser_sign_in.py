"""Sign-in of the command line in the browser of the same person: authorization code with PKCE (RFC 8252, RFC 7636)."""

from __future__ import annotations

import hmac
import os
import secrets
import sys
import threading
import webbrowser
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import click

from aizen_hub.api_models.command_line import CommandLineToken, challenge_of, check_word
from aizen_hub.cli.output import show_message
from aizen_hub.client.hub_address_client import HubAddressClient
from aizen_hub.client.responses import parse_response
from aizen_hub.problems import NotAuthenticated

WAIT_SECONDS = 600
"""As long as the service accepts the answer of the hub."""
_SECONDS = 20.0
_PAGE = b"""<!doctype html><meta charset=utf-8><title>Command line</title>
<p>The command line has what it needs. You can close this page and go back to the terminal."""


@dataclass(slots=True)
class PendingSignIn:
    """A sign-in that was started in this terminal."""

    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def challenge(self) -> str:
        return challenge_of(self.verifier)

    def page(self, panel: str, port: int | None) -> str:
        """Return the address of the page to open."""
        query = {"challenge": self.challenge, "state": self.state} | ({} if port is None else {"port": str(port)})
        return f"{panel}/command-line?{urlencode(query)}"


def sign_in(panel: str, *, open_browser: bool) -> CommandLineToken:
    """Sign in through the panel at an address.

    Raises
    ------
    Problem
    click.Abort
        The person gave up.
    """
    pending = PendingSignIn()
    code = _receive_code(panel, pending) if open_browser else _ask_for_code(panel, pending)
    client = HubAddressClient(panel, deadline=_SECONDS)
    body = {"code": code, "verifier": pending.verifier}
    return parse_response(CommandLineToken, client.post("/api/v1/command-line/token", body))


def can_open_browser() -> bool:
    """Return whether a browser of this machine would be in front of the person."""
    has_display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if not has_display and (os.environ.get("SSH_CONNECTION") or sys.platform == "linux"):
        return False  # at most a browser for terminals, which would take this one
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _ask_for_code(panel: str, pending: PendingSignIn) -> str:
    show_message(f"Open this address in a browser, on any machine:\n\n  {pending.page(panel, None)}\n")
    show_message(f"It shows the word {check_word(pending.challenge)}, and after the sign-in a code.")
    return str(click.prompt("Code", err=True)).strip()


def _receive_code(panel: str, pending: PendingSignIn) -> str:
    server = _LoopbackServer(pending.state)
    # It ends with the process at the latest.
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    try:
        page = pending.page(panel, server.server_port)
        show_message(
            f"Your browser shows the word {check_word(pending.challenge)}. If it does not open, open:\n\n  {page}\n"
        )
        webbrowser.open(page)
        if not server.answered.wait(WAIT_SECONDS):
            raise NotAuthenticated(
                "no answer from the browser within ten minutes", remedy="run `aizen-hub login --no-browser`"
            )
    finally:
        server.shutdown()
        server.server_close()
    return server.code


class _LoopbackServer(ThreadingHTTPServer):
    """Waits for the one request of the browser that carries our state; browsers also open connections without one."""

    def __init__(self, state: str) -> None:
        super().__init__(("127.0.0.1", 0), _AnswerHandler)
        self.state, self.code, self.answered = state, "", threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        show_message(f"a request of the browser could not be read: {sys.exc_info()[1]}")


class _AnswerHandler(BaseHTTPRequestHandler):
    server: _LoopbackServer
    timeout = 10

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        code, state = query.get("code", [""])[0], query.get("state", [""])[0]
        is_ours = bool(code) and hmac.compare_digest(state.encode(), self.server.state.encode())
        self.send_response(200 if is_ours else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        if is_ours:
            self.wfile.write(_PAGE)
            self.server.code = code
            self.server.answered.set()

    def log_message(self, *args: object) -> None:
        """Print nothing: the line has the code."""
