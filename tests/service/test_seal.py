"""What seals a service, how it is named, and that a repair unseals it without a restart."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from aizen_hub.audit.checkpoints import health
from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, CheckpointFault
from aizen_hub.audit.checkpoints.heads import chain_heads
from aizen_hub.audit.checkpoints.signed_json import SignatureCheck
from aizen_hub.audit.checkpoints.signing import checkpoint_signer
from aizen_hub.problems import Unavailable
from aizen_hub.service.background.tasks import ScheduledTasks
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.seal import update_seal
from aizen_hub.service.server import Server
from aizen_hub.settings import Settings
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.fixtures.databases.sqlite import create_database_file
from tests.fixtures.timing import until
from tests.service.conftest import INSTANCE, Driver, populate, settings_for


@dataclass(frozen=True)
class Fault:
    """Something that breaks while the service runs or before it starts.

    Attributes
    ----------
    cause, repair : callable
        Of the settings and of a folder for what is moved away.
    sentence, remedy : str
        In the answer of `/readyz` and of refused requests.
    """

    cause: Callable[[Settings, Path], None]
    repair: Callable[[Settings, Path], None]
    sentence: str
    remedy: str


def move_key(settings: Settings, folder: Path) -> None:
    settings.key_encryption_path.rename(folder / "key")


def put_key_back(settings: Settings, folder: Path) -> None:
    (folder / "key").replace(settings.key_encryption_path)


def replace_key(settings: Settings, folder: Path) -> None:
    move_key(settings, folder)
    KeyEncryption.create(settings.key_encryption_path)


def scramble_key(settings: Settings, folder: Path) -> None:
    move_key(settings, folder)
    settings.key_encryption_path.write_text("x" * 20)
    settings.key_encryption_path.chmod(0o600)


def open_key_to_others(settings: Settings, _folder: Path) -> None:
    settings.key_encryption_path.chmod(0o644)


def close_key(settings: Settings, _folder: Path) -> None:
    settings.key_encryption_path.chmod(0o600)


@asynccontextmanager
async def run_service(settings: Settings) -> AsyncIterator[Driver]:
    server = Server(build_context(settings, instance=INSTANCE, environ={}), "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


KEY_FAULTS = [
    pytest.param(Fault(move_key, put_key_back, "file does not exist", "`aizen-hub keys recover`"), id="missing"),
    pytest.param(Fault(replace_key, put_key_back, "holds another key", "`aizen-hub keys recover`"), id="wrong"),
    pytest.param(Fault(scramble_key, put_key_back, "does not hold 256 bits", "`aizen-hub keys recover`"), id="damaged"),
    pytest.param(Fault(open_key_to_others, close_key, "can be read by others", "chmod 600"), id="open to others"),
]


@pytest.mark.proves("R7")
@pytest.mark.parametrize("fault", KEY_FAULTS)
async def test_a_key_file_is_named_as_what_it_is_and_a_repair_unseals(
    tmp_path: Path, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """With checkpoints: that their signatures cannot be verified without keys does not make the database older."""
    create_database_file(tmp_path / "data")
    settings = settings_for(tmp_path)
    async with run_service(settings) as driver:
        populate(driver.context)
        eve = await driver.open("eve")
    assert settings.checkpoint_path.stat().st_size > 0
    fault.cause(settings, tmp_path)
    async with run_service(settings) as driver:
        context = driver.context
        ready = await driver.call("GET", "/readyz")
        assert (ready.status, ready.json["sealed"]) == (503, True)
        assert fault.sentence in ready.json["detail"]
        assert fault.remedy in ready.json["remedy"]
        assert "accept-restore" not in ready.body.decode()
        assert str(tmp_path) not in ready.body.decode(), "the path is for the log"
        [entry] = [record for record in caplog.records if record.getMessage() == "sealed"]
        logged = entry.__dict__["data"]
        assert fault.sentence in logged["why"]
        assert logged["file"] == str(settings.key_encryption_path)
        refused = await driver.command(eve, "list trainings")
        assert (refused.status, refused.json["sealed"]) == (503, True)
        assert fault.sentence in refused.json["detail"]
        before = settings.checkpoint_path.read_bytes()
        with pytest.raises(Unavailable):
            await driver.server._scheduled_tasks.checkpoint()
        assert settings.checkpoint_path.read_bytes() == before
        fault.repair(settings, tmp_path)
        await until(lambda: context.state.sealed is None)
        assert (await driver.call("GET", "/readyz")).status == 200
        decided = await driver.call("POST", "/api/v1/decisions", {"command": "list trainings"}, auth=eve.auth)
        assert decided.json["decision"]["allowed"]
        assert context.decisions.hasher is not None
        assert context.browser_login.encryption is context.keys.encryption is not None


def delete_database(settings: Settings, folder: Path) -> None:
    (settings.data_dir / "aizen.sqlite").rename(folder / "database")


def replace_database(settings: Settings, folder: Path) -> None:
    delete_database(settings, folder)
    shutil.copyfile(folder / "database", settings.data_dir / "aizen.sqlite")


def put_database_back(settings: Settings, folder: Path) -> None:
    (folder / "database").replace(settings.data_dir / "aizen.sqlite")


def set_schema(settings: Settings, version: str) -> None:
    with closing(sqlite3.connect(settings.data_dir / "aizen.sqlite")) as conn:
        conn.execute("UPDATE revision SET schema_version = ?", (version,))
        conn.commit()


RUNNING_FAULTS = [
    pytest.param(Fault(delete_database, put_database_back, "was deleted", "db restore"), id="deleted"),
    pytest.param(Fault(replace_database, put_database_back, "was replaced", "db restore"), id="replaced"),
    pytest.param(
        Fault(
            lambda settings, _: set_schema(settings, "0002"),
            lambda settings, _: set_schema(settings, "0001"),
            "upgraded to the schema `0002`",
            "restart the service",
        ),
        id="upgraded",
    ),
]


@pytest.mark.proves("R5", "R7", "T-40")
@pytest.mark.parametrize("fault", RUNNING_FAULTS)
async def test_a_database_that_changes_under_the_service_stops_it(
    service: Driver, tmp_path: Path, fault: Fault
) -> None:
    context, tasks = service.context, service.server._scheduled_tasks
    eve = await service.open("eve")
    assert (await service.command(eve, "list trainings")).status != 503
    fault.cause(context.settings, tmp_path)
    refused = await service.call("POST", "/api/v1/decisions", {"command": "list trainings"}, auth=eve.auth)
    assert refused.status == 503, "before the seal is updated"
    assert fault.sentence in refused.json["detail"]
    await until(lambda: context.state.sealed is not None)
    ready = await service.call("GET", "/readyz")
    assert (ready.status, ready.json["sealed"]) == (503, True)
    assert fault.sentence in ready.json["detail"]
    assert fault.remedy in ready.json["remedy"]
    assert await tasks.checkpoint() is False, "nothing is signed meanwhile"
    fault.repair(context.settings, tmp_path)
    await until(lambda: context.state.sealed is None)
    assert (await service.call("GET", "/readyz")).status == 200
    assert (await service.call("GET", "/api/v1/me", auth=eve.auth)).status == 200


@pytest.mark.proves("R7", "T-40")
async def test_a_backup_that_is_copied_over_the_running_database_stops_it(service: Driver, tmp_path: Path) -> None:
    context, file, backup = service.context, service.context.settings.data_dir / "aizen.sqlite", tmp_path / "backup"
    eve = await service.open("eve")
    with closing(sqlite3.connect(file)) as conn:
        conn.execute("VACUUM INTO ?", (str(backup),))
    with context.store.write(SERVICE_ACTOR) as tx:
        for number in range(200):
            tx.audit("something.happened", number=number, text="x" * 100)
    with closing(sqlite3.connect(file)) as conn:
        conn.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert (await service.command(eve, "list trainings")).status != 503
    shutil.copyfile(backup, file)
    refused = await service.call("POST", "/api/v1/decisions", {"command": "list trainings"}, auth=eve.auth)
    assert (refused.status, refused.json["sealed"]) == (503, True)
    assert "was overwritten while the service runs" in refused.json["detail"]
    await until(lambda: context.state.sealed is not None)
    assert "db restore" in (await service.call("GET", "/readyz")).json["remedy"]


@pytest.mark.proves("R7")
async def test_the_hub_is_told_that_a_sealed_service_is_alive(service: Driver, tmp_path: Path) -> None:
    """It requests the panel at its start, and ends after half a minute of server errors."""
    context = service.context
    delete_database(context.settings, tmp_path)
    await until(lambda: context.state.sealed is not None)
    look = await service.call("GET", context.prefix)
    assert look.status == 200
    assert b"was deleted while the service runs" in look.body
    assert b"db restore" in look.body
    assert b"until an administrator has repaired it" in look.body
    styles = set(re.findall(rb'href="([^"]+[.]css)"', look.body))
    assert styles
    for style in styles:
        assert (await service.call("GET", style.decode())).status == 200
    assert (await service.call("GET", f"{context.prefix}account")).status == 503
    assert (await service.call("GET", f"{context.prefix}api/v1/me")).status == 503
    assert (await service.call("GET", "/readyz")).status == 503
    put_database_back(context.settings, tmp_path)


@pytest.mark.proves("R96", "T-39")
async def test_a_checkpoint_file_that_was_set_back_has_its_own_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = build_context(settings_for(tmp_path, checkpoint_grace_seconds=60), instance=INSTANCE, environ={})
    tasks, path = ScheduledTasks(context), context.settings.checkpoint_path
    try:
        populate(context)
        assert await tasks.checkpoint()
        former = path.read_bytes()
        _record_something(context)
        assert await tasks.checkpoint()
        newest = path.read_bytes()
        path.write_bytes(former)
        _record_something(context)
        with pytest.raises(Unavailable):
            await tasks.checkpoint()
        now = health._now() + 61
        monkeypatch.setattr(health, "_now", lambda: now)
        update_seal(context)
        assert context.state.sealed is not None
        assert "was set back" in context.state.sealed
        assert "newest copy of `checkpoint_file`" in context.state.seal_remedy
        assert "mounted" not in context.state.seal_remedy
        path.write_bytes(newest)
        assert await tasks.checkpoint()
        update_seal(context)
        assert context.state.sealed is None
    finally:
        await tasks.shut_down()
        context.pools.close()
        context.decisions.close()
        context.store.close()


@pytest.mark.proves("R7", "T-40")
def test_what_another_replica_signs_meanwhile_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = build_context(settings_for(tmp_path), instance=INSTANCE, environ={})
    checkpoints, newest = context.checkpoints, context.checkpoints.newest

    def sign_first(check: SignatureCheck) -> tuple[list[Checkpoint], list[CheckpointFault]]:
        _record_something(context)
        with context.store.read() as tx:
            signer = checkpoint_signer(context.keys.ring(tx))
            assert checkpoints.append(chain_heads(tx.conn), tx.revision, tx.now, signer)
        return newest(check)

    try:
        populate(context)
        context.state.missing_data = "as at a start: to be looked for"
        monkeypatch.setattr(checkpoints, "newest", sign_first)
        update_seal(context)
        assert (context.state.missing_data, context.state.sealed) == (None, None)
    finally:
        context.pools.close()
        context.decisions.close()
        context.store.close()


def _record_something(context: ServiceContext) -> None:
    with context.store.write(SERVICE_ACTOR) as tx:
        tx.audit("something.happened")
