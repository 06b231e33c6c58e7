"""The gateway to the core: starts allowed commands there, re-authorizes them while they run, and resumes them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aizen_hub.authorization.decisions.decision_service import DecisionRequest, DecisionService, RecordedDecision
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.authorization_request import build_authorization_request
from aizen_hub.commands.command import Command
from aizen_hub.commands.parser import parse_command
from aizen_hub.jobs import leases
from aizen_hub.jobs.core_client import ACCEPT_SECONDS, CoreClient
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.runner import Runner
from aizen_hub.jobs.running_command import RunningCommand, unknown_end
from aizen_hub.problems import CoreFailed, Problem, Unavailable
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import project_of
from aizen_hub.service.core.command_log import SERVICE, CommandLog, InFlightCommand
from aizen_hub.service.denials.denial_response import decision_view, denial_problem_in
from aizen_hub.service.http.idempotency import IdempotencyKey
from aizen_hub.service.runtime.async_store import AsyncStore
from aizen_hub.service.runtime.clock_check import ClockCheck
from aizen_hub.service.runtime.metrics import Metrics
from aizen_hub.service.runtime.thread_pools import Pools
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.tokens.decision_token import issue_decision_token
from aizen_hub.tokens.role_token import RoleTokenVerifier
from aizen_hub.tracing import Tracing

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
"""Between two polls for commands without an owner."""
_UNOWNED = "no process is responsible for it any more"
_MAX_CLAIMED = 200
"""Commands that one poll claims."""


class CoreGateway:
    """Starts commands at the core and resumes those without an owner.

    Without a configured core every command is refused.

    Attributes
    ----------
    command_log : CommandLog
    runner : Runner
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        store: Store,
        pools: Pools,
        decisions: DecisionService,
        verifier: RoleTokenVerifier,
        clock: ClockCheck,
        metrics: Metrics,
        tracing: Tracing | None = None,
    ) -> None:
        self._settings, self._catalog, self._pools, self._decisions = settings, catalog, pools, decisions
        self._verifier, self._clock = verifier, clock
        self._store = AsyncStore(store, pools)
        self.command_log = CommandLog(store, metrics.observe_core_seconds)
        core = settings.core
        self._client = None if core is None else CoreClient(core, self._sign, tracing)
        self.runner = Runner(
            self._client,
            self.command_log,
            _Authorizer(store, pools, decisions, self.command_log, metrics),
            total_seconds=core.total_seconds if core else 3_600.0,
        )

    async def start(
        self,
        actor: Actor,
        command: Command,
        files: Mapping[str, str],
        request: DecisionRequest,
        recorded: RecordedDecision,
        key: IdempotencyKey | None,
    ) -> RunningCommand:
        """Start one allowed command at the core.

        Parameters
        ----------
        files : mapping of str to str
            Contents by name; those that the command does not name are not sent.
        recorded : RecordedDecision
            The decision that allowed it.

        Raises
        ------
        CoreFailed, LimitReached, Denied, Conflict
            With the decision, which stays recorded.
        """
        named = {value for value in command.arguments.values() if isinstance(value, str)}
        core_command = CoreCommand(
            recorded.id,
            command.canonical,
            command.verb,
            command.noun,
            command.arguments,
            user=actor.identity.name if actor.identity.kind is IdentityKind.USER else str(actor.identity),
            project=project_of(request.request.scope),
            session=actor.session,
            job=None if command.entry.job is None else command.entry.job.value,
            files={name: content for name, content in files.items() if name in named},
        )
        in_flight = InFlightCommand(request, self._decisions.redacted_text(command), key)
        self.command_log.in_flight[core_command.id] = in_flight
        try:
            return await self.runner.start(core_command, decided_at=recorded.revision_read_at)
        except Problem as failure:
            self.command_log.in_flight.pop(core_command.id, None)
            denial = in_flight.denial
            problem = failure
            if denial is not None:
                problem = await self._store.read(lambda tx: denial_problem_in(tx, denial, request))
            problem.extensions.setdefault("decision", decision_view(recorded))
            problem.extensions.setdefault("id", recorded.id)
            raise problem from None

    async def cancel(self, row: Any) -> None:
        """Ask the core to stop an open command, whichever process follows it; its end comes by its stream.

        Parameters
        ----------
        row : Row
            Of `leases.find_command`.

        Raises
        ------
        CoreFailed
            No core is configured, or it did not accept the cancellation.
        """
        if self._client is None:
            raise CoreFailed("no core is configured any more", remedy="ask an administrator")
        core_command, _ = self._restore(row)
        await self._client.cancel(core_command)

    async def resume_commands(self) -> None:
        """Renew the leases of the commands that this process follows, and claim those without an owner (T-08).

        Called every few seconds on every replica. Where no command is open it reads one index.
        """
        running = self.runner.running
        if not running and not await self._store.read(leases.any_unowned):
            return
        owner, limit = self.command_log.owner, min(_MAX_CLAIMED, self.runner.capacity)

        def renew_and_claim(tx: WriteTransaction) -> Sequence[Any]:
            leases.renew(tx, owner, running)
            # With another catalog than the one in force nothing may be decided here.
            return leases.claim(tx, owner, limit) if tx.state.catalog_hash == self._catalog.hash else ()

        for row in await self._store.write(SERVICE, renew_and_claim):
            if row.decision_id in self.runner.running:
                continue
            core_command, in_flight = self._restore(row)
            if in_flight is not None:
                self.command_log.in_flight[core_command.id] = in_flight
            if self._settings.core is not None:
                self.runner.resume(core_command)
            else:
                end = unknown_end("no core is configured any more; it may still be running there")
                try:
                    await self._pools.writes.run(partial(self.command_log.finish, core_command, end))
                finally:
                    self.command_log.drop(core_command)

    def _restore(self, row: Any) -> tuple[CoreCommand, InFlightCommand | None]:
        restored = partial(
            CoreCommand,
            row.decision_id,
            row.command,
            user=row.user,
            project=row.project,
            session=row.session,
            job=row.job,
        )
        try:
            command = parse_command(row.command, self._catalog)
            identity = Identity.parse(row.user) if ":" in row.user else Identity.user(row.user)
            acting = None if row.acting is None else Identity.parse(row.acting)
        except (Problem, ValueError):
            # Another catalog is in force: a command that can no longer be decided is stopped, but its end is recorded.
            return restored("", "", {}), None
        actor = Actor(identity, Channel.KERNEL, session=row.session, project=row.project, acting=acting)
        request = build_authorization_request(command, row.project, identity, row.session)
        core_command = restored(command.verb, command.noun, command.arguments)
        decision_request = DecisionRequest(actor, request, command=command, token=None)
        return core_command, InFlightCommand(decision_request, row.command, intent_recorded=True, is_lost=row.lost)

    def _sign(self, core_command: CoreCommand, body: bytes) -> str:
        core = self._settings.core
        assert core is not None
        if body:
            # A request without a body starts nothing: it follows a command, or stops one whose right was lost, which
            # must not depend on a clock.
            self._clock.check()
        return issue_decision_token(
            self._verifier.ring,
            self._settings.service_url,
            core.audience or core.url.rstrip("/"),
            subject=core_command.user,
            project=core_command.project,
            decision_id=core_command.id,
            body=body,
            now=datetime.now(UTC),
        )


