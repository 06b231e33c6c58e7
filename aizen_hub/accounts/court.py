"""The court: decides all waiting questions in one transaction, records them in it, and only then answers.

One thread, one connection, one commit per batch: while a batch is being committed the next one gathers, so that the
cost of making rows durable is shared by whoever waits, and nobody waits for company.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from aizen_hub.accounts.court_case import Question, Ruling, clock, decision_row, judge
from aizen_hub.accounts.court_facts import Facts
from aizen_hub.accounts.court_room import Outcomes, Room, Waiting
from aizen_hub.audit.row import AuditRow, Encoded, row_id
from aizen_hub.audit.secret import SecretHasher
from aizen_hub.commands.command import Command
from aizen_hub.problems import Problem, Unavailable
from aizen_hub.rbac.decision import Decision
from aizen_hub.store import kill_point
from aizen_hub.store.database import State
from aizen_hub.store.failures import is_outage, unavailable
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import Read, Write

__all__ = ["Court", "Question", "Ruling"]

MAX_BATCH = 256
MAX_WAITING = 4_096
_ATTEMPTS = 3

log = logging.getLogger(__name__)


class Court:
    """Decides questions with their audit rows.

    Parameters
    ----------
    store : Store
    hasher : SecretHasher, optional
        For secret arguments; without one they are left out of the audit altogether.
    """

    def __init__(self, store: Store, hasher: SecretHasher | None = None) -> None:
        self.store = store
        self.hasher = hasher
        self._deadline = store.settings.service.deadline_seconds
        self._facts = Facts(store.database)
        self._seen = -1
        self._conn: Connection | None = None
        self._room: Room | None = None
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="court", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many questions wait, for the metrics."""
        return self._queue.qsize()

    @property
    def seen(self) -> int:
        """The last revision that something was decided at, for the metrics."""
        return self._seen

    async def decide(self, question: Question) -> Ruling:
        """Decide one question by the present state, on record before this returns.

        Raises
        ------
        Unavailable
            The store does not answer within the deadline, too many questions wait, or the service ends; nothing was
            allowed.
        """
        text = None if question.command is None else self.text(question.command)
        deadline = clock() + self._deadline
        again: str | None = None
        for _ in range(_ATTEMPTS):
            ruling = await self._ask(question, text, deadline, again)
            kill_point.reached("before-answer")
            # The answer may have waited for a busy loop or a paused process, and may be wrong by now.
            if ruling.fresh:
                return ruling
            again = ruling.id
        raise Unavailable("the service is too slow to decide on the present state", remedy="try again in a moment")

    def judge(self, tx: Read, question: Question) -> Decision:
        """Decide in somebody's transaction without recording, for what was recorded before and is still going on."""
        facts = Facts(self.store.database)
        facts.at(tx.revision, self.store.database.cursor(tx.conn))
        return judge(question, tx.state, facts, tx.rights, tx.catalog)

    def decide_in(self, tx: Read, question: Question) -> Ruling:
        """Decide in the transaction that has the effect (R81).

        In a `Write` the audit row goes with it; if that is rolled back, or in a mere `Read`, the caller records the
        ruling under its id.
        """
        read_at = clock()
        decision = self.judge(tx, question)
        number = row_id(tx.now)
        if isinstance(tx, Write):
            text = None if question.command is None else self.text(question.command)
            tx.add_row(decision_row(number, question, decision, tx.revision, tx.now, text, None))
        return Ruling(number, decision, tx.revision, tx.now, read_at)

    def row(self, ruling: Ruling, question: Question) -> AuditRow:
        """Return the audit row of a ruling, for those who record it themselves."""
        text = None if question.command is None else self.text(question.command)
        return decision_row(ruling.id, question, ruling.decision, ruling.revision, ruling.at, text, None)

    def text(self, command: Command) -> str:
        """Return the text of a command as it may be recorded."""
        return command.redacted(_left_out) if self.hasher is None else self.hasher.text(command)

    def close(self) -> None:
        """Decide what waits, then end; later questions are refused."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join(self._deadline)

    # --- on the event loop

    async def _ask(self, question: Question, text: str | None, deadline: float, again: str | None) -> Ruling:
        if self._closed:
            raise Unavailable("the service is ending")
        if self._queue.qsize() >= MAX_WAITING:
            raise Unavailable("too many questions are waiting", remedy="try again in a moment")
        loop = asyncio.get_running_loop()
        room = self._room
        if room is None or room.loop is not loop:
            room = self._room = Room(loop)
        one = Waiting(room, question, text, deadline, again)
        room.enter(one)
        self._queue.put(one)
        try:
            return await one.future
        finally:
            room.leave(one)

    # --- in the thread

    def _work(self) -> None:
        while self._hear(self._next()):
            pass
        if self._conn is not None:
            self._conn.close()

    def _next(self) -> list[Waiting | None]:
        batch = [self._queue.get()]
        while len(batch) < MAX_BATCH and batch[-1] is not None:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _hear(self, batch: list[Waiting | None]) -> bool:
        self._answer([one for one in batch if one is not None])
        return batch[-1] is not None

    def _answer(self, batch: list[Waiting]) -> None:
        for _ in range(_ATTEMPTS):
            now = clock()
            batch = [one for one in batch if not one.future.done() and now < one.deadline]
            if not batch:
                return
            outcomes = self._attempt(batch)
            if outcomes is None:
                # One bad row must not take the others with it.
                for one in batch:
                    self._answer([one])
                return
            late: list[Waiting] = []
            ready: list[tuple[Waiting, Ruling | Problem]] = []
            for one, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Ruling) and not outcome.fresh:
                    one.again = outcome.id
                    late.append(one)
                else:
                    ready.append((one, outcome))
            _deliver(ready)
            batch = late
        too_slow = Unavailable("the store is too slow to decide on its present state", remedy="try again in a moment")
        _deliver([(one, too_slow) for one in batch])

    def _attempt(self, batch: Sequence[Waiting]) -> Sequence[Ruling | Problem] | None:
        """Decide a batch; None if it failed in a way that need not concern each of its questions."""
        try:
            return self._decide(batch)
        except Problem as problem:
            return [problem] * len(batch)
        except (self.store.database.driver_error, DBAPIError, PoolTimeout) as error:
            log.warning("a batch of %d decisions failed: %s", len(batch), type(error).__name__)
            if is_outage(error):
                self._disconnect()
            # Locked, full or gone: each question alone would fail the same way.
            return [unavailable(error)] * len(batch) if len(batch) == 1 or is_outage(error) else None
        except Exception:
            # The thread must live on, and whatever happened, nobody is allowed anything.
            log.exception("a batch of %d decisions failed", len(batch))
            self._disconnect()
            return [Unavailable("the question could not be decided")] if len(batch) == 1 else None

    def _decide(self, batch: Sequence[Waiting]) -> list[Ruling | Problem]:
        store = self.store
        database, chain = store.database, store.chain
        outcomes: list[Ruling | Problem] = []
        rows: list[Encoded] = []
        # The turn in the chain comes first: where each transaction has a snapshot, one taken before somebody else's row
        # was appended would show an old head.
        with store.one_writer(), store.chain_turn():
            conn = self._connected()
            cursor = database.cursor(conn)
            read_at = clock()
            try:
                state = database.begin_at(conn, "batch")
                self._check(state)
                self._facts.at(state.revision, cursor, state.server)
                rights = partial(store.cache.rights, conn, state.revision)
                for one in batch:
                    decision = judge(one.question, state, self._facts, rights, store.catalog)
                    number = row_id(state.now)
                    row = decision_row(number, one.question, decision, state.revision, state.now, one.text, one.again)
                    rows.append(row.encode())
                    outcomes.append(Ruling(number, decision, state.revision, state.now, read_at))
                kill_point.reached("decided")
                chain.append(cursor, rows)
                kill_point.reached("before-commit")
                database.commit(conn)
                kill_point.reached("after-commit")
            except BaseException:  # goes on up; the connection is kept and must not carry a half transaction along
                database.rollback(conn)
                raise
            self._seen = state.revision
        return outcomes

    def _check(self, state: State) -> None:
        if state.catalog_hash != self.store.catalog.hash:
            raise Unavailable(
                "this service was started with another catalog than is in force",
                remedy="restart it",
            )
        if state.revision < self._seen:
            # An older database was put in place of ours while we ran; what we remember may never have happened (T-40).
            raise Unavailable(
                f"the database shows revision {state.revision}, but {self._seen} was seen: it was set back",
                remedy="`aizen-hub audit verify` shows what is missing; restart the service to accept it",
            )

    def _connected(self) -> Connection:
        if self._conn is None:
            self._conn = self.store.database.engine.connect()
        return self._conn

    def _disconnect(self) -> None:
        if self._conn is not None and not self.store.database.embedded:
            self._conn.invalidate()
            self._conn.close()
            self._conn = None


def _left_out(_: str) -> str:
    return "***"


def _deliver(outcomes: Outcomes) -> None:
    by_room: dict[Room, list[tuple[Waiting, Ruling | Problem]]] = {}
    for one in outcomes:
        by_room.setdefault(one[0].room, []).append(one)
    for room, some in by_room.items():
        room.deliver(some)
