"""A restored backup decides nothing until the operator accepts it, and then nothing of before opens anything (T-40)."""

from __future__ import annotations

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
from aizen_hub.accounts.users import users
from aizen_hub.audit.integrity.audit_run import Examination, examine
from aizen_hub.cli.commands.database import db
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.service.factory import OWN, build, refresh_keys
from aizen_hub.service.server import Server
from aizen_hub.settings import Settings
from aizen_hub.store import migrate as schema
from aizen_hub.store import tables
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.service.conftest import Driver, populate


@dataclass
class Place:
    """An installation, and one backup of its database."""

    config: Path

    @property
    def settings(self) -> Settings:
        return Settings.load(self.config, {})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Driver]:
        house = build(self.settings, instance="test", environ={})
        server = Server(house, "127.0.0.1", 0)
        await server.start()
        driver = Driver(server)
        try:
            yield driver
        finally:
            driver.close()
            await server.stop()

    def copy(self, *, back: bool) -> None:
        """Back up the database, or bring the backup back; nobody is connected."""
        if self.settings.embedded:
            real, other = self.settings.data_dir / "aizen.sqlite", self.settings.data_dir / "backup"
            for end in ("-wal", "-shm") if back else ():
                real.with_name(real.name + end).unlink(missing_ok=True)
            shutil.copyfile(other if back else real, real if back else other)
            return
        import psycopg

        url = make_url(self.settings.database_url)
        source, target = (f"{url.database}_backup", url.database) if back else (url.database, f"{url.database}_backup")
        with psycopg.connect(
            self.settings.database_url.replace(f"/{url.database}", "/postgres"), autocommit=True
        ) as conn:
            conn.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
            conn.execute(f"CREATE DATABASE {target} TEMPLATE {source}")

    def examine(self) -> Examination:
        house = build(self.settings, instance="test", environ={})
        try:
            with house.store.read() as tx:
                return examine(tx.conn, self.settings.checkpoint_path, house.keys.list(tx))
        finally:
            house.court.close()
            house.store.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    text = "data_dir: data\nadmin_user: local:root\n"
    (tmp_path / "data").mkdir(mode=0o700)
    if request.param == "postgresql":
        url = request.getfixturevalue("migrated_url")
        (tmp_path / "secret").write_text("0123456789abcdef0123456789abcdef0123456789abcdef")
        (tmp_path / "secret").chmod(0o600)
        text += f"database: {url}\nhub_secret_file: secret\n"
        KeyEncryption.make(tmp_path / "data" / "key-encryption-key")
    config = tmp_path / "aizen.yaml"
    config.write_text(text)
    return Place(config)


