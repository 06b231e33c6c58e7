"""A service that takes long to start: its port is open, it says so, and a hub that starts it goes on."""

from __future__ import annotations

import errno
import http.client
import json
import os
import subprocess
import time
from contextlib import closing
from http import HTTPStatus
from pathlib import Path

import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError
from aizen_hub.service.startup_listener import HOLD_SECONDS
from tests.fixtures.hub import running_hub
from tests.fixtures.network.ports import free_port
from tests.service.test_server import START_SECONDS, ask, start, started, wait_ready, write_settings  # noqa: F401

MANAGED = {"AIZEN_INSTANCE": "slow"}


class SlowOverlay:
    """A file of the configuration that a service reads when the port is open, and that is complete only later."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "overlay.yaml"
        os.mkfifo(self.path, 0o600)

    def complete(self, text: bytes = b"{}\n") -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
                break
            except OSError as error:  # no process reads it yet
                if error.errno != errno.ENXIO or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        os.write(descriptor, text)
        os.close(descriptor)


def wait_answering(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            ask(port, "/livez")
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the port did not open")


def wait_for_first_page(connection: http.client.HTTPConnection, asked: float) -> http.client.HTTPResponse:
    """Return the response to the first page, asked for again where a start outlasts how long it is held back."""
    deadline = asked + START_SECONDS
    while (response := connection.getresponse()).status == HTTPStatus.OK:
        assert b"The access service is starting." in response.read()
        assert asked + HOLD_SECONDS - 1 < time.monotonic() < deadline
        connection.close()
        asked = time.monotonic()
        connection.request("GET", "/services/aizen/")
    return response


@pytest.mark.proves("R7")
def test_a_starting_service_is_alive_and_refuses_everything(
    tmp_path: Path,
    started: list[subprocess.Popen[str]],  # noqa: F811
) -> None:
    overlay, port = SlowOverlay(tmp_path), free_port()
    process = start(started, write_settings(tmp_path, port, overlays=["overlay.yaml"]), **MANAGED)
    wait_answering(port)
    status, headers, body = ask(port, "/livez")
    assert (status, json.loads(body)) == (HTTPStatus.OK, {"status": "alive", "instance": "slow"})
    for path in ("/readyz", "/api/v1/me", "/metrics", "/nowhere", "/services/aizen/api/v1/me"):
        status, headers, body = ask(port, path)
        problem = json.loads(body)
        assert status == HTTPStatus.SERVICE_UNAVAILABLE, path
        assert (problem["starting"], problem["remedy"]) == (True, "try again in a moment"), path
        assert (headers["Retry-After"], headers["X-Aizen-Instance"]) == ("1", "slow"), path
    for _ in range(20):  # a body that arrives after its head
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with closing(connection):
            connection.request("POST", "/api/v1/commands", b"x" * 5000)
            assert connection.getresponse().status == HTTPStatus.SERVICE_UNAVAILABLE
    status, headers, body = ask(port, "/services/aizen/people/rita")
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "text/html" in headers["Content-Type"]
    assert b"The access service is starting." in body
    assert b"Try again in a moment." in body
    assert ask(port, "/services/aizen/static/panel.css")[0] == HTTPStatus.OK
    assert ask(port, "/services/aizen/static/../aizen.yaml")[0] == HTTPStatus.NOT_FOUND
    overlay.complete()
    assert wait_ready(port)["X-Aizen-Instance"] == "slow"
    assert ask(port, "/api/v1/me")[0] == HTTPStatus.UNAUTHORIZED
    assert process.poll() is None


@pytest.mark.parametrize("overlay_text", [b"{}\n", b"not a catalog"])
def test_the_page_that_a_hub_requests_is_held_back(
    tmp_path: Path,
    started: list[subprocess.Popen[str]],  # noqa: F811
    overlay_text: bytes,
) -> None:
    """A start that fails soon is one that never answered, so that the hub says why and ends."""
    overlay, port = SlowOverlay(tmp_path), free_port()
    process = start(started, write_settings(tmp_path, port, overlays=["overlay.yaml"]), **MANAGED)
    wait_answering(port)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    asked = time.monotonic()
    connection.request("GET", "/services/aizen/")
    overlay.complete(overlay_text)
    with closing(connection):
        if overlay_text == b"{}\n":
            response = wait_for_first_page(connection, asked)
            assert (response.status, response.headers["Location"]) == (307, "/services/aizen/")
            wait_ready(port)
        else:
            with pytest.raises(ConnectionError):
                wait_for_first_page(connection, asked)
            assert process.wait(timeout=START_SECONDS) == 1
            assert process.stderr is not None
            assert "overlay.yaml" in process.stderr.read().splitlines()[-1]


def test_no_connection_is_lost_when_it_has_started(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:  # noqa: F811
    """A client that connected while the service started sends its request only when it has."""
    overlay, port = SlowOverlay(tmp_path), free_port()
    start(started, write_settings(tmp_path, port, overlays=["overlay.yaml"]), **MANAGED)
    wait_answering(port)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    overlay.complete()
    wait_ready(port)
    with closing(connection):
        connection.request("GET", "/livez")
        assert connection.getresponse().status == HTTPStatus.OK


@pytest.mark.slow
@pytest.mark.proves("R7", "R79")
def test_a_service_that_starts_slowly_does_not_end_the_hub(tmp_path: Path) -> None:
    with running_hub(tmp_path, accounts=("ada",)) as hub:
        hub.login("ada")
        hub.stop()
        overlay = SlowOverlay(tmp_path)
        config = tmp_path / "aizen.yaml"
        config.write_text(config.read_text() + "overlays: [overlay.yaml]\n")
        (tmp_path / "hub.log").unlink()
        hub.restart()  # fails if the hub ends

        page = Browser(hub.url).get("/services/aizen/")
        assert page.status == HTTPStatus.OK
        assert "The access service is starting." in page.words
        with pytest.raises(LoginRejectedError, match="is starting; try again in a moment"):
            hub.login("ada")
        service = hub.service_process()
        overlay.complete()
        wait_ready(int(hub.service_url.rpartition(":")[2]))
        assert hub.login("ada").get("/services/aizen/").status == HTTPStatus.OK
        assert hub.service_process().pid == service.pid
