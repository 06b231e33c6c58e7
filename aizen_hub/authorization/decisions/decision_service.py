"""The decision service: decides all pending requests in one transaction, records them in it, and only then answers.

One thread, one connection, one commit per batch (group commit): requests that arrive while a batch is being committed
form the next batch, so they share the cost of a durable commit, and no request waits for a batch to fill up.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from aizen_hub.audit.redaction import SecretHasher
from aizen_hub.authorization.decisions.batch_item import BatchItem, DecisionItem, Outcome
from aizen_hub.authorization.decisions.batch_recorder import BatchRecorder
from aizen_hub.authorization.decisions.decision_context import DecisionContext
from aizen_hub.authorization.decisions.evaluation import (
    DecisionRequest,
    RecordedDecision,
    boottime,
    decision_record,
    evaluate,
)
from aizen_hub.authorization.decisions.pending_decisions import Outcomes, PendingDecision, PendingDecisions, resolve
from aizen_hub.authorization.decisions.use_counter import UseCounter
from aizen_hub.commands.command import Command
from aizen_hub.problems import Problem, Unavailable
from aizen_hub.rbac.decision import Decision
from aizen_hub.store.audit_log.record import AuditRecord, new_record_id
from aizen_hub.store.db_errors import is_outage, to_unavailable
from aizen_hub.store.failpoints import failpoint
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction, require_current_catalog

__all__ = ["DecisionRequest", "DecisionService", "RecordedDecision"]

OutcomeT = TypeVar("OutcomeT", bound=Outcome)
MAX_BATCH = 256
"""Decisions after which a batch takes no more items."""
MAX_PENDING = 4_096
_MAX_ATTEMPTS = 3

log = logging.getLogger(__name__)


class DecisionService:
    """Decides requests and writes their audit rows.

    Parameters
    ----------
    store : Store
    hasher : SecretHasher, optional
        Hashes secret arguments for the audit; without it they are replaced by ``***``.

    Attributes
    ----------
    uses : UseCounter
        Which assignments allowed the decisions that were handed out.
    """

    def __init__(self, store: Store, hasher: SecretHasher | None = None) -> None:
        self.store = store
        self.hasher = hasher
        self.uses = UseCounter()
        self._deadline = store.settings.service.deadline_seconds
        self._recorder = BatchRecorder(store)
        self._pending: PendingDecisions | None = None
        self._queue: deque[PendingDecision] = deque()
        self._wakeups: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._batch_scheduled = self._batch_running = self._closed = False
        self._close_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="decision-service", daemon=True)
        self._thread.start()

    @property
    def queue_length(self) -> int:
        """Number of pending requests, for the metrics."""
        return len(self._queue)

    @property
    def last_revision(self) -> int:
        """Revision of the last batch, for the metrics."""
        return self._recorder.last_revision

    async def decide(self, decision_request: DecisionRequest) -> RecordedDecision:
        """Decide one request on the current state; the decision is recorded before this returns.

        Raises
        ------
        Unavailable
            The store does not answer within the deadline, too many requests are pending, or the service stops; nothing
            was allowed.
        """
        command = decision_request.command
        text = None if command is None else self.redacted_text(command)
        recorded = await self.decide_item(DecisionItem(decision_request, text))
        self._count_use(recorded)
        return recorded

    async def decide_item(self, item: BatchItem[OutcomeT]) -> OutcomeT:
        """Decide one item of a batch; its records are committed before this returns. Raises the errors of `decide`."""
        deadline = boottime() + self._deadline
        for _ in range(_MAX_ATTEMPTS):
            pending = self._enqueue(item, deadline)
            try:
                outcome: OutcomeT = await pending.future
            finally:
                pending.queue.discard(pending)
            failpoint("before-answer")
            # A busy event loop or a paused process may have delayed the answer until it was outdated (R48).
            if outcome.is_fresh:
                return outcome
            item.supersede()
        raise Unavailable("the service is too slow to decide on the current state", remedy="try again in a moment")

    def evaluate_unrecorded(self, tx: ReadTransaction, decision_request: DecisionRequest) -> Decision:
        """Decide in the caller's transaction without an audit row, to re-check a recorded decision in use."""
        require_current_catalog(tx.state, tx.catalog)
        context = DecisionContext(self.store.database)
        context.bind(tx.revision, self.store.database.cursor(tx.conn))
        return evaluate(decision_request, tx.state, context, tx.rights, tx.catalog)

    def decide_in_transaction(self, tx: ReadTransaction, decision_request: DecisionRequest) -> RecordedDecision:
        """Decide in the transaction that has the effect (R81).

        A write transaction gets the audit row. If it is rolled back, or in a read transaction, the caller records the
        decision under its id (`audit_record`).
        """
        revision_read_at = boottime()
        decision = self.evaluate_unrecorded(tx, decision_request)
        decision_id = new_record_id(tx.now)
        if isinstance(tx, WriteTransaction):
            text = None if decision_request.command is None else self.redacted_text(decision_request.command)
            tx.add_audit_record(
                decision_record(decision_id, decision_request, decision, tx.revision, tx.now, text, None)
            )
        recorded = RecordedDecision(decision_id, decision, tx.revision, tx.now, revision_read_at)
        self._count_use(recorded)
        return recorded

    def audit_record(self, recorded: RecordedDecision, decision_request: DecisionRequest) -> AuditRecord:
        """Return the audit row of a decision that the caller records itself."""
        text = None if decision_request.command is None else self.redacted_text(decision_request.command)
        return decision_record(
            recorded.id, decision_request, recorded.decision, recorded.revision, recorded.at, text, None
        )

    def redacted_text(self, command: Command) -> str:
        """Return the text of a command without its secrets, as it may be recorded."""
        if not command.entry.secret:
            return command.canonical
        return command.redacted(_redact) if self.hasher is None else self.hasher.redact(command)

    def close(self) -> None:
        """Decide what is pending, then stop; later requests are refused."""
        with self._close_lock:
            if self._closed:
                return
            self._closed = True
            self._wakeups.put(False)
        self._thread.join(self._deadline)

    def _count_use(self, recorded: RecordedDecision) -> None:
        if recorded.decision.allowed:
            self.uses.count(recorded.decision.assignment_id, recorded.at)

    # --- on the event loop

    def _enqueue(self, item: BatchItem[OutcomeT], deadline: float) -> PendingDecision:
        if self._closed:
            raise Unavailable("the service is stopping")
        if len(self._queue) >= MAX_PENDING:
            raise Unavailable("too many decisions are pending", remedy="try again in a moment")
        loop = asyncio.get_running_loop()
        loop_queue = self._pending
        if loop_queue is None or loop_queue.loop is not loop:
            loop_queue = self._pending = PendingDecisions(loop)
            self._batch_scheduled = False  # a callback scheduled on another loop may never run
        pending = PendingDecision(loop_queue, item, deadline)
        loop_queue.add(pending)
        self._queue.append(pending)
        if not self._batch_scheduled and not self._batch_running:
            self._batch_scheduled = True
            # Requests that arrive in the same iteration of the event loop join this batch.
            loop.call_soon(self._schedule_batch)
        return pending

    def _schedule_batch(self) -> None:
        """Wake the thread for the pending requests, unless it is processing a batch."""
        self._batch_scheduled = False
        if self._queue and not self._batch_running:
            self._batch_running = True
            self._wakeups.put(True)

    def _resolve(self, outcomes: Outcomes) -> None:
        resolve(outcomes)
        self._schedule_batch()

    # --- in the thread

    def _run(self) -> None:
        while self._wakeups.get():
            batch = self._dequeue(MAX_BATCH)
            outcomes = self._process_batch(batch)
            self._batch_running = False
            if outcomes:
                self._resolve_batch(outcomes)
            elif batch:
                batch[0].queue.call_soon_threadsafe(self._schedule_batch)
        while batch := self._dequeue(MAX_BATCH):
            self._resolve_batch(self._process_batch(batch))
        self._recorder.close()

    def _dequeue(self, limit: int) -> list[PendingDecision]:
        batch: list[PendingDecision] = []
        size = 0
        while size < limit and self._queue:
            pending = self._queue.popleft()
            batch.append(pending)
            size += pending.item.size
        return batch

    def _process_batch(self, batch: Sequence[PendingDecision]) -> Outcomes:
        """Decide and record a batch; return the outcomes that are not delivered yet."""
        for _ in range(_MAX_ATTEMPTS):
            now = boottime()
            batch = [pending for pending in batch if not pending.future.done() and now < pending.deadline]
            if not batch:
                return []
            outcomes = self._try_batch(batch)
            if outcomes is None:
                # Decide each alone, so that one invalid row does not fail the others.
                for pending in batch:
                    self._resolve_batch(self._process_batch([pending]))
                return []
            outdated: list[PendingDecision] = []
            ready: list[tuple[PendingDecision, Outcome | Problem]] = []
            for pending, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Problem) or outcome.is_fresh:
                    ready.append((pending, outcome))
                else:
                    pending.item.supersede()
                    outdated.append(pending)
            if not outdated:
                return ready
            self._resolve_batch(ready)
            batch = outdated
        too_slow = Unavailable("the store is too slow to decide on its current state", remedy="try again in a moment")
        return [(pending, too_slow) for pending in batch]

    def _try_batch(self, batch: Sequence[PendingDecision]) -> Sequence[Outcome | Problem] | None:
        """Record a batch; return None if it failed in a way that may concern only some of its requests."""
        recorder = self._recorder
        try:
            return recorder.record([pending.item for pending in batch])
        except Problem as problem:
            return [problem] * len(batch)
        except (self.store.database.driver_error, DBAPIError, PoolTimeout) as error:
            log.warning("a batch of %d decisions failed: %s", len(batch), type(error).__name__)
            if is_outage(error):
                recorder.disconnect()
            # Locked, full or unreachable: each request alone would fail the same way.
            return [to_unavailable(error)] * len(batch) if len(batch) == 1 or is_outage(error) else None
        except Exception:
            # The thread must go on, and an unexpected error never allows anything.
            log.exception("a batch of %d decisions failed", len(batch))
            recorder.disconnect()
            return [Unavailable("the request could not be decided")] if len(batch) == 1 else None

    def _resolve_batch(self, outcomes: Outcomes) -> None:
        by_queue: dict[PendingDecisions, list[tuple[PendingDecision, Outcome | Problem]]] = {}
        for item in outcomes:
            by_queue.setdefault(item[0].queue, []).append(item)
        for loop_queue, items in by_queue.items():
            loop_queue.call_soon_threadsafe(self._resolve, items)


def _redact(_: str) -> str:
    return "***"
