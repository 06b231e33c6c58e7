"""The store: the only door to the database."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store import failpoints as kill_point
from aizen_hub.store import migrate as schema
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.audit_log.hash_chain import Chain
from aizen_hub.store.audit_log.record import AuditRow, Encoded
from aizen_hub.store.database import Database, State
from aizen_hub.store.db_errors import is_outage, unavailable
from aizen_hub.store.db_grants import rewritable
from aizen_hub.store.rights.cache import RightsCache
from aizen_hub.store.rights.loader import RightsLoader
from aizen_hub.store.transaction import Read, Write

log = logging.getLogger(__name__)


class Store:
    """Opens transactions. Synchronous, and safe to use from many threads.

    All processes on one SQLite file write one audit chain, since the file lets only one of them write at a time; on
    PostgreSQL each process has a chain of its own, so that no replica waits for another's commit.
    """

    def __init__(self, database: Database, catalog: Catalog, settings: Settings) -> None:
        self.database = database
        self.catalog = catalog
        self.settings = settings
        writer = "main" if database.embedded else f"w-{secrets.token_hex(8)}"
        self.chain = Chain(writer, database.placeholder, shared=database.embedded)
        self.cache = RightsCache(RightsLoader(catalog, settings.group_max_age_seconds))
        database.forget = self.cache.clear
        # SQLite waits for its write lock by sleeping and asking again; a lock of our own hands over at once.
        self._writing = threading.Lock()

    @classmethod
    def open(cls, settings: Settings, catalog: Catalog, *, warns: bool = True) -> Self:
        """Open the database that the settings name.

        A new embedded file is created. The catalog's hash is put under the revision where the database is embedded or
        new; elsewhere another hash stays, and decisions wait until `adopt_catalog` is called.

        Parameters
        ----------
        warns : bool
            Whether to log what the server does not promise. An operator's command does not: it may connect as the owner
            on purpose, and `aizen-hub doctor` says all of it.

        Raises
        ------
        SchemaError
            The schema is not the one this version works with (R5).
        ConfigurationError
            The address cannot be used.
        Unavailable
            The database does not answer.
        """
        database = Database(settings.database_url, settings.service.deadline_seconds)
        store = cls(database, catalog, settings)
        try:
            with store.guarded():
                schema.prepare(database)
                if warns:
                    store._check_server()
            with store.read() as tx:
                known = tx.state.catalog_hash
            if known != catalog.hash and (database.embedded or not known):
                store.adopt_catalog()
        except BaseException:  # goes on up; nobody else would close these connections
            database.dispose()
            raise
        return store

    def close(self) -> None:
        """Close all connections; what is still open is rolled back."""
        self.database.dispose()

    @contextmanager
    def read(self) -> Iterator[Read]:
        """Open one consistent view, never blocked by a writer.

        Raises
        ------
        Unavailable
            The database does not answer within the deadline.
        """
        with self.guarded(), self._transaction("read") as (conn, state):
            yield Read(conn, state, self)

    @contextmanager
    def write(self, actor: Actor) -> Iterator[Write]:
        """Open a change: lock the revision, then commit everything at the end of the block, or nothing.

        Raises
        ------
        Unavailable
            The database does not answer within the deadline. With ``indeterminate`` in ``more`` the answer to the
            commit itself was lost: the change may have happened (R105).
        """
        with self.guarded(), self.one_writer(), self._transaction("write") as (conn, state):
            kill_point.reached("begun")
            tx = Write(conn, state, self, actor)
            yield tx
            rows = tx.finish()
            kill_point.reached("changed")
            self._append_and_commit(conn, rows, state)
            self.database.newest = max(self.database.newest, tx.revision)

    def record(self, rows: Iterable[AuditRow]) -> None:
        """Write audit rows that belong to no change: denials, logins, reads.

        Raises
        ------
        Unavailable
            They could not be written; whatever they report must not be answered.
        """
        encoded = [row.encode() for row in rows]
        with self.guarded(), self.one_writer(), self._transaction("append") as (conn, state):
            self._append_and_commit(conn, encoded, state)

    def adopt_catalog(self) -> None:
        """Put this process's catalog in force for all (R109)."""
        actor = Actor(Identity.service_account("aizen-hub"), Road.OPERATOR)
        content = {"name": self.catalog.name, "version": self.catalog.version, "hash": self.catalog.hash}
        with self.write(actor) as tx:
            before = tx.conn.scalar(select(tables.revision.c.catalog_hash))
            tx.conn.execute(update(tables.revision).values(catalog_hash=self.catalog.hash))
            tx.change("catalog", {**content, "before": before}, ["*"])
            tx.audit("catalog.adopted", catalog=content)

    @contextmanager
    def one_writer(self) -> Iterator[None]:
        """Wait for the turn to write in an embedded database; elsewhere the database has rows to lock."""
        if not self.database.embedded:
            yield
            return
        if not self._writing.acquire(timeout=self.database.deadline_seconds):
            raise Unavailable("the store is busy with another change", remedy="try again in a moment")
        try:
            yield
        finally:
            self._writing.release()

    @contextmanager
    def chain_turn(self) -> Iterator[None]:
        """Wait for the turn to append to this process's audit chain; held until the commit."""
        if not self.chain.lock.acquire(timeout=self.database.deadline_seconds):
            raise Unavailable("the audit is busy", remedy="try again in a moment")
        try:
            yield
        finally:
            self.chain.lock.release()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn outages of the database into `Unavailable`, and let faults of ours through."""
        try:
            yield
        except (self.database.driver_error, DBAPIError, PoolTimeout) as error:
            if not is_outage(error):
                raise
            log.warning("the database failed: %s", type(getattr(error, "orig", error)).__name__)
            raise unavailable(error) from error

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[tuple[Connection, State]]:
        with self.database.engine.connect() as conn:
            try:
                yield conn, self.database.begin_at(conn, kind)
            except BaseException:  # goes on up; begun by hand, so nobody else rolls it back
                self.database.rollback(conn)
                raise
            if kind == "read":
                self.database.rollback(conn)

    def _append_and_commit(self, conn: Connection, rows: Sequence[Encoded], state: State) -> None:
        with self.chain_turn():
            self.chain.append(self.database.cursor(conn), rows, state.server)
            kill_point.reached("before-commit")
            try:
                self.database.commit(conn)
                self.chain.confirm()
                kill_point.reached("after-commit")
            except self.database.driver_error as error:
                # SQLite says for certain that a failed commit did not happen; a lost connection says nothing.
                if self.database.embedded or not is_outage(error):
                    raise
                raise unavailable(error, indeterminate=True) from error

    def _check_server(self) -> None:
        if self.database.embedded:
            return
        with self.database.engine.connect() as conn:
            for name in ("fsync", "synchronous_commit"):
                if conn.exec_driver_sql(f"SHOW {name}").scalar() == "off":
                    log.warning("the database runs with %s=off: a crash may lose acknowledged changes (R106)", name)
            if records := rewritable(conn):
                log.warning(
                    "the service's database role may rewrite what was recorded, in %s (R97): give it a role of its own"
                    " with `aizen-hub db upgrade --service-role`",
                    " and ".join(records),
                )
