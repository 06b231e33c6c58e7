"""Checks of the database: schema, durability, privileges, clock, catalog and undelivered alerts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.check_runner import Check, run_each
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.problems import Problem
from aizen_hub.settings import ConfigurationError

if TYPE_CHECKING:
    from aizen_hub.store.database import Database
    from aizen_hub.store.sql_store import Store

MAX_CLOCK_SKEW = timedelta(seconds=30)
"""With a larger difference the service issues no tokens (R135)."""
MAX_OUTBOX_AGE = timedelta(minutes=15)
MAX_BACKUP_AGE = timedelta(days=7)
POSTGRES_FLOOR = 14
_MAX_CHECKED_BYTES = 256 << 20
"""A larger SQLite file is not read completely, since that takes longer than an operator waits."""


def check_store(installation: Installation, checks: Iterable[Check]) -> Iterator[CheckResult]:
    """Check that the database can be used, and run the given checks on it; it is opened without changing it."""
    from aizen_hub.store import migrate
    from aizen_hub.store.database import Database, sqlite_path
    from aizen_hub.store.sql_store import Store

    settings, where = installation.settings, in_settings("database")
    if installation.is_new:
        yield CheckResult.warning(
            "database", where, "there is no database yet", "the service creates it at its first start"
        )
        return
    try:
        database = Database(settings.database_url, settings.service.deadline_seconds, read_only=True)
        if database.embedded:
            path = sqlite_path(database.url)
            if path.stat().st_uid != os.geteuid():
                return  # reported with the data folder; a file that we make beside it would lock the service out
            yield from _check_integrity(database, path)
        migrate.check(settings.database_url)
    except ConfigurationError as error:
        yield CheckResult.error("schema", where, str(error), _remedy_of(str(error)))
        return
    except Problem as error:
        yield CheckResult.error("database", where, error.detail, error.remedy or "")
        return
    yield CheckResult.passed("schema", "the database schema is up to date")
    try:
        catalog = installation.catalog
    except ValueError:
        yield CheckResult.warning(
            "database", where, "the content of the database was not checked", "correct the catalog first"
        )
        return
    try:
        yield from run_each(checks, Store(database, catalog, settings), installation)
    finally:
        database.dispose()


def check_durability(store: Store, _installation: Installation) -> Iterator[CheckResult]:
    if store.database.embedded:
        return
    with store.translate_db_errors(), store.database.engine.connect() as conn:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            if conn.exec_driver_sql(f"SHOW {name}").scalar() == "off":
                yield CheckResult.error(
                    "durability",
                    f"postgresql.conf: {name}",
                    f"the database runs with {name}=off: a crash can lose changes",
                    f"{name} = on",
                )
        version = int(conn.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10_000
        if version < POSTGRES_FLOOR:
            yield CheckResult.error(
                "postgres-version",
                in_settings("database"),
                f"PostgreSQL {version} is too old",
                f"upgrade the server to PostgreSQL {POSTGRES_FLOOR} or newer",
            )
        yield from _check_standbys(conn)


def check_privileges(store: Store, _installation: Installation) -> Iterator[CheckResult]:
    """Check that the service's database role cannot change the audit (R97)."""
    from aizen_hub.store.db_grants import find_rewritable_tables

    if store.database.embedded:
        return
    with store.translate_db_errors(), store.database.engine.connect() as conn:
        rewritable_tables = find_rewritable_tables(conn)
    if rewritable_tables:
        yield CheckResult.error(
            "privileges",
            in_settings("database"),
            f"the service's database role can change and delete rows of {' and '.join(rewritable_tables)}",
            "run as the owner of the tables: aizen-hub db upgrade --service-role NAME; then connect with that role",
        )
    else:
        yield CheckResult.passed("privileges", "the service's database role can only append to the audit")


def check_catalog_in_force(store: Store, _installation: Installation) -> Iterator[CheckResult]:
    with store.read() as tx:
        is_same = tx.state.catalog_hash in ("", store.catalog.hash)
    if not is_same and not store.database.embedded:
        yield CheckResult.error(
            "catalog-in-force",
            in_settings("catalog, overlays"),
            "the replicas use another catalog than this aizen.yaml names: this one would decide nothing",
            "give all replicas the same catalog, overlays and version of aizen-hub; `aizen-hub db adopt-catalog` puts "
            "the catalog of this aizen.yaml in force",
        )


