"""What a service does unasked: keys, checkpoints, alerts, expiry, and taking up jobs again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.credentials import login_throttle as throttle
from aizen_hub.accounts.credentials import recent_logins as sign_ins
from aizen_hub.accounts.groups import mapping_sync as mapping_reports
from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.accounts.service_accounts import dpop_replay as proofs
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.alerts.delivery import Courier
from aizen_hub.alerts.expiry import announce_expiring
from aizen_hub.audit.checkpoints.checkpoint import CheckpointFile
from aizen_hub.audit.checkpoints.signing import signer
from aizen_hub.audit.integrity.chain_verifier import heads
from aizen_hub.problems import Unavailable
from aizen_hub.service.background.hub_revocation import Followers
from aizen_hub.service.background.scheduler import Task
from aizen_hub.service.core import gateway as core_road
from aizen_hub.service.factory import OWN, refresh_keys
from aizen_hub.service.pipeline import idempotency as replay
from aizen_hub.service.thread_pools import Pool
from aizen_hub.store import tables
from aizen_hub.store.transaction import Read, Write

if TYPE_CHECKING:
    from aizen_hub.service.context import House

log = logging.getLogger(__name__)

_KEEP_REPLAYS = timedelta(hours=24)
_SIGN_EVERY = 20.0
"""Seconds; at least once a minute (R96)."""
_FIGURES = {
    "revision": "The store's revision.",
    "sessions_live": "Sessions that have not ended.",
    "jobs_running": "Jobs that count against limits.",
    "requests_waiting": "Requests for access that nobody decided yet.",
    "revision_lag": "Revisions of the store that no decision of this process has seen yet.",
}


class Chores:
    """The periodic work of one service.

    Parameters
    ----------
    house : House
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._checkpoints = CheckpointFile(house.settings.checkpoint_path)
        self._courier = Courier(house.settings.alerts, self._transaction)
        self._followers = Followers(house)
        self._posting = Pool("alert", 1, 1)
        self._signing = Pool("checkpoint", 1, 1)
        self._figures = dict.fromkeys(_FIGURES, 0.0)
        for name, text in _FIGURES.items():
            house.metrics.gauge(name, text, self._shower(name))

    def tasks(self) -> tuple[Task, ...]:
        """Return the work with its rhythm."""
        house = self._house
        return (
            Task("keys", 1.0, lambda: house.pools.reads.run(lambda: refresh_keys(house))),
            Task("revocation", 1.0, self._followers.follow, at_once=True),
            Task("jobs", core_road.LOOK_SECONDS, self._unless_old(lambda: core_road.resume(house)), at_once=True),
            Task("checkpoint", 5.0, self._checkpoint_when_due, at_once=True),
            Task("figures", 15.0, self._count, at_once=True),
            Task("alerts", 5.0, self._unless_old(self._post)),
            Task("expiring", 300.0, self._unless_old(self._announce)),
            Task("tidy", 60.0, self._unless_old(lambda: house.change(OWN, self._tidy))),
        )

    async def last(self) -> None:
        """Sign what was recorded until the end, so that nothing of it can be cut off unseen (R96)."""
        self._courier.stop()
        try:
            await self.checkpoint()
        except Unavailable as problem:
            log.warning("no last checkpoint", extra={"data": {"why": problem.detail}})
        # Off the event loop: closing waits for the alert that is on its way.
        for pool in (self._signing, self._posting):
            await asyncio.get_running_loop().run_in_executor(None, pool.close)

    def _unless_old(self, work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
        # Nothing is written to a database, and nothing signed about it, that may be taken away again (T-40).
        async def run() -> None:
            if self._house.lacks is None:
                await work()

        return run

    async def checkpoint(self) -> bool:
        """Sign the heads of all chains into the file outside the database; False if none moved since.

        Raises
        ------
        Unavailable
            The file cannot be written, the store does not answer, or no key signs.
        """
        house = self._house
        if house.lacks is not None:
            return False
        begun = house.sink.begin()
        found, revision, now, ring = await house.look(
            lambda tx: (heads(tx.conn), tx.revision, tx.now, house.keys.ring(tx))
        )
        try:
            # In a thread of its own: a disk that does not answer holds up no read of the database.
            moved = await self._signing.run(lambda: self._checkpoints.append(found, revision, now, signer(ring)))
        except OSError as error:
            house.sink.failed(error)
            raise Unavailable(f"a checkpoint was not written: {error}", remedy=house.sink.remedy) from error
        house.sink.reached(begun)
        return moved

    async def _checkpoint_when_due(self) -> None:
        sink = self._house.sink
        if sink.failing or sink.age >= _SIGN_EVERY:
            await self.checkpoint()

    async def _count(self) -> None:
        def work(tx: Read) -> dict[str, float]:
            s, j = tables.sessions, tables.jobs
            live = tx.conn.scalar(select(func.count()).select_from(s).where(s.c.ended.is_(None)))
            running = tx.conn.scalar(select(func.count()).select_from(j).where(j.c.ended.is_(None)))
            return {
                "revision": float(tx.revision),
                "sessions_live": float(live or 0),
                "jobs_running": float(running or 0),
                "requests_waiting": float(requests.waiting_count(tx)),
                "revision_lag": float(max(0, tx.revision - self._house.court.seen)),
            }

        self._figures.update(await self._house.look(work))

    async def _post(self) -> None:
        now = datetime.now(UTC)
        await self._posting.run(lambda: self._courier.deliver_due(now))

    async def _announce(self) -> None:
        ahead = timedelta(hours=self._house.settings.alerts.expiry_notice_hours)
        await self._house.change(OWN, lambda tx: announce_expiring(tx, ahead))
        now = datetime.now(UTC)
        await self._posting.run(lambda: self._courier.forget_old(now))

    def _tidy(self, tx: Write) -> None:
        replay.prune(tx, tx.now - _KEEP_REPLAYS)
        pending.expire(tx)
        throttle.forget_old(tx)
        sign_ins.forget_old(tx)
        mapping_reports.forget_old(tx)
        proofs.forget_old(tx)
        used, self._house.used = self._house.used, set()
        for credential in used:
            service_accounts.used(tx, credential)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._house.store.write(OWN) as tx:
            yield tx.conn

    def _shower(self, name: str) -> Callable[[], float]:
        return lambda: self._figures[name]
