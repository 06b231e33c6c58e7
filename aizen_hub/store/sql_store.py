"""The store: the only access to the database."""

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
from aizen_hub.store import migrate, tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.audit_log.hash_chain import HashChain
from aizen_hub.store.audit_log.record import AuditRecord, EncodedRecord
from aizen_hub.store.database import Database, StoreState
from aizen_hub.store.db_errors import is_outage, to_unavailable
from aizen_hub.store.db_grants import find_rewritable_tables
from aizen_hub.store.failpoints import failpoint
from aizen_hub.store.rights.cache import RightsCache
from aizen_hub.store.rights.loader import RightsLoader
from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

log = logging.getLogger(__name__)


class Store:
    """Opens transactions. Synchronous, and safe to use from many threads.

    All processes on one SQLite file append to one audit chain, since only one of them can write at a time. On
    PostgreSQL each process has its own chain, so that no replica waits for another's commit.
    """

    def __init__(self, database: Database, catalog: Catalog, settings: Settings) -> None:
        self.database = database
        self.catalog = catalog
        self.settings = settings
        writer = "main" if database.embedded else f"w-{secrets.token_hex(8)}"
        self.chain = HashChain(writer, database.placeholder, shared=database.embedded)
        self.cache = RightsCache(RightsLoader(catalog, settings.group_max_age_seconds))
        database.on_server_change = self.cache.clear
        # SQLite polls for its write lock; within the process this lock is handed over immediately.
        self._write_lock = threading.Lock()

    @classmethod
    def open(cls, settings: Settings, catalog: Catalog, *, log_warnings: bool = True) -> Self:
        """Open the configured database.

        A new embedded file is created. If the database is embedded or new, this process's catalog is adopted. Otherwise
        a different catalog stays in force, and nothing is decided until `adopt_catalog` is called.

        Parameters
        ----------
        log_warnings : bool
            Whether to log weaknesses of the database server. Operator commands do not: they may connect as the owner on
            purpose, and `aizen-hub doctor` reports the same.

        Raises
        ------
        SchemaError
            The schema is not the one that this version works with (R5).
        ConfigurationError
            The database URL is invalid or not supported.
        Unavailable
            The database does not answer.
        """
        database = Database(settings.database_url, settings.service.deadline_seconds)
        store = cls(database, catalog, settings)
        try:
            with store.translate_db_errors():
                migrate.prepare(database)
                if log_warnings:
                    store._warn_about_server()
            with store.read() as tx:
                catalog_hash = tx.state.catalog_hash
            if catalog_hash != catalog.hash and (database.embedded or not catalog_hash):
                store.adopt_catalog()
        except BaseException:  # re-raised after closing the connections
            database.dispose()
            raise
        return store

    def close(self) -> None:
        """Close all connections; open transactions are rolled back."""
        self.database.dispose()

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """Open a read transaction on one snapshot; writers never block it.

        Raises
        ------
        Unavailable
            The database does not answer within the deadline.
        """
        with self.translate_db_errors(), self._transaction("read") as (conn, state):
            yield ReadTransaction(conn, state, self)

    @contextmanager
    def read_as(self, actor: Actor) -> Iterator[ActorTransaction]:
        """Open a read transaction whose checks are about an actor; raises as `read` does."""
        with self.translate_db_errors(), self._transaction("read") as (conn, state):
            yield ActorTransaction(conn, state, self, actor)

    @contextmanager
    def write(self, actor: Actor) -> Iterator[WriteTransaction]:
        """Open a write transaction: lock the revision row, and commit at the end of the block.

        Raises
        ------
        Unavailable
            The database does not answer within the deadline. With ``indeterminate`` in ``extensions``, the response to
            the commit itself was lost: the change may have happened (R105).
        """
        with self.translate_db_errors(), self.write_lock(), self._transaction("write") as (conn, state):
            failpoint("begun")
            tx = WriteTransaction(conn, state, self, actor)
            yield tx
            rows = tx.finish()
            failpoint("changed")
            self._append_and_commit(conn, rows, state)
            self.database.newest_revision = max(self.database.newest_revision, tx.revision)

    def append_audit(self, records: Iterable[AuditRecord]) -> None:
        """Write audit records that belong to no change: denials, logins, reads.

        Raises
        ------
        Unavailable
            They could not be written; the caller must not answer the requests that they record.
        """
        encoded = [record.encode() for record in records]
        with self.translate_db_errors(), self.write_lock(), self._transaction("append") as (conn, state):
            self._append_and_commit(conn, encoded, state)

    def adopt_catalog(self) -> None:
        """Put this process's catalog in force for all replicas (R109)."""
        actor = Actor(Identity.service_account("aizen-hub"), Channel.OPERATOR)
        content = {"name": self.catalog.name, "version": self.catalog.version, "hash": self.catalog.hash}
        with self.write(actor) as tx:
            before = tx.conn.scalar(select(tables.revision.c.catalog_hash))
            tx.conn.execute(update(tables.revision).values(catalog_hash=self.catalog.hash))
            tx.record_change("catalog", {**content, "before": before}, ["*"])
            tx.audit("catalog.adopted", catalog=content)

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """Acquire the process-wide write lock of an embedded database; PostgreSQL locks the revision row instead."""
        if not self.database.embedded:
            yield
            return
        if not self._write_lock.acquire(timeout=self.database.deadline_seconds):
            raise Unavailable("the store is busy with another change", remedy="try again in a moment")
        try:
            yield
        finally:
            self._write_lock.release()

    @contextmanager
    def chain_lock(self) -> Iterator[None]:
        """Acquire the lock of this process's audit chain, which is held until the commit."""
        if not self.chain.lock.acquire(timeout=self.database.deadline_seconds):
            raise Unavailable("the audit is busy", remedy="try again in a moment")
        try:
            yield
        finally:
            self.chain.lock.release()

    @contextmanager
    def translate_db_errors(self) -> Iterator[None]:
        """Translate database outages to `Unavailable`; other errors are bugs and pass through."""
        try:
            yield
        except (self.database.driver_error, DBAPIError, PoolTimeout) as error:
            if not is_outage(error):
                raise
            log.warning("the database failed: %s", type(getattr(error, "orig", error)).__name__)
            raise to_unavailable(error) from error

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[tuple[Connection, StoreState]]:
        with self.database.engine.connect() as conn:
            try:
                yield conn, self.database.begin_and_read_state(conn, kind)
            except BaseException:  # re-raised; SQLAlchemy does not know of this transaction
                self.database.rollback(conn)
                raise
            if kind == "read":
                self.database.rollback(conn)

    def _append_and_commit(self, conn: Connection, rows: Sequence[EncodedRecord], state: StoreState) -> None:
        with self.chain_lock():
            self.chain.append(self.database.cursor(conn), rows, state.server_started)
            failpoint("before-commit")
            try:
                self.database.commit(conn)
                self.chain.confirm()
                failpoint("after-commit")
            except self.database.driver_error as error:
                # With SQLite a failed commit certainly did not happen; after a lost connection it is unknown.
                if self.database.embedded or not is_outage(error):
                    raise
                raise to_unavailable(error, indeterminate=True) from error

    def _warn_about_server(self) -> None:
        if self.database.embedded:
            return
        with self.database.engine.connect() as conn:
            for name in ("fsync", "synchronous_commit"):
                if conn.exec_driver_sql(f"SHOW {name}").scalar() == "off":
                    log.warning("the database runs with %s=off: a crash may lose acknowledged changes (R106)", name)
            if names := find_rewritable_tables(conn):
                log.warning(
                    "the service's database role may change recorded rows, in %s (R97): give the service its own role"
                    " with `aizen-hub db upgrade --service-role`",
                    " and ".join(names),
                )
