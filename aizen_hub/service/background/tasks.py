"""Scheduled tasks of the service: keys, revocation, jobs, checkpoints, gauges, alerts, and deletion of old rows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.credentials import login_throttle, recent_logins, sign_in_replay
from aizen_hub.accounts.groups import mapping_sync
from aizen_hub.accounts.reviews import assignment_uses, unused_access
from aizen_hub.accounts.roles import request_settlement
from aizen_hub.accounts.service_accounts import credentials, dpop_replay
from aizen_hub.alerts.delivery import AlertDelivery
from aizen_hub.alerts.expiry import alert_expiring_assignments
from aizen_hub.audit.checkpoints.heads import chain_heads
from aizen_hub.audit.checkpoints.signing import checkpoint_signer
from aizen_hub.authorization.decisions.use_counter import AssignmentUse
from aizen_hub.operations import records
from aizen_hub.problems import Unavailable
from aizen_hub.service.background.revocation_worker import RevocationWorker
from aizen_hub.service.background.scheduler import ScheduledTask
from aizen_hub.service.core.gateway import POLL_SECONDS
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.service.http import idempotency
from aizen_hub.service.replicas import REPORT_SECONDS
from aizen_hub.service.runtime.thread_pools import Pool
from aizen_hub.service.seal import update_seal
from aizen_hub.store import tables
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

if TYPE_CHECKING:
    from aizen_hub.service.context import ServiceContext

log = logging.getLogger(__name__)

_IDEMPOTENCY_KEY_LIFETIME = timedelta(hours=24)
_OPERATION_LIFETIME = timedelta(days=7)
_CHECKPOINT_SECONDS = 20.0
"""The audit is signed at least once a minute (R96)."""
_GAUGES = ("revision", "sessions_live", "jobs_running", "requests_pending", "revision_lag")


class ScheduledTasks:
    """The periodic tasks of one service.

    Parameters
    ----------
    service : ServiceContext
    """

    def __init__(self, service: ServiceContext) -> None:
        self._service = service
        panel_url = service.browser_login.hub_location.panel_url
        self._alert_delivery = AlertDelivery(service.settings.alerts, self._transaction, panel_url)
        self._revocation_workers = {
            hub.id: RevocationWorker(service.hub_revocations, hub, service.async_store) for hub in service.hubs
        }
        self._alert_pool = Pool("alert", 1, 1)
        self._checkpoint_pool = Pool("checkpoint", 1, 1)
        self._operation_pool = Pool("recovery", 1, 1)
        self._is_first_recovery = True
        self._gauge_values = dict.fromkeys(_GAUGES, 0.0)
        for name in _GAUGES:
            service.metrics.add_gauge(name, self._gauge_reader(name))

    def tasks(self) -> tuple[ScheduledTask, ...]:
        """Return the tasks with their intervals."""
        service, guarded = self._service, self._unless_data_missing
        return (
            ScheduledTask("keys", 1.0, lambda: service.pools.reads.run(lambda: update_seal(service))),
            *(
                ScheduledTask(f"revocation-{hub}", 1.0, worker.poll, run_at_start=True)
                for hub, worker in self._revocation_workers.items()
            ),
            ScheduledTask("jobs", POLL_SECONDS, guarded(service.core.resume_commands), run_at_start=True),
            ScheduledTask("operations", 5.0, guarded(self._recover_operations), run_at_start=True),
            ScheduledTask("replicas", REPORT_SECONDS, guarded(self._report_replica), run_at_start=True),
            ScheduledTask("checkpoint", 5.0, self._checkpoint_when_due, run_at_start=True),
            ScheduledTask("gauges", 15.0, self._update_gauges, run_at_start=True),
            ScheduledTask("alerts", 5.0, guarded(self._deliver_alerts)),
            ScheduledTask("expiring", 300.0, guarded(self._alert_expiring)),
            ScheduledTask("uses", 60.0, guarded(self._record_due_uses)),
            ScheduledTask("unused-access", 900.0, self._summarize_unused, run_at_start=True),
            ScheduledTask("prune", 60.0, guarded(lambda: service.async_store.write(SERVICE_ACTOR, self._prune))),
        )

    async def shut_down(self) -> None:
        """Write the last counts, and sign a last checkpoint, so that the end of the audit cannot be cut off (R96)."""
        self._alert_delivery.stop()
        await self._record_last_uses()
        await self._forget_replica()
        try:
            await self.checkpoint()
        except Unavailable as problem:
            log.warning("no last checkpoint", extra={"data": {"why": problem.detail}})
        # Off the event loop: closing waits for an alert that is being sent.
        for pool in (self._checkpoint_pool, self._alert_pool, self._operation_pool):
            await asyncio.get_running_loop().run_in_executor(None, pool.close)

    def _unless_data_missing(self, run: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
        # Nothing is written to a database that was set back, since it may be replaced by a newer one (T-40).
        async def run_if_complete() -> None:
            if self._service.state.missing_data is None:
                await run()

        return run_if_complete

    async def _report_replica(self) -> None:
        service = self._service
        if not service.settings.uses_sqlite:  # a SQLite file has one service
            await service.async_store.write(SERVICE_ACTOR, service.replica.report)

    async def _forget_replica(self) -> None:
        service = self._service
        if service.settings.uses_sqlite or service.state.missing_data is not None:
            return
        try:
            await service.async_store.write(SERVICE_ACTOR, service.replica.forget)
        except Unavailable as problem:
            log.warning("the end of this replica was not recorded", extra={"data": {"why": problem.detail}})

    async def checkpoint(self) -> bool:
        """Sign the heads of all audit chains in the storage outside the database; False if none has changed.

        Raises
        ------
        Unavailable
            The storage cannot be written, the store does not answer, or no key can sign.
        """
        service = self._service
        if service.state.missing_data is not None:
            return False
        started = service.checkpoint_health.start()
        heads, revision, now, ring = await service.async_store.read(
            lambda tx: (chain_heads(tx.conn), tx.revision, tx.now, service.keys.ring(tx))
        )
        try:
            # In a thread of its own: a disk or server that does not answer blocks no read of the database.
            has_changed = await self._checkpoint_pool.run(
                lambda: service.checkpoints.append(heads, revision, now, checkpoint_signer(ring))
            )
        except OSError as error:
            service.checkpoint_health.failed(error)
            raise Unavailable(
                f"a checkpoint was not written: {error}", remedy=service.checkpoint_health.remedy
            ) from error
        service.checkpoint_health.succeeded(started)
        return has_changed

    async def _checkpoint_when_due(self) -> None:
        health = self._service.checkpoint_health
        if health.failing or health.age >= _CHECKPOINT_SECONDS:
            await self.checkpoint()

    async def _update_gauges(self) -> None:
        def read_values(tx: ReadTransaction) -> dict[str, float]:
            s, j = tables.sessions, tables.jobs
            live = tx.conn.scalar(select(func.count()).select_from(s).where(s.c.ended.is_(None)))
            running = tx.conn.scalar(select(func.count()).select_from(j).where(j.c.ended.is_(None)))
            return {
                "revision": float(tx.revision),
                "sessions_live": float(live or 0),
                "jobs_running": float(running or 0),
                "requests_pending": float(request_settlement.count_pending_requests(tx)),
                "revision_lag": float(max(0, tx.revision - self._service.decisions.last_revision)),
            }

        self._gauge_values.update(await self._service.async_store.read(read_values))

    async def _deliver_alerts(self) -> None:
        now = datetime.now(UTC)
        await self._alert_pool.run(lambda: self._alert_delivery.deliver_due(now))

    async def _alert_expiring(self) -> None:
        ahead = timedelta(hours=self._service.settings.alerts.expiry_notice_hours)
        await self._service.async_store.write(SERVICE_ACTOR, lambda tx: alert_expiring_assignments(tx, ahead))
        now = datetime.now(UTC)
        await self._alert_pool.run(lambda: self._alert_delivery.delete_old(now))

    async def _recover_operations(self) -> None:
        service, alone = self._service, self._is_first_recovery and self._service.settings.uses_sqlite
        await self._operation_pool.run(service.operations.renew_waiting)
        await self._operation_pool.run(lambda: service.operations.recover(alone=alone))
        self._is_first_recovery = False

    async def _summarize_unused(self) -> None:
        service = self._service
        service.state.unused_access = await service.async_store.read(
            unused_access.summarize_unused, service.pools.queries
        )

    async def _record_due_uses(self) -> None:
        counter = self._service.decisions.uses
        while uses := counter.take_due(datetime.now(UTC), assignment_uses.MAX_WRITTEN_AT_ONCE):
            await self._record_uses(uses)

    async def _record_last_uses(self) -> None:
        if self._service.state.missing_data is not None:
            return
        uses = self._service.decisions.uses.take_all()
        try:
            for start in range(0, len(uses), assignment_uses.MAX_WRITTEN_AT_ONCE):
                await self._record_uses(uses[start : start + assignment_uses.MAX_WRITTEN_AT_ONCE])
        except Unavailable as problem:
            log.warning("the last uses of roles were not recorded", extra={"data": {"why": problem.detail}})

    async def _record_uses(self, uses: list[AssignmentUse]) -> None:
        try:
            await self._service.async_store.write(
                SERVICE_ACTOR, lambda tx: assignment_uses.unauthorized_record_uses(tx, uses)
            )
        except Unavailable:
            self._service.decisions.uses.put_back(uses)
            raise

    def _prune(self, tx: WriteTransaction) -> None:
        idempotency.prune_responses(tx, tx.now - _IDEMPOTENCY_KEY_LIFETIME)
        pending_changes.expire_changes(tx)
        records.prune_operations(tx, tx.now - _OPERATION_LIFETIME)
        request_settlement.settle_held_requests(tx)
        login_throttle.prune_failures(tx)
        recent_logins.prune_logins(tx)
        mapping_sync.prune_reported_groups(tx)
        dpop_replay.prune_proofs(tx)
        sign_in_replay.prune_sign_ins(tx)
        for credential in self._service.authenticator.service_accounts.take_used_credentials():
            credentials.mark_credential_used(tx, credential)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._service.store.write(SERVICE_ACTOR) as tx:
            yield tx.conn

    def _gauge_reader(self, name: str) -> Callable[[], float]:
        return lambda: self._gauge_values[name]
