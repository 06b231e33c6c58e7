"""A service on a restored backup is sealed until the operator accepts it, which revokes all credentials (T-40)."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from sqlalchemy.engine import make_url

from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.audit.checkpoints.signing import signature_check
from aizen_hub.audit.integrity.audit_run import AuditReport, run_audit
from aizen_hub.cli.commands.machine.database import db
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.seal import update_seal
from aizen_hub.service.server import Server
from aizen_hub.settings import Settings
from aizen_hub.store import migrate, tables
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.service.conftest import Driver, populate


@dataclass
class Installation:
    """An installation with one backup of its database."""

    config: Path

    @property
    def settings(self) -> Settings:
        return Settings.load(self.config, {})

    @asynccontextmanager
    async def run_service(self) -> AsyncIterator[Driver]:
        context = build_context(self.settings, instance="test", environ={})
        server = Server(context, "127.0.0.1", 0)
        await server.start()
        driver = Driver(server)
        try:
            yield driver
        finally:
            driver.close()
            await server.stop()

    def copy_database(self, *, restore: bool) -> None:
        """Back up the database, or restore the backup, while there are no connections."""
        if self.settings.uses_sqlite:
            real, other = self.settings.data_dir / "aizen.sqlite", self.settings.data_dir / "backup"
            for end in ("-wal", "-shm") if restore else ():
                real.with_name(real.name + end).unlink(missing_ok=True)
            shutil.copyfile(other if restore else real, real if restore else other)
            return
        import psycopg

        url = make_url(self.settings.database_url)
        source, target = (
            (f"{url.database}_backup", url.database) if restore else (url.database, f"{url.database}_backup")
        )
        with psycopg.connect(
            self.settings.database_url.replace(f"/{url.database}", "/postgres"), autocommit=True
        ) as conn:
            conn.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
            conn.execute(f"CREATE DATABASE {target} TEMPLATE {source}")

    def examine(self) -> AuditReport:
        context = build_context(self.settings, instance="test", environ={})
        try:
            with context.store.read() as tx:
                return run_audit(
                    tx.conn,
                    CheckpointFile(self.settings.checkpoint_path).read(signature_check(context.keys.list_keys(tx))),
                    context.keys.list_keys(tx),
                )
        finally:
            context.decisions.close()
            context.store.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    text = "data_dir: data\nadmin_user: local:root\n"
    (tmp_path / "data").mkdir(mode=0o700)
    if request.param == "postgresql":
        url = request.getfixturevalue("migrated_url")
        (tmp_path / "secret").write_text(secrets.token_urlsafe(32))
        (tmp_path / "secret").chmod(0o600)
        text += f"database: {url}\nhub_secret_file: secret\n"
        KeyEncryption.create(tmp_path / "data" / "key-encryption-key")
    config = tmp_path / "aizen.yaml"
    config.write_text(text)
    return Installation(config)


def accept_restore(installation: Installation) -> tuple[int, str]:
    result = CliRunner().invoke(db, ["accept-restore", "-c", str(installation.config), "--yes"], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stderr


@pytest.mark.proves("T-40", "R7")
async def test_a_restored_backup_seals_the_service_until_it_is_accepted(installation: Installation) -> None:
    async with installation.run_service() as driver:
        populate(driver.context)
        with driver.context.store.write(SERVICE_ACTOR) as tx:
            registration.create_user(tx, "newcomer")
            link = activation.issue_link(tx, "newcomer")
        session = await driver.open("eve")
        assert (await driver.command(session, "list trainings")).status != 401
    installation.copy_database(restore=False)
    async with installation.run_service() as driver:
        with driver.context.store.write(SERVICE_ACTOR) as tx:
            locks.lock_target(tx, LockTarget.IDENTITY, "user:rob", reason="lost by the restore")
        signed = driver.revision()
    installation.copy_database(restore=True)
    before = installation.settings.checkpoint_path.read_bytes()
    async with installation.run_service() as driver:
        ready = await driver.call("GET", "/readyz")
        assert ready.status == 503
        assert f"{signed} was signed" in ready.json["detail"]
        assert "accept-restore" in ready.json["remedy"]
        refused = await driver.command(session, "list trainings")
        assert (refused.status, refused.json["sealed"]) == (503, True)
        assert (await driver.hub("POST", "/sessions/heartbeat", {"live": []})).status == 503
        assert b'aizen_sealed_refusals_total{route="' in (await driver.call("GET", "/metrics")).body
        assert b"aizen_sealed 1.0" in (await driver.call("GET", "/metrics")).body
        await driver.server._scheduled_tasks.checkpoint()
        assert installation.settings.checkpoint_path.read_bytes() == before, "a sealed service signs no checkpoints"
        with driver.context.store.read() as tx:
            keys = {key.kid for key in driver.context.keys.list_keys(tx)}

        code, stderr = accept_restore(installation)
        assert code == 0, stderr
        assert "ended 1 sessions and" in stderr
        update_seal(driver.context)
        assert (await driver.call("GET", "/readyz")).status == 200
        assert driver.revision() > signed, "revisions are not reused"
        assert (await driver.command(session, "list trainings")).status == 401
        assert (await driver.renew(session)).status != 200
        new_session = await driver.open("eve")
        assert (await driver.command(new_session, "list trainings")).status != 401
        with driver.context.store.read() as tx:
            assert not keys & {key.kid for key in driver.context.keys.list_keys(tx) if key.state != "withdrawn"}
            events = set(tx.conn.scalars(select(tables.audit.c.event)))
            assert tx.conn.scalar(select(tables.activations.c.token_hash)) is None, link
        assert {"database.accepted", "session.ended", "key.withdrawn"} <= events
    report = installation.examine()
    assert report.findings == ()
    assert accept_restore(installation)[0] == 6, "there is nothing left to accept"


@pytest.mark.proves("T-40")
async def test_missing_decisions_are_detected(installation: Installation) -> None:
    """The revision is the same; only audit rows are missing."""
    async with installation.run_service() as driver:
        populate(driver.context)
        session = await driver.open("eve")
    installation.copy_database(restore=False)
    async with installation.run_service() as driver:
        revision = driver.revision()
        assert (await driver.command(session, "list trainings")).status != 401
    installation.copy_database(restore=True)
    async with installation.run_service() as driver:
        if driver.revision() == revision:
            assert "does not contain the audit" in (await driver.call("GET", "/readyz")).json["detail"]
        assert (await driver.call("GET", "/readyz")).status == 503
    assert accept_restore(installation)[0] == 0
    assert installation.examine().findings == ()


@pytest.mark.proves("T-40")
async def test_another_database_than_that_of_the_checkpoints_seals_the_service(installation: Installation) -> None:
    async with installation.run_service() as driver:
        populate(driver.context)
    if installation.settings.uses_sqlite:
        for file in installation.settings.data_dir.glob("aizen.sqlite*"):
            file.unlink()
    else:
        with connect_to_database(installation) as conn:
            conn.execute("DROP SCHEMA public CASCADE")
            conn.execute("CREATE SCHEMA public")
        migrate.upgrade(installation.settings.database_url)
    async with installation.run_service() as driver:
        assert (await driver.call("GET", "/readyz")).status == 503
        assert (await driver.call("GET", "/livez")).status == 200
    assert accept_restore(installation)[0] == 0
    async with installation.run_service() as driver:
        assert (await driver.call("GET", "/readyz")).status == 200
    assert installation.examine().findings == ()


@pytest.mark.proves("T-40")
async def test_a_rollback_of_the_database_under_a_running_service_is_detected(installation: Installation) -> None:
    async with installation.run_service() as driver:
        populate(driver.context)
        await driver.server._scheduled_tasks.checkpoint()
        update_seal(driver.context)
        with driver.context.store.database.engine.connect() as conn:
            conn.exec_driver_sql("UPDATE revision SET value = value - 1")
        update_seal(driver.context)
        assert driver.context.state.sealed is not None
        assert (await driver.call("GET", "/readyz")).status == 503


@pytest.mark.proves("T-44")
async def test_a_rollback_behind_the_last_seen_revision_is_detected(installation: Installation) -> None:
    """As after a failover: a replica that has seen a later revision is sealed until it is restarted."""
    async with installation.run_service() as driver:
        populate(driver.context)
        last_revision = driver.revision()
        with driver.context.store.database.engine.connect() as conn:
            conn.exec_driver_sql("UPDATE revision SET value = value - 1")
        update_seal(driver.context)
        for _ in range(2):
            ready = await driver.call("GET", "/readyz")
            assert (ready.status, ready.json["detail"].endswith(f"{last_revision} was seen: it was set back")) == (
                503,
                True,
            )
            assert "restart" in ready.json["remedy"]
            update_seal(driver.context)
        assert await driver.server._scheduled_tasks.checkpoint() is False
    async with installation.run_service() as driver:
        assert (await driver.call("GET", "/readyz")).status == 200


async def test_a_normal_restart_is_not_a_rollback(installation: Installation) -> None:
    for _ in range(3):
        async with installation.run_service() as driver:
            assert (await driver.call("GET", "/readyz")).status == 200
            with driver.context.store.write(SERVICE_ACTOR) as tx:
                driver.context.keys.rotate(tx, next(iter(driver.context.keys.list_keys(tx))).purpose)
            await driver.server._scheduled_tasks.checkpoint()
    assert accept_restore(installation)[0] == 6


def connect_to_database(installation: Installation):
    import psycopg

    return psycopg.connect(installation.settings.database_url, autocommit=True)


def test_the_copied_file_is_a_complete_database(tmp_path: Path) -> None:
    """Copying the file is sufficient because the last connection checkpoints the write-ahead log into it."""
    with sqlite3.connect(tmp_path / "a") as conn:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("CREATE TABLE t (x)")
    conn.close()
    assert not (tmp_path / "a-wal").exists()
