"""When a session stops unless there is news of it: the hub no longer reports its server, or its user is not checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

START_GRACE = timedelta(minutes=10)
"""How long a server may take to appear in the hub's heartbeat after its session was opened."""
CHECKS_PER_AGE = 3
"""So often the hub checks a user at their provider within the maximum age of a check."""
_u = tables.users


@dataclass(frozen=True, slots=True)
class SessionDeadline:
    """When a session is no longer renewed, unless there is news before.

    Attributes
    ----------
    last_news, at : datetime
    """

    last_news: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class ForeseeableEnd:
    """When a session will stop as things are, and why, in words."""

    at: datetime
    because: str


def hub_deadline(tx: ReadTransaction, session: Any) -> SessionDeadline:
    """Return until when the hub must report the server of a session (a row)."""
    settings = tx.settings.session
    grace = timedelta(seconds=settings.hub_down_grace_seconds + 2 * settings.heartbeat_seconds)
    is_starting = session.last_seen == session.started
    return SessionDeadline(session.last_seen, session.last_seen + (max(grace, START_GRACE) if is_starting else grace))


def check_deadline(tx: ReadTransaction, session: Any) -> SessionDeadline | None:
    """Return until when the hub must check the user of a session (a row) at their provider.

    None for a local account, which is stored here and needs no check. The hub checks at every start of a server, and
    periodically.
    """
    row = tx.conn.execute(select(_u.c.provider, _u.c.last_seen).where(_u.c.name == session.user)).one()
    if any(configured.kind == "local" and configured.name == row.provider for configured in tx.settings.providers):
        return None
    checked = max(session.started, row.last_seen or session.started)
    return SessionDeadline(checked, checked + timedelta(seconds=tx.settings.group_max_age_seconds))


def foreseeable_end(tx: ReadTransaction, session: Any) -> ForeseeableEnd | None:
    """Return when an active session (a row) will stop; None while the news that keep it come in time."""
    ends = []
    hub = hub_deadline(tx, session)
    # A restart of the hub takes less than half of the time.
    if tx.now > hub.last_news + (hub.at - hub.last_news) / 2 and session.last_seen != session.started:
        ends.append(ForeseeableEnd(hub.at, f"the hub has not reported this server since {_format(hub.last_news)}"))
    check = check_deadline(tx, session)
    # Two checks in a row have failed.
    if check is not None and tx.now > check.at - (check.at - check.last_news) / CHECKS_PER_AGE:
        because = f"your identity provider has not confirmed your account since {_format(check.last_news)}"
        ends.append(ForeseeableEnd(check.at, because))
    return min(ends, key=lambda end: end.at, default=None)


def _format(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
