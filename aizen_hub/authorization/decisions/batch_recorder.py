"""The court's clerk: holds its connection, and has each batch of questions decided and recorded in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection

from aizen_hub.audit.integrity import rollback_detection as loss
from aizen_hub.authorization.decisions.evaluation import Ruling, clock, decision_row, judge
from aizen_hub.authorization.decisions.pending_decisions import Waiting
from aizen_hub.authorization.decisions.session_facts import Facts
from aizen_hub.problems import Unavailable
from aizen_hub.store import failpoints as kill_point
from aizen_hub.store.audit_log.record import row_id
from aizen_hub.store.database import State
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import check_catalog


class Clerk:
    """Decides batches on one connection, for one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._facts = Facts(store.database)
        self._conn: Connection | None = None
        self.seen = -1

    def hear(self, batch: Sequence[Waiting]) -> Sequence[Ruling]:
        """Decide and record a batch, waiting for whatever that takes.

        Raises
        ------
        Unavailable
            Somebody else was writing for the whole deadline, another catalog is in force, or the database was set back.
        The driver's errors; nothing of the batch is on record then.
        """
        store = self._store
        # The turn in the chain comes first: where each transaction has a snapshot, one taken before somebody else's row
        # was appended would show an old head.
        with store.one_writer(), store.chain_turn():
            conn = self._connected()
            read_at = clock()
            try:
                state = store.database.begin_at(conn, "batch")
                rulings = self._judged(batch, conn, state, read_at)
                kill_point.reached("before-commit")
                store.database.commit(conn)
                store.chain.confirm()
                kill_point.reached("after-commit")
            except BaseException:  # goes on up; the connection is kept and must not carry a half transaction along
                store.database.rollback(conn)
                raise
        self.seen = state.revision
        return rulings

    def disconnect(self) -> None:
        """Throw a connection away that cannot be trusted any more; that of an embedded database is no connection."""
        if self._conn is not None and not self._store.database.embedded:
            self._conn.invalidate()
            self.close()

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _judged(self, batch: Sequence[Waiting], conn: Connection, state: State, read_at: float) -> Sequence[Ruling]:
        self._check(state)
        store, revision, now = self._store, state.revision, state.now
        cursor = store.database.cursor(conn)
        self._facts.at(revision, cursor, state.server)
        rights = partial(store.cache.rights, conn, revision)
        rulings, rows = [], []
        for one in batch:
            decision = judge(one.question, state, self._facts, rights, store.catalog)
            number = row_id(now)
            rows.append(decision_row(number, one.question, decision, revision, now, one.text, one.again).encode())
            rulings.append(Ruling(number, decision, revision, now, read_at))
        kill_point.reached("decided")
        store.chain.append(cursor, rows, state.server)
        return rulings

    def _check(self, state: State) -> None:
        check_catalog(state, self._store.catalog)
        if state.revision < self.seen:
            # An older database was put in place of ours while we ran; what we remember may never have happened (T-40).
            raise Unavailable(
                f"the database shows revision {state.revision}, but {self.seen} was seen: it was set back",
                remedy=f"{loss.REMEDY}; then restart the service",
            )

    def _connected(self) -> Connection:
        if self._conn is None:
            self._conn = self._store.database.engine.connect()
        return self._conn
