"""The court's clerk: holds its connection, and has each batch of questions decided and recorded in one transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from aizen_hub.accounts.court_case import Ruling, clock, decision_row, judge
from aizen_hub.accounts.court_facts import Facts
from aizen_hub.accounts.court_room import Waiting
from aizen_hub.audit import loss
from aizen_hub.audit.chain import Link
from aizen_hub.audit.row import row_id
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import Rights
from aizen_hub.store import kill_point
from aizen_hub.store.database import State
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import check_catalog

_POLL_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Sitting:
    """A batch that is decided in an open transaction, and not yet on record.

    Attributes
    ----------
    rulings : sequence of Ruling
        In the order of the questions. Nobody may be told before they are recorded.
    """

    batch: Sequence[Waiting]
    rulings: Sequence[Ruling]
    links: Sequence[Link]
    turn: Callable[[], None]


class Clerk:
    """Decides batches on one connection, of which only one thread makes use at a time: whoever has the turn to write.

    An embedded database is held in this process, and handing each of its statements to another thread costs more than
    most of them. So there a batch may begin on the event loop, as long as everything it needs is at hand in memory and
    nobody else is writing; only what the disk has to do for it, the rows and the commit, is left to the court's thread.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._facts = Facts(store.database)
        self._conn: Connection | None = None
        self.seen = -1

    def at_once(self, batch: Sequence[Waiting]) -> Sitting | None:
        """Decide a batch without waiting for anybody or for the disk; None if that cannot be done.

        `record` must follow, in whatever thread.
        """
        conn = self._conn
        turn = None if conn is None else self._store.turn_at_once()
        if conn is None or turn is None:
            return None
        sitting = None
        try:
            read_at = clock()
            state = self._store.database.begin_at(conn, "batch")
            self._check(state)
            self._facts.at(state.revision, None, state.server)
            rights = partial(self._store.cache.at_hand, state.revision)
            sitting = self._judged(batch, conn, state, read_at, rights, turn)
        except Exception:  # noqa: BLE001, S110 - whatever it is, the thread meets it again, and can wait and tell it
            pass
        finally:
            if sitting is None:
                self._store.database.rollback(conn)
                turn()
        return sitting

    def hear(self, batch: Sequence[Waiting]) -> Sequence[Ruling]:
        """Decide and record a batch, waiting for whatever that takes.

        Raises
        ------
        Unavailable
            Somebody else was writing for the whole deadline, another catalog is in force, or the database was set back.
        The driver's errors; nothing of the batch is on record then.
        """
        # The turn in the chain comes first: where each transaction has a snapshot, one taken before somebody else's row
        # was appended would show an old head.
        turn = self._store.turn()
        try:
            conn = self._connected()
            read_at, state = self._begun(conn)
            try:
                self._check(state)
                self._facts.at(state.revision, self._store.database.cursor(conn), state.server)
                rights = partial(self._store.cache.rights, conn, state.revision)
                sitting = self._judged(batch, conn, state, read_at, rights, turn)
            except BaseException:  # goes on up; the connection is kept and must not carry a half transaction along
                self._store.database.rollback(conn)
                raise
        except BaseException:  # goes on up; who waits for the turn must not wait in vain
            turn()
            raise
        return self.record(sitting)

    def record(self, sitting: Sitting) -> Sequence[Ruling]:
        """Put a sitting on record and end it.

        Raises
        ------
        The driver's errors; nothing of it is on record then.
        """
        store, conn = self._store, self._connected()
        try:
            store.chain.insert(store.database.cursor(conn), sitting.links)
            kill_point.reached("before-commit")
            store.database.commit(conn)
            store.chain.confirm()
            kill_point.reached("after-commit")
        except BaseException:  # goes on up; the connection is kept and must not carry a half transaction along
            store.database.rollback(conn)
            raise
        finally:
            sitting.turn()
        if sitting.rulings:
            self.seen = sitting.rulings[0].revision
        return sitting.rulings

    def disconnect(self) -> None:
        """Throw a connection away that cannot be trusted any more; that of an embedded database is no connection."""
        if self._conn is not None and not self._store.database.embedded:
            self._conn.invalidate()
            self.close()

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _judged(
        self,
        batch: Sequence[Waiting],
        conn: Connection,
        state: State,
        read_at: float,
        rights: Callable[[Identity], Rights],
        turn: Callable[[], None],
    ) -> Sitting:
        revision, now, catalog = state.revision, state.now, self._store.catalog
        rulings, rows = [], []
        for one in batch:
            decision = judge(one.question, state, self._facts, rights, catalog)
            number = row_id(now)
            rows.append(decision_row(number, one.question, decision, revision, now, one.text, one.again).encode())
            rulings.append(Ruling(number, decision, revision, now, read_at))
        kill_point.reached("decided")
        links = self._store.chain.links(self._store.database.cursor(conn), rows, state.server)
        return Sitting(batch, rulings, links, turn)

    def _check(self, state: State) -> None:
        check_catalog(state, self._store.catalog)
        if state.revision < self.seen:
            # An older database was put in place of ours while we ran; what we remember may never have happened (T-40).
            raise Unavailable(
                f"the database shows revision {state.revision}, but {self.seen} was seen: it was set back",
                remedy=f"{loss.REMEDY}; then restart the service",
            )

    def _begun(self, conn: Connection) -> tuple[float, State]:
        database = self._store.database
        until = time.monotonic() + database.deadline_seconds
        while True:
            read_at = clock()
            try:
                return read_at, database.begin_at(conn, "batch")
            except sqlite3.OperationalError as error:
                database.rollback(conn)
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
            # Another process writes. On this connection SQLite itself does not wait: it must not, on the event loop.
            time.sleep(_POLL_SECONDS)

    def _connected(self) -> Connection:
        if self._conn is None:
            self._conn = self._store.database.connected_at_once()
        return self._conn
