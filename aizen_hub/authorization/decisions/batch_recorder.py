"""Decides and records one batch of decision requests in one transaction, on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from aizen_hub.audit.integrity import rollback_detection
from aizen_hub.authorization.decisions.batch_item import BatchItem, BatchView, Outcome
from aizen_hub.authorization.decisions.decision_context import DecisionContext
from aizen_hub.authorization.decisions.evaluation import boottime
from aizen_hub.problems import Unavailable
from aizen_hub.store.database import StoreState
from aizen_hub.store.failpoints import failpoint
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import ReadTransaction, require_current_catalog


class BatchRecorder:
    """Decides batches on one connection; used by one thread only.

    Attributes
    ----------
    last_revision : int
        Highest revision at which a batch was decided; -1 before the first.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._context = DecisionContext(store.database)
        self._conn: Connection | None = None
        self.last_revision = -1

    def record(self, batch: Sequence[BatchItem[Any]]) -> Sequence[Outcome]:
        """Decide and record a batch; blocks until it is committed.

        Raises
        ------
        Unavailable
            Another writer held the lock for the whole deadline, another catalog is in force, or the database was rolled
            back to an older state.
        The driver's errors; nothing of the batch is recorded then.
        """
        store = self._store
        # The chain lock comes before the transaction: a snapshot taken before another writer appended its row would
        # show an old head of the chain.
        with store.write_lock(), store.chain_lock():
            conn = self._connection()
            revision_read_at = boottime()
            try:
                state = store.database.begin_and_read_state(conn, "batch")
                outcomes = self._decide_batch(batch, conn, state, revision_read_at)
                failpoint("before-commit")
                store.database.commit(conn)
                store.chain.confirm()
                failpoint("after-commit")
            except BaseException:  # re-raised; the connection is kept and must not keep an open transaction
                store.database.rollback(conn)
                raise
        self.last_revision = state.revision
        return outcomes

    def disconnect(self) -> None:
        """Discard a connection in an unknown state; an embedded database has no connection to discard."""
        if self._conn is not None and not self._store.database.embedded:
            self._conn.invalidate()
            self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _decide_batch(
        self, batch: Sequence[BatchItem[Any]], conn: Connection, state: StoreState, revision_read_at: float
    ) -> Sequence[Outcome]:
        self._check_state(state)
        store = self._store
        cursor = store.database.cursor(conn)
        self._context.bind(state.revision, cursor, state.server_started)
        view = BatchView(ReadTransaction(conn, state, store), self._context, revision_read_at)
        outcomes, records = [], []
        for item in batch:
            outcome, item_records = item.decide(view)
            outcomes.append(outcome)
            records += [record.encode() for record in item_records]
        failpoint("decided")
        store.chain.append(cursor, records, state.server_started)
        return outcomes

    def _check_state(self, state: StoreState) -> None:
        require_current_catalog(state, self._store.catalog)
        if state.revision < self.last_revision:
            # An older database was restored while the service ran, so cached state may never have existed in it (T-40).
            raise Unavailable(
                f"the database shows revision {state.revision}, but {self.last_revision} was seen: it was set back",
                remedy=f"{rollback_detection.REMEDY}; then restart the service",
            )

    def _connection(self) -> Connection:
        if self._conn is None:
            self._conn = self._store.database.engine.connect()
        return self._conn
