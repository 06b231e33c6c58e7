"""The checks of the running hub, against answers that a real one cannot be made to give.

`tests/e2e/test_separate_service.py` has the answer of a real hub.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from aizen_hub.cli.doctor.hub_server import API_URL_VARIABLE, check_hub_server
from aizen_hub.diagnosis.check_result import CheckResult
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.hub_settings import HubSettings
from aizen_hub.secret_files import read_or_create_secret
from aizen_hub.settings import Settings

SERVICE = {"kind": "service", "name": "aizen", "admin": False, "scopes": []}


@contextmanager
def answering_hub(status: int, model: Any, ahead: timedelta = timedelta()) -> Iterator[str]:
    """Answer every request alike, with a clock that is ahead; yields the address of the API."""
    body = json.dumps(model).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status if self.path == "/hub/api/user" else 404)
            self.send_header("Date", format_datetime(datetime.now(UTC) + ahead, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hub/api"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def examine(folder: Path, api_url: str | None, *, token: bool = True) -> list[CheckResult]:
    hub = None if api_url is None else HubSettings(url="https://hub.example.org", api_url=api_url)
    settings = Settings(data_dir=folder / "data", hub=hub)
    settings.data_dir.mkdir(mode=0o700, exist_ok=True)
    if token:
        read_or_create_secret(settings.api_token_path)
    return list(check_hub_server(Installation(folder / "aizen.yaml", settings, folder / "jupyterhub_config.py")))


@pytest.mark.proves("R135")
@pytest.mark.parametrize(
    ("status", "model", "ahead", "check", "level", "says"),
    [
        (200, SERVICE, 3600, "hub-clock", "fail", "s off the hub's"),
        (200, SERVICE, -3600, "hub-clock", "fail", "off the hub's"),
        (200, {**SERVICE, "scopes": ["list:users", "tokens"]}, 0, "hub-scopes", "warn", "list:users, tokens"),
        (200, {**SERVICE, "kind": "user"}, 0, "hub-scopes", "fail", "belongs to a user"),
        (403, {"status": 403, "message": None}, 0, "hub-token", "fail", "does not know the token"),
        (404, {"status": 404}, 0, "hub-token", "fail", "is not the hub's API"),
    ],
)
def test_findings(tmp_path: Path, status: int, model: Any, ahead: int, check: str, level: str, says: str) -> None:
    with answering_hub(status, model, timedelta(seconds=ahead)) as url:
        (found,) = [result for result in examine(tmp_path, url) if result.level != "ok"]
    assert (found.check, found.level) == (check, level)
    assert says in found.message
    assert found.where
    assert found.remedy
    assert found.production == (check == "hub-scopes" and level == "warn")


def test_a_hub_without_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering_hub(200, SERVICE) as url:
        assert [(each.check, each.level) for each in examine(tmp_path, url)] == [
            ("hub-clock", "ok"),
            ("hub-scopes", "ok"),
        ]
        monkeypatch.setenv(API_URL_VARIABLE, url)
        assert {each.level for each in examine(tmp_path, None)} == {"ok"}


def test_a_hub_that_is_away_is_a_warning(tmp_path: Path) -> None:
    (found,) = examine(tmp_path, "http://127.0.0.1:1/hub/api")
    assert (found.check, found.level) == ("unreachable", "warn")


def test_a_missing_token_is_reported_with_the_secret_files(tmp_path: Path) -> None:
    assert examine(tmp_path, "http://127.0.0.1:1/hub/api", token=False) == []


def test_a_hub_that_starts_the_service_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(API_URL_VARIABLE, raising=False)
    assert examine(tmp_path, None) == []
