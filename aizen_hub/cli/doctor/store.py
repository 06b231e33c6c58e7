"""Checks of the database: schema, durability, role, clock, signing keys and undelivered alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from aizen_hub.cli.doctor.check_result import CheckResult
from aizen_hub.problems import Problem
from aizen_hub.settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from aizen_hub.store.sql_store import Store
    from aizen_hub.store.transaction import ReadTransaction

MAX_KEY_AGE = timedelta(days=90)
MAX_CLOCK_SKEW = timedelta(seconds=30)
"""With a larger difference the service issues no tokens (R135)."""
MAX_OUTBOX_AGE = timedelta(minutes=15)


def check_store(settings: Settings) -> Iterator[CheckResult]:
    from aizen_hub.cli.local_store import open_store
    from aizen_hub.store import migrate

    if settings.uses_sqlite and settings.database is None and not (settings.data_dir / "aizen.sqlite").exists():
        yield CheckResult("warn", "there is no database yet", "the service creates it at its first start")
        return
    try:
        migrate.check(settings.database_url)
    except ConfigurationError as error:
        yield CheckResult("fail", str(error))
        return
    except Problem as error:
        yield CheckResult("fail", f"the database: {error.detail}", error.remedy or "")
        return
    yield CheckResult("ok", "the database schema is up to date")
    try:
        with open_store(settings) as store:
            yield from _check_durability(store)
            yield from _check_db_grants(store)
            with store.read() as tx:
                yield from _check_clock(tx)
                yield from _check_outbox(tx)
            yield from _check_keys(settings, store)
    except Problem as error:
        yield CheckResult("fail", f"the database: {error.detail}", error.remedy or "")
    except ValueError:
        yield CheckResult("warn", "the database was not checked: correct the catalog first")


def _check_durability(store: Store) -> Iterator[CheckResult]:
    if store.database.embedded:
        return
    with store.database.engine.connect() as conn:
        for name in ("fsync", "synchronous_commit"):
            if conn.exec_driver_sql(f"SHOW {name}").scalar() == "off":
                yield CheckResult(
                    "fail", f"the database runs with {name}=off: a crash can lose changes", f"{name} = on"
                )
        yield from _check_standbys(conn)


def _check_db_grants(store: Store) -> Iterator[CheckResult]:
    """Check that the service's database role cannot change the audit (R97)."""
    from aizen_hub.store.db_grants import find_rewritable_tables

    if store.database.embedded:
        return
    with store.database.engine.connect() as conn:
        rewritable_tables = find_rewritable_tables(conn)
    if rewritable_tables:
        yield CheckResult(
            "fail",
            f"the service's database role can change and delete rows of {' and '.join(rewritable_tables)}",
            "run as the owner of the tables: aizen-hub db upgrade --service-role NAME; then connect with that role",
        )
    else:
        yield CheckResult("ok", "the service's database role can only append to the audit")


def _check_standbys(conn: Connection) -> Iterator[CheckResult]:
    """Check that commits wait for a standby: a failover would otherwise lose acknowledged changes (T-44)."""
    is_synchronous = bool(conn.exec_driver_sql("SHOW synchronous_standby_names").scalar())
    # The number of standbys is visible without further privileges.
    standbys = conn.exec_driver_sql("SELECT count(*) FROM pg_stat_replication").scalar()
    if is_synchronous and conn.exec_driver_sql("SHOW synchronous_commit").scalar() == "local":
        yield CheckResult(
            "fail",
            "the database runs with synchronous_commit=local: a failover can lose acknowledged changes",
            "synchronous_commit = on",
        )
    elif is_synchronous:
        yield CheckResult("ok", "the database waits for a standby before it acknowledges a commit")
    elif standbys:
        yield CheckResult(
            "warn",
            f"the database has {standbys} standbys and waits for none of them: a failover can lose acknowledged "
            "changes, including revocations",
            "synchronous_standby_names, see deploy/postgresql",
        )


def _check_clock(tx: ReadTransaction) -> Iterator[CheckResult]:
    skew = abs(datetime.now(UTC) - tx.now)
    if skew > MAX_CLOCK_SKEW:
        yield CheckResult(
            "fail",
            f"this machine's clock is {skew.total_seconds():.0f} s off the database's",
            "run NTP on this machine",
        )
    else:
        yield CheckResult("ok", f"revision {tx.revision}; this machine's clock agrees with the database's")


def _check_outbox(tx: ReadTransaction) -> Iterator[CheckResult]:
    from aizen_hub.store import tables

    o = tables.outbox
    is_overdue = o.c.sent.is_(None), o.c.failure.is_(None), o.c.created < tx.now - MAX_OUTBOX_AGE
    overdue, failed = (
        tx.conn.scalar(select(func.count()).select_from(o).where(*conditions))
        for conditions in (is_overdue, (o.c.failure.is_not(None),))
    )
    if overdue:
        yield CheckResult("warn", f"{overdue} alerts were not delivered in time", "check `alerts` in aizen.yaml")
    if failed:
        last = select(o.c.failure).where(o.c.failure.is_not(None)).order_by(o.c.created.desc(), o.c.id.desc()).limit(1)
        last_error = str(tx.conn.scalar(last))[:200]
        yield CheckResult(
            "warn", f"{failed} alerts could not be delivered, last error: {last_error}", "check `alerts` in aizen.yaml"
        )
    if not (overdue or failed):
        yield CheckResult("ok", "no alert is overdue")


def _check_keys(settings: Settings, store: Store) -> Iterator[CheckResult]:
    from aizen_hub.store import tables
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.tokens.keys import KeyState

    k = tables.keys
    with store.read() as tx:
        has_keys = tx.conn.execute(select(k.c.kid).limit(1)).first() is not None
    if not has_keys:
        yield CheckResult("warn", "there are no keys yet", "the service creates them at its first start")
        return
    if not settings.checkpoint_path.exists():
        yield CheckResult(
            "warn",
            f"the audit's checkpoint file {settings.checkpoint_path} does not exist: the next start creates a new one "
            "and cannot detect an earlier rollback of the database",
            "before that start restore the file, mount its disk, or correct `checkpoint_file`",
        )
    # This creates no keys, since there are some.
    keys = KeyStore.open(settings, store)
    with store.read() as tx:
        ring, now = keys.ring(tx), tx.now
    if ring.is_sealed:
        yield CheckResult(
            "fail",
            f"the service is sealed: {ring.sealed_reason or 'a key is missing'}",
            "restore the key-encryption file from its backup; if it is lost: aizen-hub keys --help",
        )
        return
    old_purposes = sorted(
        key.purpose.value
        for key in ring.keys
        if key.state is KeyState.SIGNING and now - key.state_changed_at > MAX_KEY_AGE
    )
    if old_purposes:
        days = MAX_KEY_AGE.days
        yield CheckResult(
            "warn", f"keys older than {days} days are still signing: {', '.join(old_purposes)}", "aizen-hub keys rotate"
        )
    else:
        yield CheckResult("ok", "every purpose has a signing key")