def accept(place: Place) -> tuple[int, str]:
    done = CliRunner().invoke(db, ["accept-restore", "-c", str(place.config), "--yes"], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.stderr


@pytest.mark.proves("T-40", "R7")
async def test_a_restored_backup_is_refused_until_it_is_accepted(place: Place) -> None:
    async with place.running() as driver:
        populate(driver.house)
        with driver.house.store.write(OWN) as tx:
            users.create(tx, "newcomer")
            link = activation.issue(tx, "newcomer")
        session = await driver.open("eve")
        assert (await driver.command(session, "list trainings")).status != 401
    place.copy(back=False)
    async with place.running() as driver:
        with driver.house.store.write(OWN) as tx:
            locks.lock(tx, LockTarget.IDENTITY, "user:rob", reason="lost by the restore")
        signed = driver.revision()
    place.copy(back=True)
    before = place.settings.checkpoint_path.read_bytes()
    async with place.running() as driver:
        ready = await driver.call("GET", "/readyz")
        assert ready.status == 503
        assert f"{signed} was signed" in ready.json["detail"]
        assert "accept-restore" in ready.json["remedy"]
        refused = await driver.command(session, "list trainings")
        assert (refused.status, refused.json["sealed"]) == (503, True)
        assert (await driver.hub("POST", "/sessions/heartbeat", {"live": []})).status == 503
        assert b'aizen_sealed_refusals_total{route="' in (await driver.call("GET", "/metrics")).body
        assert b"aizen_sealed 1.0" in (await driver.call("GET", "/metrics")).body
        await driver.server._chores.checkpoint()
        assert place.settings.checkpoint_path.read_bytes() == before, "nothing is signed about an old database"
        with driver.house.store.read() as tx:
            keys = {key.kid for key in driver.house.keys.list(tx)}

        code, said = accept(place)
        assert code == 0, said
        assert "ended 1 sessions and" in said
        refresh_keys(driver.house)
        assert (await driver.call("GET", "/readyz")).status == 200
        assert driver.revision() > signed, "no revision is used twice"
        assert (await driver.command(session, "list trainings")).status == 401
        assert (await driver.renew(session)).status != 200
        again = await driver.open("eve")
        assert (await driver.command(again, "list trainings")).status != 401
        with driver.house.store.read() as tx:
            assert not keys & {key.kid for key in driver.house.keys.list(tx) if key.state != "withdrawn"}
            events = set(tx.conn.scalars(select(tables.audit.c.event)))
            assert tx.conn.scalar(select(tables.activations.c.token_hash)) is None, link
        assert {"database.accepted", "session.ended", "key.withdrawn"} <= events
    seen = place.examine()
    assert seen.findings == ()
    assert accept(place)[0] == 6, "there is nothing more to accept"


@pytest.mark.proves("T-40")
async def test_lost_decisions_are_a_loss_too(place: Place) -> None:
    """The revision is the same: only rows of the audit are missing."""
    async with place.running() as driver:
        populate(driver.house)
        session = await driver.open("eve")
    place.copy(back=False)
    async with place.running() as driver:
        revision = driver.revision()
        assert (await driver.command(session, "list trainings")).status != 401
    place.copy(back=True)
    async with place.running() as driver:
        if driver.revision() == revision:
            assert "does not hold the audit" in (await driver.call("GET", "/readyz")).json["detail"]
        assert (await driver.call("GET", "/readyz")).status == 503
    assert accept(place)[0] == 0
    assert place.examine().findings == ()


@pytest.mark.proves("T-40")
async def test_another_database_beside_the_checkpoints_is_refused(place: Place) -> None:
    async with place.running() as driver:
        populate(driver.house)
    if place.settings.embedded:
        for file in place.settings.data_dir.glob("aizen.sqlite*"):
            file.unlink()
    else:
        with place_connection(place) as conn:
            conn.execute("DROP SCHEMA public CASCADE")
            conn.execute("CREATE SCHEMA public")
        schema.upgrade(place.settings.database_url)
    async with place.running() as driver:
        assert (await driver.call("GET", "/readyz")).status == 503
        assert (await driver.call("GET", "/livez")).status == 200
    assert accept(place)[0] == 0
    async with place.running() as driver:
        assert (await driver.call("GET", "/readyz")).status == 200
    assert place.examine().findings == ()


@pytest.mark.proves("T-40")
async def test_a_database_that_goes_back_under_a_running_service_is_noticed(place: Place) -> None:
    async with place.running() as driver:
        populate(driver.house)
        await driver.server._chores.checkpoint()
        refresh_keys(driver.house)
        with driver.house.store.database.engine.connect() as conn:
            conn.exec_driver_sql("UPDATE revision SET value = value - 1")
        refresh_keys(driver.house)
        assert driver.house.sealed is not None
        assert (await driver.call("GET", "/readyz")).status == 503


@pytest.mark.proves("T-44")
async def test_what_was_seen_and_lost_before_it_was_signed(place: Place) -> None:
    """As after a failover: nothing is decided or written by whoever knows more, until it is started anew."""
    async with place.running() as driver:
        populate(driver.house)
        seen = driver.revision()
        with driver.house.store.database.engine.connect() as conn:
            conn.exec_driver_sql("UPDATE revision SET value = value - 1")
        refresh_keys(driver.house)
        for _ in range(2):
            ready = await driver.call("GET", "/readyz")
            assert (ready.status, ready.json["detail"].endswith(f"{seen} was seen: it was set back")) == (503, True)
            assert "restart" in ready.json["remedy"]
            refresh_keys(driver.house)
        assert await driver.server._chores.checkpoint() is False
    async with place.running() as driver:
        assert (await driver.call("GET", "/readyz")).status == 200


async def test_an_honest_restart_is_no_loss(place: Place) -> None:
    for _ in range(3):
        async with place.running() as driver:
            assert (await driver.call("GET", "/readyz")).status == 200
            with driver.house.store.write(OWN) as tx:
                driver.house.keys.rotate(tx, next(iter(driver.house.keys.list(tx))).purpose)
            await driver.server._chores.checkpoint()
    assert accept(place)[0] == 6


def place_connection(place: Place):
    import psycopg

    return psycopg.connect(place.settings.database_url, autocommit=True)


def test_the_backup_of_the_test_is_a_whole_database(tmp_path: Path) -> None:
    """A copy of the file alone is a backup only because the last connection folds the write-ahead log into it."""
    with sqlite3.connect(tmp_path / "a") as conn:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("CREATE TABLE t (x)")
    conn.close()
    assert not (tmp_path / "a-wal").exists()
