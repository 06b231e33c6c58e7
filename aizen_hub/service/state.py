"""The state of a running service that changes: whether it decides, and what the last heartbeat reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from aizen_hub.accounts.reviews.unused_access import UnusedAccess
from aizen_hub.problems import Unavailable
from aizen_hub.service.runtime.response_times import ResponseTimes


@dataclass(slots=True)
class ServiceState:
    """What changes while a service runs; one object per process, read at every request.

    Attributes
    ----------
    sealed : str or None
        Why nothing may be decided, as a sentence; health checks are still answered (R7).
    seal_remedy : str
        How to unseal the service.
    missing_data : str or None
        What was signed or seen and is missing in the database, which seals the service (T-40).
    draining : bool
        SIGTERM was received: requests are answered, load balancers are told to send no more, and connections end.
    stopping : bool
        New requests are refused.
    servers_without_session : mapping of str to tuple of (user, server)
        Servers started before their hub used the service, by the id of the hub, as its last heartbeat to this process
        listed them.
    started_at : datetime
    response_times : ResponseTimes
        Of the directories, as reported to this process.
    unused_access : UnusedAccess or None
        Unused roles and dormant accounts, counted every fifteen minutes; None until the first count.
    """

    sealed: str | None = None
    seal_remedy: str = ""
    missing_data: str | None = None
    draining: bool = False
    stopping: bool = False
    servers_without_session: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    response_times: ResponseTimes = field(default_factory=ResponseTimes)
    unused_access: UnusedAccess | None = None

    def require_open(self) -> None:
        """Refuse while nothing may be decided.

        Raises
        ------
        Unavailable
            With ``sealed: true`` where the service is sealed.
        """
        if self.sealed is not None:
            raise Unavailable(self.sealed, extensions={"sealed": True}, remedy=self.seal_remedy)
        if self.stopping:
            raise Unavailable("the service is stopping")
