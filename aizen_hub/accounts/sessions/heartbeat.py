"""Heartbeat of a hub: its sessions end with their servers, and its servers with their sessions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, select, update

from aizen_hub.accounts import hub_providers
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.sessions import project_closing, server_sessions
from aizen_hub.accounts.sessions.session_deadlines import START_GRACE
from aizen_hub.authorization import lock_state
from aizen_hub.hub_settings import MAIN_HUB
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunked

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

HUB_REMOVED, PROVIDER_REMOVED = "hub-removed", "provider-removed"
_s, _u = tables.sessions, tables.users


@dataclass(frozen=True, slots=True)
class HeartbeatResult:
    """Sessions that ended because their server is gone, and servers that must be stopped.

    Attributes
    ----------
    without_session : tuple of (user, server)
        Servers that never had a session, since they were started before the hub used this service. They have no
        rights, and keep running until their users restart them.
    """

    ended: tuple[tuple[str, str], ...]
    stop: tuple[tuple[str, str], ...]
    without_session: tuple[tuple[str, str], ...] = ()


def process_heartbeat(tx: WriteTransaction, live_servers: Iterable[tuple[str, str]]) -> HeartbeatResult:
    """Process a hub's list of live servers: end sessions without a server, and name servers without a session.

    Only sessions of the actor's hub are read and changed. One that has not been seen yet may still be starting, so it
    is kept for `session_deadlines.START_GRACE`. Sessions of people whose provider was taken from a further hub end.
    """
    of_hub = _s.c.hub == tx.actor.hub
    if tx.actor.hub == MAIN_HUB:
        _end_sessions_of_removed_hubs(tx)
    rows = tx.conn.execute(
        select(_s.c.id, _s.c.user, _s.c.server, _s.c.started, _s.c.last_seen).where(of_hub, _s.c.ended.is_(None))
    ).all()
    # Those of sessions are canonical already: thousands of names would be normalized again while all writes wait.
    canonical = {row.user for row in rows}
    foreign = hub_providers.find_people_of_others(tx, tx.actor.hub, canonical)
    for row in rows:
        if row.user in foreign:
            server_sessions.end_session(tx, row.id, PROVIDER_REMOVED)
    rows = [row for row in rows if row.user not in foreign]
    listed_servers = {
        (user if user in canonical else normalization.canonical_or_none(user) or user, server)
        for user, server in live_servers
    }
    present = [row for row in rows if (row.user, row.server) in listed_servers]
    ended_rows = [
        row
        for row in rows
        if (row.user, row.server) not in listed_servers
        and (row.last_seen > row.started or tx.now - row.started > START_GRACE)
    ]
    ids = [row.id for row in present]
    for start in range(0, len(ids), 500):
        tx.conn.execute(update(_s).where(_s.c.id.in_(ids[start : start + 500])).values(last_seen=tx.now))
    for row in ended_rows:
        server_sessions.end_session(tx, row.id, "server-gone")
    with_session = {(row.user, row.server) for row in rows} - {(row.user, row.server) for row in ended_rows}
    locked = lock_state.locked_names(tx, LockTarget.IDENTITY)
    users = {user for user, _ in listed_servers}
    active_users: set[str] = set()
    had_session = set(with_session)
    users_without_session = {user for user, server in listed_servers if (user, server) not in with_session}
    for chunk in chunked(sorted(users)):
        active_users.update(
            tx.conn.execute(select(_u.c.name).where(_u.c.name.in_(chunk), _u.c.active.is_(True))).scalars()
        )
    for chunk in chunked(sorted(users_without_session)):
        query = select(_s.c.user, _s.c.server).where(of_hub, _s.c.user.in_(chunk)).distinct()
        had_session.update((row.user, row.server) for row in tx.conn.execute(query))
    in_grace = _servers_in_grace(tx, of_hub, users_without_session)
    # A user who is not registered here cannot have had a session, so their servers are not stopped.
    without_session = {
        server for server in listed_servers if server not in had_session and f"user:{server[0]}" not in locked
    }
    may_run = with_session | in_grace
    stopped = {name for name in users if f"user:{name}" in locked or name not in active_users}
    stop = sorted(
        server for server in listed_servers - without_session if server[0] in stopped or server not in may_run
    )
    return HeartbeatResult(
        tuple(sorted((row.user, row.server) for row in ended_rows)), tuple(stop), tuple(sorted(without_session))
    )


def _end_sessions_of_removed_hubs(tx: WriteTransaction) -> None:
    # Nothing else would end them: a hub that is not in the settings any more sends no heartbeat that is accepted.
    known = (MAIN_HUB, *(hub.id for hub in tx.settings.further_hubs))
    removed = select(_s.c.id).where(_s.c.ended.is_(None), _s.c.hub.not_in(known))
    for session in tx.conn.execute(removed).scalars().all():
        server_sessions.end_session(tx, session, HUB_REMOVED)


def _servers_in_grace(tx: ReadTransaction, of_hub: ColumnElement[bool], users: Iterable[str]) -> set[tuple[str, str]]:
    """Return the servers whose project ended a moment ago: their users can still read why, and save their work."""
    grace = timedelta(seconds=tx.settings.session.project_end_grace_seconds)
    servers: set[tuple[str, str]] = set()
    for chunk in chunked(sorted(users)):
        query = select(_s.c.user, _s.c.server).where(
            of_hub,
            _s.c.user.in_(chunk),
            _s.c.ended > tx.now - grace,
            _s.c.end_reason.in_((project_closing.PROJECT_DELETED, project_closing.PROJECT_LOCKED)),
        )
        servers.update((row.user, row.server) for row in tx.conn.execute(query))
    return servers
