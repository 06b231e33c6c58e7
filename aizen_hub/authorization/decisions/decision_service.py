"""The court: decides all waiting questions in one transaction, records them in it, and only then answers.

One thread, one connection, one commit per batch: while a batch is being committed the next one gathers, so that the
cost of making rows durable is shared by whoever waits, and nobody waits for company.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Sequence

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from aizen_hub.audit.redaction import SecretHasher
from aizen_hub.authorization.decisions.batch_recorder import Clerk
from aizen_hub.authorization.decisions.evaluation import Question, Ruling, clock, decision_row, judge
from aizen_hub.authorization.decisions.pending_decisions import Outcomes, Room, Waiting, settle
from aizen_hub.authorization.decisions.session_facts import Facts
from aizen_hub.commands.command import Command
from aizen_hub.problems import Problem, Unavailable
from aizen_hub.rbac.decision import Decision
from aizen_hub.store import failpoints as kill_point
from aizen_hub.store.audit_log.record import AuditRow, row_id
from aizen_hub.store.db_errors import is_outage, unavailable
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import Read, Write, check_catalog

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
        self._clerk = Clerk(store)
        self._room: Room | None = None
        self._gathered: deque[Waiting] = deque()
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._called = self._sitting = self._closed = False
        self._door = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="court", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many questions wait, for the metrics."""
        return len(self._gathered)

    @property
    def seen(self) -> int:
        """The last revision that something was decided at, for the metrics."""
        return self._clerk.seen

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
        check_catalog(tx.state, tx.catalog)
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
        with self._door:
            if self._closed:
                return
            self._closed = True
            self._calls.put(False)
        self._thread.join(self._deadline)

    # --- on the event loop

    async def _ask(self, question: Question, text: str | None, deadline: float, again: str | None) -> Ruling:
        if self._closed:
            raise Unavailable("the service is ending")
        if len(self._gathered) >= MAX_WAITING:
            raise Unavailable("too many questions are waiting", remedy="try again in a moment")
        loop = asyncio.get_running_loop()
        room = self._room
        if room is None or room.loop is not loop:
            room = self._room = Room(loop)
            self._called = False  # what was to come next on another loop may never come
        one = Waiting(room, question, text, deadline, again)
        room.enter(one)
        self._gathered.append(one)
        if not self._called and not self._sitting:
            self._called = True
            # Whoever else comes in this turn of the loop comes along.
            loop.call_soon(self._convene)
        try:
            return await one.future
        finally:
            room.leave(one)

    def _convene(self) -> None:
        """Let the thread begin with whoever waits, unless it has a batch."""
        self._called = False
        if self._gathered and not self._sitting:
            self._sitting = True
            self._calls.put(True)

    def _settle(self, outcomes: Outcomes) -> None:
        settle(outcomes)
        self._convene()

    # --- in the thread

    def _work(self) -> None:
        while self._calls.get():
            batch = self._take(MAX_BATCH)
            outcomes = self._answer(batch)
            self._sitting = False
            if outcomes:
                self._deliver(outcomes)
            elif batch:
                batch[0].room.call(self._convene)
        self._deliver(self._answer(self._take(MAX_WAITING)))
        self._clerk.close()

    def _take(self, most: int) -> list[Waiting]:
        batch: list[Waiting] = []
        while len(batch) < most and self._gathered:
            batch.append(self._gathered.popleft())
        return batch

    def _answer(self, batch: Sequence[Waiting]) -> Outcomes:
        """Decide and record a batch; returns the answers that are still to be delivered."""
        for _ in range(_ATTEMPTS):
            now = clock()
            batch = [one for one in batch if not one.future.done() and now < one.deadline]
            if not batch:
                return []
            outcomes = self._attempt(batch)
            if outcomes is None:
                # One bad row must not take the others with it.
                for one in batch:
                    self._deliver(self._answer([one]))
                return []
            late: list[Waiting] = []
            ready: list[tuple[Waiting, Ruling | Problem]] = []
            for one, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Ruling) and not outcome.fresh:
                    one.again = outcome.id
                    late.append(one)
                else:
                    ready.append((one, outcome))
            if not late:
                return ready
            self._deliver(ready)
            batch = late
        too_slow = Unavailable("the store is too slow to decide on its present state", remedy="try again in a moment")
        return [(one, too_slow) for one in batch]

    def _attempt(self, batch: Sequence[Waiting]) -> Sequence[Ruling | Problem] | None:
        """Have a batch recorded; None if that failed in a way that need not concern each of its questions."""
        clerk = self._clerk
        try:
            return clerk.hear(batch)
        except Problem as problem:
            return [problem] * len(batch)
        except (self.store.database.driver_error, DBAPIError, PoolTimeout) as error:
            log.warning("a batch of %d decisions failed: %s", len(batch), type(error).__name__)
            if is_outage(error):
                clerk.disconnect()
            # Locked, full or gone: each question alone would fail the same way.
            return [unavailable(error)] * len(batch) if len(batch) == 1 or is_outage(error) else None
        except Exception:
            # The thread must live on, and whatever happened, nobody is allowed anything.
            log.exception("a batch of %d decisions failed", len(batch))
            clerk.disconnect()
            return [Unavailable("the question could not be decided")] if len(batch) == 1 else None

    def _deliver(self, outcomes: Outcomes) -> None:
        by_room: dict[Room, list[tuple[Waiting, Ruling | Problem]]] = {}
        for one in outcomes:
            by_room.setdefault(one[0].room, []).append(one)
        for room, some in by_room.items():
            room.call(self._settle, some)


def _left_out(_: str) -> str:
    return "***"
