"""Log of commands sent to the core: intent before the first byte, outcome after the last, and the jobs that count."""

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

from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.authorization.decisions.decision_service import DecisionRequest, RecordedDecision
from aizen_hub.catalogs.catalog import Executor
from aizen_hub.commands.parser import parse_command
from aizen_hub.jobs import leases, quota
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.core_event import CommandState, CoreEvent
from aizen_hub.problems import Conflict, Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.idempotency import IdempotencyKey
from aizen_hub.service.http.route import JsonResponse
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

if TYPE_CHECKING:
    from aizen_hub.store.sql_store import Store

log = logging.getLogger(__name__)

SERVICE = Actor(Identity.service_account("aizen-hub"), Channel.OPERATOR)
_j = tables.jobs
_MAX_ROWS = 500


@dataclass(slots=True)
class InFlightCommand:
    """A command on its way to the core, and the request that was allowed.

    Attributes
    ----------
    command : str
        The command line with secrets redacted, as the audit records it.
    intent_recorded : bool
        Its intent may be on record.
    is_lost : bool
        It is on record that its end is unknown.
    denial : RecordedDecision or None
        The denial that followed the decision before the first byte was sent.
    """

    decision_request: DecisionRequest
    command: str
    idempotency_key: IdempotencyKey | None = None
    started: float = field(default_factory=time.monotonic)
    intent_recorded: bool = False
    is_lost: bool = False
    denial: RecordedDecision | None = None

    @property
    def reauthorization_request(self) -> DecisionRequest:
        """The request that is decided again while the command runs: the same, but independent of the session.

        A job outlives the server that it was started from; only missing rights and locks end it.
        """
        actor, request = self.decision_request.actor, self.decision_request.request
        request = replace(request, session_id=request.session_id or actor.session)
        return DecisionRequest(replace(actor, session=None, token_id=None), request, self.decision_request.command)


@dataclass
class CommandLog:
    """Records commands for the core; its methods run in worker threads, each in one transaction.

    Attributes
    ----------
    in_flight : dict of str to InFlightCommand
        The commands that this process started or resumed, by decision id.
    on_finished : callable
        Gets the final state of a command and its duration in seconds.
    owner : str
        Id of this process as the owner of leases.
    """

    store: Store
    on_finished: Callable[[str, float], None]
    in_flight: dict[str, InFlightCommand] = field(default_factory=dict)
    owner: str = field(default_factory=lambda: secrets.token_hex(16))

    def start(self, command: CoreCommand) -> None:
        """Write the intent record; count the job, if the command starts one.

        Raises
        ------
        LimitReached
            The user's limit of jobs is reached; names the source of the limit.
        Conflict
            Another request with the same ``Idempotency-Key`` came first.
        """
        in_flight = self.in_flight[command.id]
        actor = in_flight.decision_request.actor
        # Set before the write: if the answer to the commit is lost, the record is looked up, not guessed (R105).
        in_flight.intent_recorded = True
        with self.store.write(actor) as tx:
            if command.job == "starts":
                quota.start_job(
                    tx,
                    decision_id=command.id,
                    identity=actor.identity,
                    project=command.project or SYSTEM,
                    session=command.session,
                    command=in_flight.command,
                    key=command.key,
                )
            if in_flight.idempotency_key is not None:
                try:
                    in_flight.idempotency_key.store_response(tx, JsonResponse({"id": command.id}))
                except IntegrityError:
                    raise Conflict("the same request is being carried out", remedy="wait for its end") from None
            leases.add_command(tx, command, self.owner, in_flight.command)
            tx.audit("intent", project=command.project, command=in_flight.command, details={"decision": command.id})

    def finish(self, command: CoreCommand, end: CoreEvent) -> None:
        """Write the outcome record and stop counting jobs that ended; a second call changes nothing."""
        in_flight = self.in_flight.get(command.id)
        actor = (
            in_flight.decision_request.actor
            if in_flight
            else Actor(_parse_user(command.user), Channel.KERNEL, session=command.session)
        )
        if in_flight is None or not in_flight.is_lost or not _may_still_run(end):
            with self.store.write(actor) as tx:
                if in_flight is not None and not in_flight.intent_recorded:
                    _audit_outcome(tx, command.id, end, command.project)
                elif record_end(tx, command.id, end, owner=self.owner) and _has_stopped(command, end):
                    quota.end_named_jobs(tx, command.project or SYSTEM, command.key)
        if in_flight is not None:
            self.on_finished(str(end.state), time.monotonic() - in_flight.started)

    def drop(self, command: CoreCommand) -> None:
        """Forget a command that the runner no longer follows."""
        self.in_flight.pop(command.id, None)

    def release(self, commands: Collection[CoreCommand]) -> None:
        """Give up the leases of commands, for another process to claim; if the store fails, the leases expire."""
        try:
            with self.store.write(SERVICE) as tx:
                leases.release(tx, self.owner, [command.id for command in commands])
        except Problem as problem:
            log.warning("leases of running commands could not be released", extra={"data": {"why": problem.detail}})