def check_clock(store: Store, _installation: Installation) -> Iterator[CheckResult]:
    with store.read() as tx:
        skew, revision = abs(datetime.now(UTC) - tx.now), tx.revision
    if skew > MAX_CLOCK_SKEW:
        yield CheckResult.error(
            "clock",
            "the clock of this machine",
            f"this machine's clock is {skew.total_seconds():.0f} s off the database's",
            "run NTP on this machine",
        )
    else:
        yield CheckResult.passed("clock", f"revision {revision}; this machine's clock agrees with the database's")


def check_outbox(store: Store, _installation: Installation) -> Iterator[CheckResult]:
    from aizen_hub.store import tables

    o, where, remedy = tables.outbox, in_settings("alerts"), "check `alerts` in aizen.yaml"
    with store.read() as tx:
        is_overdue = o.c.sent.is_(None), o.c.failure.is_(None), o.c.created < tx.now - MAX_OUTBOX_AGE
        overdue, failed = (
            tx.conn.scalar(select(func.count()).select_from(o).where(*conditions))
            for conditions in (is_overdue, (o.c.failure.is_not(None),))
        )
        newest_first = o.c.created.desc(), o.c.id.desc()
        last_error = tx.conn.scalar(
            select(o.c.failure).where(o.c.failure.is_not(None)).order_by(*newest_first).limit(1)
        )
    if overdue:
        yield CheckResult.warning("alerts", where, f"{overdue} alerts were not delivered in time", remedy)
    if failed:
        message = f"{failed} alerts could not be delivered, last error: {str(last_error)[:200]}"
        yield CheckResult.warning("alerts", where, message, remedy)
    if not (overdue or failed):
        yield CheckResult.passed("alerts", "no alert is overdue")


def check_backups(store: Store, _installation: Installation) -> Iterator[CheckResult]:
    """Check the age of the last backup that `aizen-hub db backup` made; other tools for PostgreSQL are not seen."""
    from aizen_hub.store import tables

    a = tables.audit.c
    with store.read() as tx:
        newest = select(func.max(a.at)).where(a.at > tx.now - MAX_BACKUP_AGE, a.event == "database.backed-up")
        made = tx.conn.scalar(newest)
    if made is not None:
        yield CheckResult.passed("backup-age", f"the last backup is from {made.isoformat(timespec='minutes')}")
        return
    embedded = store.database.embedded
    yield CheckResult.warning(
        "backup-age",
        in_settings("database"),
        f"`aizen-hub db backup` made no backup in the last {MAX_BACKUP_AGE.days} days"
        + ("" if embedded else "; other tools are not seen here"),
        "run `aizen-hub db backup FILE` from a timer, and keep FILE on another disk"
        + ("" if embedded else ", or check the age of what your own tools made"),
        production=embedded,
    )


def _remedy_of(sentence: str) -> str:
    if "newer" in sentence:
        return "pip install --upgrade aizen-hub on this machine"
    if "aizen-hub db upgrade" in sentence:
        return "stop the service, and run: aizen-hub db upgrade"
    return "correct `database` in aizen.yaml"


def _check_integrity(database: Database, path: Path) -> Iterator[CheckResult]:
    """Report damaged pages of a SQLite file; anything that keeps it from being opened is reported by others."""
    if path.stat().st_size > _MAX_CHECKED_BYTES:
        return
    try:
        with database.engine.connect() as conn:
            result = str(conn.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    except SQLAlchemyError:
        return
    if result != "ok":
        yield CheckResult.error(
            "database-damaged",
            str(path),
            f"the database file is damaged: {result[:200].splitlines()[-1]}",
            "check its disk, and restore the file from a backup: aizen-hub db restore",
        )


def _check_standbys(conn: Connection) -> Iterator[CheckResult]:
    """Check that commits wait for a standby: a failover would otherwise lose acknowledged changes (T-44)."""
    is_synchronous = bool(conn.exec_driver_sql("SHOW synchronous_standby_names").scalar())
    # The number of standbys is visible without further privileges.
    standbys = conn.exec_driver_sql("SELECT count(*) FROM pg_stat_replication").scalar()
    if is_synchronous and conn.exec_driver_sql("SHOW synchronous_commit").scalar() == "local":
        yield CheckResult.error(
            "durability",
            "postgresql.conf: synchronous_commit",
            "the database runs with synchronous_commit=local: a failover can lose acknowledged changes",
            "synchronous_commit = on",
        )
    elif is_synchronous:
        yield CheckResult.passed("standbys", "the database waits for a standby before it acknowledges a commit")
    elif standbys:
        yield CheckResult.warning(
            "standbys",
            "postgresql.conf: synchronous_standby_names",
            f"the database has {standbys} standbys and waits for none of them: a failover can lose acknowledged "
            "changes, including revocations",
            "synchronous_standby_names, see deploy/postgresql",
            production=True,
        )
