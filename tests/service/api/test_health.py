"""Who reads the metrics: a token, and an address of their own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aizen_hub.service.factory import build_context
from aizen_hub.service.runtime.parent_death import StartupError
from aizen_hub.service.server import Server
from tests.fixtures.databases.sqlite import create_database_file
from tests.fixtures.network.ports import free_ports
from tests.service.conftest import INSTANCE, Driver, settings_for

TOKEN = secrets.token_urlsafe(32)


def write_token(folder: Path, text: str = TOKEN) -> Path:
    file = folder / "metrics-token"
    file.write_text(text + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture
async def protected(tmp_path: Path) -> AsyncIterator[tuple[Driver, int]]:
    """A service whose metrics have a token and a port."""
    create_database_file(tmp_path / "data")
    (port,) = free_ports(1)
    metrics = {"token_file": write_token(tmp_path), "port": port}
    context = build_context(settings_for(tmp_path, metrics=metrics), instance=INSTANCE, environ={})
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    try:
        yield driver, port
    finally:
        driver.close()
        await server.stop()


async def test_the_metrics_need_their_token(protected: tuple[Driver, int]) -> None:
    driver, port = protected
    driver.url = f"http://127.0.0.1:{port}"
    for authorization in (None, f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", f"Bearer {driver.hub_secret}"):
        answer = await driver.call("GET", "/metrics", auth=authorization)
        assert answer.status == 401, authorization
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert b"aizen_" not in answer.body
    answer = await driver.call("GET", "/metrics", auth=f"Bearer {TOKEN}")
    assert answer.status == 200
    assert b"aizen_sealed" in answer.body


async def test_an_address_of_their_own_has_nothing_else(protected: tuple[Driver, int]) -> None:
    driver, port = protected
    assert (await driver.call("GET", "/metrics", auth=f"Bearer {TOKEN}")).status == 404
    assert (await driver.call("GET", "/livez")).status == 200
    driver.url = f"http://127.0.0.1:{port}"
    for path in ("/livez", "/api/v1/me", "/services/aizen/", "/.well-known/jwks.json"):
        assert (await driver.call("GET", path)).status == 404, path


async def test_without_settings_nothing_changes(service: Driver) -> None:
    assert (await service.call("GET", "/metrics")).status == 200


async def test_a_port_in_use_and_a_shared_secret_stop_the_start(service: Driver, tmp_path: Path) -> None:
    port = int(service.url.rpartition(":")[2])
    create_database_file(tmp_path / "other" / "data")
    settings = settings_for(tmp_path / "other", metrics={"port": port})
    context = build_context(settings, instance=INSTANCE, environ={})
    try:
        with pytest.raises(StartupError, match=r"`metrics\.port`"):
            Server(context, "127.0.0.1", 0)
        file = write_token(tmp_path, context.main_hub.secret)
    finally:
        context.store.close()
    settings = settings_for(tmp_path / "other", metrics={"token_file": file})
    with pytest.raises(StartupError, match="give each its own"):
        build_context(settings, instance=INSTANCE, environ={})
