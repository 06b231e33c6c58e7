"""The database: its schema, durability, role and clock, the keys in it, and alerts that were not delivered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from aizen_hub.cli.doctor.finding import Finding
from aizen_hub.problems import Problem
from aizen_hub.settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from aizen_hub.store.store import Store
    from aizen_hub.store.transaction import Read

KEY_AGE = timedelta(days=90)
CLOCK = timedelta(seconds=30)
"""Beyond it the service mints nothing (R135)."""
OUTBOX_AGE = timedelta(minutes=15)


def look(settings: Settings) -> Iterator[Finding]:
    from aizen_hub.cli.local_store import opened
    from aizen_hub.store import migrate as schema

    if settings.embedded and settings.database is None and not (settings.data_dir / "aizen.sqlite").exists():
        yield Finding("warn", "there is no database yet", "the service makes it at its first start")
        return
    try:
        schema.check(settings.database_url)
    except ConfigurationError as error:
        yield Finding("fail", str(error))
        return
    except Problem as error:
        yield Finding("fail", f"the database: {error.detail}", error.remedy or "")
        return
    yield Finding("ok", "the database's schema is the one this version works with")
    try:
        with opened(settings) as store:
            yield from _durability(store)
            yield from _records(store)
            with store.read() as tx:
                yield from _clock(tx)
                yield from _outbox(tx)
            yield from _keys(settings, store)
    except Problem as error:
        yield Finding("fail", f"the database: {error.detail}", error.remedy or "")
    except ValueError:
        yield Finding("warn", "the database was not looked into: first mend the catalog")


def _durability(store: Store) -> Iterator[Finding]:
    if store.database.embedded:
        return
    with store.database.engine.connect() as conn:
        for name in ("fsync", "synchronous_commit"):
            if conn.exec_driver_sql(f"SHOW {name}").scalar() == "off":
                yield Finding("fail", f"the database runs with {name}=off: a crash may lose changes", f"{name} = on")
        yield from _standbys(conn)


def _records(store: Store) -> Iterator[Finding]:
    """Whoever takes over the service must not rewrite what was recorded (R97)."""
    from aizen_hub.store.db_grants import rewritable

    if store.database.embedded:
        return
    with store.database.engine.connect() as conn:
        found = rewritable(conn)
    if found:
        yield Finding(
            "fail",
            f"the service's database role may change and remove rows of {' and '.join(found)}",
            "as the owner of the tables: aizen-hub db upgrade --service-role NAME; and connect with that role",
        )
    else:
        yield Finding("ok", "the service's database role may add to what was recorded, and change none of it")


def _standbys(conn: Connection) -> Iterator[Finding]:
    """A failover to a standby that the database does not wait for loses what was acknowledged last (T-44)."""
    waits = bool(conn.exec_driver_sql("SHOW synchronous_standby_names").scalar())
    # Whoever may see nothing more of them still sees how many there are.
    standbys = conn.exec_driver_sql("SELECT count(*) FROM pg_stat_replication").scalar()
    if waits and conn.exec_driver_sql("SHOW synchronous_commit").scalar() == "local":
        yield Finding(
            "fail",
            "the database runs with synchronous_commit=local: a failover may lose acknowledged changes",
            "synchronous_commit = on",
        )
    elif waits:
        yield Finding("ok", "the database acknowledges what a standby has, too")
    elif standbys:
        yield Finding(
            "warn",
            f"{standbys} servers follow the database, which waits for none of them: a failover may lose acknowledged "
            "changes, revocations among them",
            "synchronous_standby_names, see deploy/postgresql",
        )


def _clock(tx: Read) -> Iterator[Finding]:
    off = abs(datetime.now(UTC) - tx.now)
    if off > CLOCK:
        yield Finding("fail", f"this machine's clock is {off.total_seconds():.0f} s off the database's", "run NTP here")
    else:
        yield Finding("ok", f"revision {tx.revision}; this machine's clock agrees with the database's")


def _outbox(tx: Read) -> Iterator[Finding]:
    from aizen_hub.store import tables

    o = tables.outbox
    late = o.c.sent.is_(None), o.c.failed.is_(None), o.c.created < tx.now - OUTBOX_AGE
    waiting, failed = (
        tx.conn.scalar(select(func.count()).select_from(o).where(*which))
        for which in (late, (o.c.failed.is_not(None),))
    )
    if waiting:
        yield Finding("warn", f"{waiting} alerts were not delivered yet", "check `alerts` in aizen.yaml")
    if failed:
        last = select(o.c.failed).where(o.c.failed.is_not(None)).order_by(o.c.created.desc(), o.c.id.desc()).limit(1)
        why = str(tx.conn.scalar(last))[:200]
        yield Finding("warn", f"{failed} alerts were given up, the last: {why}", "check `alerts` in aizen.yaml")
    if not (waiting or failed):
        yield Finding("ok", "no alert waits for long")


def _keys(settings: Settings, store: Store) -> Iterator[Finding]:
    from aizen_hub.store import tables
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.tokens.keys import KeyState

    k = tables.keys
    with store.read() as tx:
        known = tx.conn.execute(select(k.c.kid).limit(1)).first() is not None
    if not known:
        yield Finding("warn", "there are no keys yet", "the service makes them at its first start")
        return
    if not settings.checkpoint_path.exists():
        yield Finding(
            "warn",
            f"the audit's checkpoint file {settings.checkpoint_path} is not there: the next start begins a new one, and"
            " does not notice if the database was set back",
            "before that start bring the file back, mount its disk, or mend `checkpoint_file`",
        )
    # Makes nothing, since there are keys.
    keys = KeyStore.open(settings, store)
    with store.read() as tx:
        ring, now = keys.ring(tx), tx.now
    if ring.is_sealed:
        yield Finding(
            "fail",
            f"the service is sealed: {ring.sealed or 'a key is missing'}",
            "bring the key-encryption file back from its backup; if it is lost: aizen-hub keys --help",
        )
        return
    old = sorted(
        one.purpose.value for one in ring.keys if one.state is KeyState.SIGNING and now - one.changed > KEY_AGE
    )
    if old:
        days = KEY_AGE.days
        yield Finding("warn", f"keys sign for more than {days} days: {', '.join(old)}", "aizen-hub keys rotate")
    else:
        yield Finding("ok", "every purpose has a key that signs")
