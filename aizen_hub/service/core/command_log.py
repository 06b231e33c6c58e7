"""Where commands for the core are recorded: intent before the first byte, outcome after the last, jobs counted."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from aizen_hub.authorization.decisions.decision_service import Question, Ruling
from aizen_hub.catalogs.catalog import Executor
from aizen_hub.commands.parser import read
from aizen_hub.jobs import leases as watch
from aizen_hub.jobs import quota as jobs
from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.core_event import CoreEvent, State
from aizen_hub.problems import Conflict, Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.route import Answer
from aizen_hub.service.pipeline.idempotency import Key
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.transaction import Read, Write

if TYPE_CHECKING:
    from aizen_hub.store.store import Store

log = logging.getLogger(__name__)

SERVICE = Actor(Identity.service_account("aizen-hub"), Road.OPERATOR)
_j = tables.jobs
_LOOK_BACK = 500


@dataclass(slots=True)
class Commission:
    """Who gave an order, and the question that was allowed.

    Attributes
    ----------
    command : str
        As it may be recorded.
    begun : bool
        Its intent may be on record.
    lost : bool
        It is on record that nobody can say how it ended.
    refused : Ruling or None
        The denial that came after the decision and before the first byte.
    """

    question: Question
    command: str
    key: Key | None = None
    since: float = field(default_factory=time.monotonic)
    begun: bool = False
    lost: bool = False
    refused: Ruling | None = None

    @property
    def standing(self) -> Question:
        """What is asked again as long as the command runs: whether its giver still may, whatever became of the session.

        A job outlives the server that it was started from; only rights and locks end it.
        """
        actor, request = self.question.actor, self.question.request
        request = replace(request, session=request.session or actor.session)
        return Question(replace(actor, session=None, token_id=None), request, self.question.command)


@dataclass
class Ledger:
    """Records orders; its methods run in worker threads, each in one transaction.

    Attributes
    ----------
    open : mapping of str to Commission
        The orders under way.
    timed : callable
        Takes how an order ended and how many seconds it took.
    watcher : str
        This process, as one that watches over commands.
    """

    store: Store
    timed: Callable[[str, float], None]
    open: dict[str, Commission] = field(default_factory=dict)
    watcher: str = field(default_factory=lambda: secrets.token_hex(16))

    def begin(self, order: Order) -> None:
        """Write the intent row; count the job, if it starts one.

        Raises
        ------
        LimitReached
            The person's limit of jobs is used up; names where it comes from.
        Conflict
            Another request with the same ``Idempotency-Key`` came first.
        """
        commission = self.open[order.id]
        actor = commission.question.actor
        # From here on it is looked up: the answer to a commit can be lost, and nothing is guessed then (R105).
        commission.begun = True
        with self.store.write(actor) as tx:
            if order.job == "starts":
                jobs.start(
                    tx,
                    decision_id=order.id,
                    identity=actor.identity,
                    project=order.project or SYSTEM,
                    session=order.session,
                    command=commission.command,
                    key=order.key,
                )
            if commission.key is not None:
                try:
                    commission.key.keep(tx, Answer({"id": order.id}))
                except IntegrityError:
                    raise Conflict(
                        "the same request is being carried out", remedy="ask `GET /api/v1/commands/{id}` or wait"
                    ) from None
            watch.begin(tx, order, self.watcher, commission.command)
            tx.audit("intent", project=order.project, command=commission.command, details={"decision": order.id})

    def finish(self, order: Order, end: CoreEvent) -> None:
        """Write the outcome row, and take the jobs that ended off the count; a second time changes nothing."""
        commission = self.open.get(order.id)
        actor = (
            commission.question.actor
            if commission
            else Actor(_identity(order.user), Road.KERNEL, session=order.session)
        )
        if commission is None or not commission.lost or not _may_still_run(end):
            with self.store.write(actor) as tx:
                if commission is not None and not commission.begun:
                    _outcome(tx, order.id, end, order.project)
                elif record_end(tx, order.id, end, watcher=self.watcher) and _has_stopped(order, end):
                    jobs.end_named(tx, order.project or SYSTEM, order.key)
        if commission is not None:
            self.timed(str(end.state), time.monotonic() - commission.since)

    def forget(self, order: Order) -> None:
        """Drop the commission of an order that is out of the runner's hands."""
        self.open.pop(order.id, None)

    def release(self, orders: Collection[Order]) -> None:
        """Leave orders to whoever looks next; where that cannot be said now, the lease ends by itself."""
        try:
            with self.store.write(SERVICE) as tx:
                watch.release(tx, self.watcher, [order.id for order in orders])
        except Problem as problem:
            log.warning("commands under way could not be released", extra={"data": {"why": problem.detail}})


