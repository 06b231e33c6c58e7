"""Replicas on one database: one that is configured differently from those that serve is not ready, and says why."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.service import replicas
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.server import Server
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.fixtures.timing import until
from tests.service.conftest import Driver, settings_for

pytestmark = pytest.mark.needs("postgres")

GPU = {"id": "gpu", "api_url": "http://gpu.example.org/hub/api", "providers": ["local"]}
HUB = {"JUPYTERHUB_HOST": "https://hub.example.org"}


def new_secret(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch(0o600)
    path.write_text(secrets.token_urlsafe(32) + "\n")
    return path


@asynccontextmanager
async def replica(
    folder: Path, name: str, *, environ: dict[str, str] | None = None, **more: Any
) -> AsyncIterator[Driver]:
    """Run one replica; what ``more`` does not change is common to all."""
    common = {
        "key_encryption_file": folder / "key-encryption-key",
        "hub_secret_file": folder / "hub-secret",
        "checkpoint_file": folder / "checkpoints",
        "service": {"url": "http://aizen.example.org", "managed": False},
        "providers": [{"name": "local", "kind": "local"}, {"name": "x", "kind": "local"}],
        "further_hubs": [GPU | {"secret_file": folder / "gpu"}],
    }
    settings = settings_for(folder / name, **(common | more))
    context = build_context(settings, instance=name, environ=HUB if environ is None else environ)
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


def reported(driver: Driver) -> list[str]:
    with driver.context.store.read() as tx:
        return [replica.instance for replica in replicas.list_replicas(tx)]


@pytest.fixture
async def first(tmp_path: Path, migrated_url: str) -> AsyncIterator[Driver]:
    KeyEncryption.create(tmp_path / "key-encryption-key")
    new_secret(tmp_path / "hub-secret")
    new_secret(tmp_path / "gpu")
    async with replica(tmp_path, "first", database=migrated_url) as driver:
        await until(lambda: reported(driver) == ["first"])
        yield driver


async def test_replicas_that_agree_are_ready(tmp_path: Path, migrated_url: str, first: Driver) -> None:
    async with replica(tmp_path, "second", database=migrated_url) as second:
        await until(lambda: reported(first) == ["first", "second"])
        for driver in (first, second):
            assert (await driver.call("GET", "/readyz")).status == 200
        with first.context.store.read() as tx:
            for file in ("hub-secret", "gpu"):
                secret = (tmp_path / file).read_text().strip()
                assert all(secret not in str(replica) for replica in replicas.list_replicas(tx))
    assert reported(first) == ["first"], "the one that ended said so"


@pytest.mark.proves("R1")
@pytest.mark.parametrize("difference", [
    "hub secret", "list of further hubs", "secret of a further hub", "service address", "hub address",
    "checkpoint storage",
])  # fmt: skip
async def test_one_that_differs_is_not_ready(tmp_path: Path, migrated_url: str, first: Driver, difference: str) -> None:
    more: dict[str, dict[str, Any]] = {
        "hub secret": {"hub_secret_file": new_secret(tmp_path / "other" / "hub-secret")},
        "list of further hubs": {
            "further_hubs": [GPU | {"secret_file": tmp_path / "gpu", "providers": ["local", "x"]}]
        },
        "secret of a further hub": {"further_hubs": [GPU | {"secret_file": new_secret(tmp_path / "other" / "gpu")}]},
        "service address": {"service": {"url": "http://other.example.org", "managed": False}},
        "hub address": {"environ": {"JUPYTERHUB_HOST": "https://other.example.org"}},
        "checkpoint storage": {"checkpoint_file": tmp_path / "other-checkpoints"},
    }
    async with replica(tmp_path, "second", database=migrated_url, **more[difference]) as second:
        answer = await second.call("GET", "/readyz")
        assert answer.status == 503
        assert f"another {difference} than the one on" in answer.json["detail"]
        assert "set the same on both" in answer.json["remedy"]
        await until(lambda: reported(first) == ["first", "second"])
        assert (await first.call("GET", "/readyz")).status == 200, "the one that serves goes on"


async def test_one_that_ended_without_a_word_counts_no_more(tmp_path: Path, migrated_url: str, first: Driver) -> None:
    with first.context.store.write(SERVICE_ACTOR) as tx:
        old = tx.now - 2 * replicas._ALIVE
        values = {"host": "gone", "started": old, "seen": old, "revision": 1, "clock_offset": 0.0}
        tx.conn.execute(replicas._r.insert().values(instance="gone", configuration={"hub secret": "another"}, **values))
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(replica(tmp_path, "second", database=migrated_url))
        assert (await second.call("GET", "/readyz")).status == 200
        assert "gone" not in reported(second)
