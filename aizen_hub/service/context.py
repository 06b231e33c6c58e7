"""What one running service consists of, in one place: every request sees exactly this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.sessions import sessions
from aizen_hub.audit.checkpoints.health import Sink
from aizen_hub.problems import Unavailable
from aizen_hub.service.auth.authenticator import Roads
from aizen_hub.service.auth.hub_api import HubClient
from aizen_hub.service.auth.rate_limits import Limits
from aizen_hub.service.clock_check import Clock, kernel
from aizen_hub.service.core.parsed_commands import Reader
from aizen_hub.service.http.route import Route
from aizen_hub.service.metrics import Metrics
from aizen_hub.service.thread_pools import Pools

if TYPE_CHECKING:
    from aizen_hub.accounts.service_accounts.service_accounts import Held
    from aizen_hub.authorization.decisions.decision_service import Court
    from aizen_hub.catalogs.catalog import Catalog
    from aizen_hub.jobs.runner import Runner
    from aizen_hub.service.auth.browser_login import Browsers
    from aizen_hub.service.core.command_log import Ledger
    from aizen_hub.settings import Settings
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.store.store import Store
    from aizen_hub.store.transaction import Read, Write
    from aizen_hub.tokens.role_token import Verifier

T = TypeVar("T")
PREFIX = "/services/aizen/"
_MOST_USED = 1000


class House:
    """The parts of a running service.

    Attributes
    ----------
    sealed : str or None
        Why nothing may be decided; health still answers (R7).
    remedy : str
        What helps against that.
    lacks : str or None
        What was signed or seen and is not in the database, so that the service is sealed (T-40).
    ending : bool
        SIGTERM came: nothing new is taken in.
    without_session : tuple of (user, server)
        Servers of before this hub used the service, as the last heartbeat to this process named them.
    used : set of str
        Credentials of service accounts that were used since this was last noted.
    """

    court: Court
    runner: Runner
    ledger: Ledger
    keys: KeyStore
    verifier: Verifier
    browsers: Browsers

    def __init__(
        self,
        settings: Settings,
        store: Store,
        catalog: Catalog,
        *,
        instance: str,
        hub_secret: str | None,
        core_credential: str | None,
        prefix: str = PREFIX,
        hub_api: str | None = None,
    ) -> None:
        self.settings, self.store, self.catalog, self.instance, self.prefix = settings, store, catalog, instance, prefix
        self.metrics = Metrics()
        self.pools = Pools(embedded=settings.embedded)
        self.limits = Limits(settings.rate, self.metrics.limited)
        self.hub = HubClient(
            hub_api, prefix.strip("/").rpartition("/")[2] or "aizen", settings.service.deadline_seconds
        )
        self.hub_secret = hub_secret
        self.revoking: dict[str, asyncio.Task[dict[str, int] | None]] = {}
        self.roads = Roads(self, self.hub, hub_secret, core_credential)
        self.sealed: str | None = None
        self.remedy = ""
        self.lacks: str | None = None
        self.without_session: tuple[tuple[str, str], ...] = ()
        self.ending = False
        self.reader = Reader(catalog)
        self.used: set[str] = set()
        self.started = datetime.now(UTC)
        self.clock = Clock(shared=not settings.embedded)
        self.sink = Sink(settings.checkpoint_grace_seconds)
        self.metrics.gauge(
            "clock_offset_seconds",
            "This clock against the store's, or its jumps since the start.",
            lambda: self.clock.offset,
        )
        self.metrics.gauge(
            "clock_synchronised", "1 where the kernel says that NTP keeps the clock.", lambda: kernel()[0]
        )
        self.metrics.gauge("clock_ntp_offset_seconds", "This clock against NTP, by the kernel.", lambda: kernel()[1])
        self.metrics.gauge(
            "sealed",
            "1 while a key, the audit's checkpoint file or a part of the database is missing and nothing is decided.",
            lambda: float(self.sealed is not None),
        )
        self.metrics.gauge(
            "checkpoint_age_seconds",
            "Time since the heads of the audit were last signed, or found unmoved.",
            lambda: self.sink.age,
        )
        self.metrics.gauge("questions_waiting", "Questions that wait for the court.", lambda: float(self.court.waiting))
        self.metrics.gauge(
            "work_waiting",
            "Database work that runs or waits.",
            lambda: float(self.pools.busy),
        )

    def check_open(self, route: Route) -> None:
        """Refuse while nothing may be decided.

        Raises
        ------
        Unavailable
        """
        if route.always:
            return
        if self.sealed is not None:
            self.metrics.sealed(route.name)
            raise Unavailable(self.sealed, more={"sealed": True}, remedy=self.remedy)
        if self.ending:
            raise Unavailable("the service is ending")

    async def change(self, actor: Actor, work: Callable[[Write], T]) -> T:
        """Do ``work`` in one transaction, off the event loop."""

        def run() -> T:
            with self.store.write(actor) as tx:
                return work(tx)

        return await self.pools.writes.run(run)

    async def look(self, work: Callable[[Read], T]) -> T:
        """Read in one view of the store, off the event loop."""

        def run() -> T:
            with self.store.read() as tx:
                return work(tx)

        return await self.pools.reads.run(run)

    async def service_account_of(self, credential: str) -> Held | None:
        """Return whose valid credential this is now, and what it is bound to; None where it is none."""
        return await self.look(lambda tx: service_accounts.authenticate(tx, credential))

    def note_used(self, credential: str) -> None:
        """Note that a service account came in with this credential."""
        if len(self.used) < _MOST_USED:
            self.used.add(credential)

    async def was_session_credential(self, credential: str) -> bool:
        """Whether a token's hash is, or ever was, the credential of a session."""
        return await self.look(lambda tx: sessions.was_credential(tx, credential))