def record_end(tx: Write, number: str, end: CoreEvent, *, watcher: str | None = None) -> bool:
    """Write the outcome row of a command and, where a job ended, take it off the count.

    An ``unknown`` end leaves a job on the count, since it may still be running, and is recorded once: the core reports
    its end, or is asked again, or somebody stops it. Only a core that does not know the job proves that it does not
    run.

    Parameters
    ----------
    watcher : str, optional
        The process that says so. Where another one watches, that one knows better than ``unknown``.

    Returns
    -------
    bool
        False where there is nothing to record: its end is on record, or it never began.
    """
    row = watch.find(tx, number)
    if row is None:
        return False
    is_job = row.job == "starts"
    if _may_still_run(end):
        if row.watcher != watcher or row.lost:
            return False
        if is_job:
            watch.lose(tx, number)
            _outcome(tx, number, end, row.project)
            return True
    watch.end(tx, number)
    if is_job:
        jobs.end(tx, number, str(end.state), end.message)
    _outcome(tx, number, end, row.project)
    return True


def _may_still_run(end: CoreEvent) -> bool:
    return end.state is State.UNKNOWN and not end.forgotten


def _has_stopped(order: Order, end: CoreEvent) -> bool:
    return order.job == "stops" and end.state is State.DONE


def _outcome(tx: Write, number: str, end: CoreEvent, project: str | None) -> None:
    details = {"decision": number, "state": str(end.state), "message": end.message[:500]}
    tx.audit("outcome", project=project, details=details)


def recorded(tx: Read, number: str, identity: Identity) -> Mapping[str, Any] | None:
    """Return what the audit knows of a command of this identity, for commands that no process holds any more."""
    from aizen_hub.audit.search import AuditFilter, newest

    rows = newest(tx.conn, AuditFilter(identity=str(identity), id=number), 1)
    if not rows or rows[0].get("event") != "decision" or "command" not in rows[0]:
        return None
    decision = rows[0]
    job = tx.conn.execute(select(_j.c.outcome, _j.c.ended).where(_j.c.decision_id == number)).first()
    if not decision.get("allowed"):
        state = "denied"
    elif job is None and watch.find(tx, number) is not None:
        state = "running"
    elif job is None:
        state = _said(tx, number, identity, decision)
    elif job.outcome is not None:
        state = job.outcome
    else:
        state = "running"
    return {"id": number, "canonical": decision["command"], "state": state, "result": None}


def _said(tx: Read, number: str, identity: Identity, decision: Mapping[str, Any]) -> str:
    # A command that is no job and went to the core has an intent row, and an outcome row once somebody knew it.
    from aizen_hub.audit.search import AuditFilter, newest

    since = datetime.fromtimestamp(int(decision["at"]) // 1_000_000, UTC)
    for event in ("outcome", "intent"):
        rows = newest(tx.conn, AuditFilter(identity=str(identity), event=event, since=since), _LOOK_BACK)
        for row in rows:
            if row["details"]["decision"] == number:
                return str(row["details"].get("state", State.UNKNOWN))
        if len(rows) == _LOOK_BACK:
            return str(State.UNKNOWN)
    try:
        ours = read(str(decision["command"]), tx.catalog).entry.executor is Executor.ACCOUNTS
    except Problem:
        return str(State.UNKNOWN)
    # What we do ourselves is done with its decision; what never had an intent never reached the core.
    return str(State.DONE if ours else State.FAILED)


def _identity(user: str) -> Identity:
    try:
        return Identity.parse(user)
    except ValueError:
        return Identity.user(user)
