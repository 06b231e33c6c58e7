"""URLs in user input are text: the service fetches none of them (T-52)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from aizen_hub.service.factory import build_context
from aizen_hub.service.server import Server
from tests.service.conftest import INSTANCE, Driver, populate, settings_for


class Bait:
    """A listener that counts connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.url = ""

    async def start(self) -> asyncio.Server:
        async def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            writer.close()

        server = await asyncio.start_server(count, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        return server


class Redirecting(RequestHandler):
    """The webhook of the configuration, which redirects its callers."""

    def post(self) -> None:
        self.application.settings["posted"].append(self.request.body)
        self.redirect(self.application.settings["bait"].url, status=307)


@pytest.fixture
async def bait() -> AsyncIterator[Bait]:
    listener = Bait()
    server = await listener.start()
    yield listener
    server.close()
    await server.wait_closed()


@pytest.fixture
async def posted() -> list[bytes]:
    return []


@pytest.fixture
async def baited(tmp_path: Path, bait: Bait, posted: list[bytes]) -> AsyncIterator[Driver]:
    sockets = bind_sockets(0, "127.0.0.1")
    webhook = HTTPServer(Application([("/hook", Redirecting)], bait=bait, posted=posted))
    webhook.add_sockets(sockets)
    alerts = {"webhook_url": f"http://127.0.0.1:{sockets[0].getsockname()[1]}/hook"}
    server = Server(build_context(settings_for(tmp_path, alerts=alerts), instance=INSTANCE, environ={}), "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    driver.robot = populate(driver.context)  # type: ignore[attr-defined]
    yield driver
    driver.close()
    await server.stop()
    webhook.stop()
    await webhook.close_all_connections()


def token_with(header: dict[str, Any], token: str) -> str:
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return f"Bearer {head}.{token.partition('.')[2]}"


@pytest.mark.proves("T-52", "R39")
async def test_no_url_of_user_input_is_fetched(baited: Driver, bait: Bait, posted: list[bytes]) -> None:
    url, boss, ada = bait.url, f"Bearer {baited.robot}", await baited.open("ada")  # type: ignore[attr-defined]
    for text in (
        f'create project fetched,config="{url}"',
        f'configure datasource db url="{url}"',
        f"importconfig project p1,config={url}",
        f"start training {url}",
    ):
        await baited.command(ada, text, files={url: url})
    for path, body in (
        ("/api/v1/users", {"name": "guest", "email": f"guest@{url.removeprefix('http://').strip('/')}"}),
        ("/api/v1/users", {"name": "guest2", "display_name": url}),
        ("/api/v1/projects", {"name": "described", "description": url, "owner": "ada"}),
        ("/api/v1/locks", {"target": "identity", "name": "user:rob", "reason": url}),
        ("/api/v1/requests", {"role": "PROJECT_ADMIN", "scope": "p1", "reason": url}),
    ):
        await baited.call("POST", path, body, auth=boss)
    for name in ("Host", "X-Forwarded-Host", "X-Forwarded-For", "Forwarded", "Referer", "Origin", "Link"):
        await baited.call("GET", "/api/v1/me", auth=ada.auth, headers={name: url})
    for member in ("jku", "x5u", "kid", "iss"):
        header = {"alg": "EdDSA", "typ": "aizen-role+jwt", "kid": "x", member: url}
        assert (await baited.call("GET", "/api/v1/me", auth=token_with(header, ada.token))).status == 401
    form = f"grant_type={url}&subject_token={url}&resource={url}&audience={url}"
    content = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await baited.call("POST", "/oauth/token", raw=form.encode(), headers=content)).status == 400
    await baited.server._scheduled_tasks._deliver_alerts()
    await asyncio.sleep(0)
    assert posted, "the webhook of the configuration was called"
    assert bait.connections == 0