class _Authorizer:
    """Decides again, on the current state, before a command starts and while it runs."""

    def __init__(
        self, store: Store, pools: Pools, decisions: DecisionService, command_log: CommandLog, metrics: Metrics
    ) -> None:
        self._store, self._pools, self._decisions = store, pools, decisions
        self._command_log, self._metrics = command_log, metrics

    async def authorize_start(self, command: CoreCommand) -> str | None:
        in_flight = self._command_log.in_flight.get(command.id)
        if in_flight is None:
            return _UNOWNED
        return await self._pools.reads.run(lambda: self._authorize_start(command, in_flight))

    async def reauthorize(self, commands: Collection[CoreCommand]) -> Mapping[str, str | None]:
        # One slot of the read pool for all running commands: many commands must not block other reads.
        in_flight = {command.id: self._command_log.in_flight.get(command.id) for command in commands}
        return await self._pools.reads.run(lambda: self._reauthorize(in_flight))

    def _authorize_start(self, core_command: CoreCommand, in_flight: InFlightCommand) -> str | None:
        # Decided like a new command, token and session included. The recorded decision is an allow, so a denial gets a
        # record of its own.
        request = in_flight.decision_request
        with self._store.read() as tx:
            recorded = self._decisions.decide_in_transaction(tx, request)
            is_owner = not in_flight.intent_recorded or leases.is_owner(
                tx, core_command.id, self._command_log.owner, ACCEPT_SECONDS
            )
        if not recorded.decision.allowed:
            record = self._decisions.audit_record(recorded, request)
            self._store.append_audit([replace(record, details={**record.details, "supersedes": core_command.id})])
            self._metrics.requests.count_decision(False, str(recorded.decision.reason))
            in_flight.denial = recorded
            return recorded.decision.sentence
        if not is_owner:
            # The process that claimed it finds that the core does not know it, and releases its job: it must not be
            # sent any more.
            raise Unavailable("the command took too long to reach the core", remedy="send it again")
        return None

    def _reauthorize(self, commands: Mapping[str, InFlightCommand | None]) -> Mapping[str, str | None]:
        # No record while the command stays allowed: one per second would bury the others. A denial ends the command,
        # and its outcome record names the reason.
        denials: dict[str, str | None] = {}
        with self._store.read() as tx:
            for decision_id, in_flight in commands.items():
                if in_flight is None:
                    denials[decision_id] = _UNOWNED
                    continue
                try:
                    decision = self._decisions.evaluate_unrecorded(tx, in_flight.reauthorization_request)
                except Unavailable:
                    raise
                except (Problem, LookupError, TypeError, ValueError) as error:
                    # A failure for one command does not keep the others from being decided.
                    log.warning("command %s could not be re-authorized (%s)", decision_id, type(error).__name__)
                    continue
                denials[decision_id] = None if decision.allowed else decision.sentence
        return denials