def record_end(tx: WriteTransaction, decision_id: str, end: CoreEvent, *, owner: str | None = None) -> bool:
    """Write the outcome record of a command and stop counting its job.

    An ``unknown`` end leaves a job counted, since it may still be running, and is recorded once: later the core reports
    its end, is asked again, or a user stops the job. Only a core that does not know the job proves that it is not
    running.

    Parameters
    ----------
    owner : str, optional
        The process that reports the end. The owner of the lease is believed rather than another one's ``unknown``.

    Returns
    -------
    bool
        False where there is nothing to record: the end is on record, or the command never started.
    """
    row = leases.find_command(tx, decision_id)
    if row is None:
        return False
    is_job = row.job == "starts"
    if _may_still_run(end):
        if row.owner != owner or row.lost:
            return False
        if is_job:
            leases.mark_lost(tx, decision_id)
            _audit_outcome(tx, decision_id, end, row.project)
            return True
    leases.delete_command(tx, decision_id)
    if is_job:
        quota.end_job(tx, decision_id, str(end.state), end.message)
    _audit_outcome(tx, decision_id, end, row.project)
    return True


def _may_still_run(end: CoreEvent) -> bool:
    return end.state is CommandState.UNKNOWN and not end.unknown_to_core


def _has_stopped(command: CoreCommand, end: CoreEvent) -> bool:
    return command.job == "stops" and end.state is CommandState.DONE


def _audit_outcome(tx: WriteTransaction, decision_id: str, end: CoreEvent, project: str | None) -> None:
    details = {"decision": decision_id, "state": str(end.state), "message": end.message[:500]}
    tx.audit("outcome", project=project, details=details)


def recorded_state(tx: ReadTransaction, decision_id: str, identity: Identity) -> Mapping[str, Any] | None:
    """Return the state of an identity's command from the audit; for commands that no process follows any more."""
    records = search_newest(tx.conn, AuditFilter(identity=str(identity), id=decision_id), 1)
    if not records or records[0].get("event") != "decision" or "command" not in records[0]:
        return None
    decision = records[0]
    job = tx.conn.execute(select(_j.c.outcome, _j.c.ended).where(_j.c.decision_id == decision_id)).first()
    if not decision.get("allowed"):
        state = "denied"
    elif job is None and leases.find_command(tx, decision_id) is not None:
        state = "running"
    elif job is None:
        state = _recorded_outcome(tx, decision_id, identity, decision)
    elif job.outcome is not None:
        state = job.outcome
    else:
        state = "running"
    return {"id": decision_id, "canonical": decision["command"], "state": state, "result": None}


def _recorded_outcome(tx: ReadTransaction, decision_id: str, identity: Identity, decision: Mapping[str, Any]) -> str:
    # A command that went to the core without starting a job has an intent record, and an outcome record once known.
    since = datetime.fromtimestamp(int(decision["at"]) // 1_000_000, UTC)
    for event in ("outcome", "intent"):
        records = search_newest(tx.conn, AuditFilter(identity=str(identity), event=event, since=since), _MAX_ROWS)
        for record in records:
            if record["details"]["decision"] == decision_id:
                return str(record["details"].get("state", CommandState.UNKNOWN))
        if len(records) == _MAX_ROWS:
            return str(CommandState.UNKNOWN)
    try:
        is_own = parse_command(str(decision["command"]), tx.catalog).entry.executor is Executor.ACCOUNTS
    except Problem:
        return str(CommandState.UNKNOWN)
    # The service's own commands complete with their decision; a command without an intent never reached the core.
    return str(CommandState.DONE if is_own else CommandState.FAILED)


def _parse_user(user: str) -> Identity:
    try:
        return Identity.parse(user)
    except ValueError:
        return Identity.user(user)
