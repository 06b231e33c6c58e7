"""The hub's heartbeat: sessions end with their servers, and servers with their sessions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from aizen_hub.accounts.names import names
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunks

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Write

_s, _u = tables.sessions, tables.users


@dataclass(frozen=True, slots=True)
class Heard:
    """Answer to a heartbeat: sessions that ended because their server is gone, and servers that must be stopped.

    Attributes
    ----------
    without : tuple of (user, server)
        Servers that never had a session: they were started before this hub used the service. They have no rights, and
        run on until their people start them again.
    """

    ended: tuple[tuple[str, str], ...]
    stop: tuple[tuple[str, str], ...]
    without: tuple[tuple[str, str], ...] = ()


def take(tx: Write, live: Iterable[tuple[str, str]]) -> Heard:
    """Take the hub's list of live servers: a session without its server ends, a server whose session ended must stop.

    A session that was never heard may still be starting, so it is left for `sessions.STARTING`.
    """
    listed = {(names.known_as(user) or user, server) for user, server in live}
    rows = tx.conn.execute(
        select(_s.c.id, _s.c.user, _s.c.server, _s.c.started, _s.c.heard).where(_s.c.ended.is_(None))
    ).all()
    present = [row for row in rows if (row.user, row.server) in listed]
    gone = [
        row
        for row in rows
        if (row.user, row.server) not in listed
        and (row.heard > row.started or tx.now - row.started > sessions.STARTING)
    ]
    ids = [row.id for row in present]
    for start in range(0, len(ids), 500):
        tx.conn.execute(update(_s).where(_s.c.id.in_(ids[start : start + 500])).values(heard=tx.now))
    for row in gone:
        sessions.end_session(tx, row.id, "server-gone")
    with_session = {(row.user, row.server) for row in rows} - {(row.user, row.server) for row in gone}
    locked = locks.locked_names(tx, LockTarget.IDENTITY)
    people = {user for user, _ in listed}
    able: set[str] = set()
    had_session = set(with_session)
    lone = {user for user, server in listed if (user, server) not in with_session}
    for chunk in chunks(sorted(people)):
        able.update(tx.conn.execute(select(_u.c.name).where(_u.c.name.in_(chunk), _u.c.active.is_(True))).scalars())
    for chunk in chunks(sorted(lone)):
        query = select(_s.c.user, _s.c.server).where(_s.c.user.in_(chunk)).distinct()
        had_session.update((row.user, row.server) for row in tx.conn.execute(query))
    # Somebody who is not registered here cannot have had a session: nothing of theirs is ours to stop.
    without = {one for one in listed if one not in had_session and f"user:{one[0]}" not in locked}
    stopped = {name for name in people if f"user:{name}" in locked or name not in able}
    stop = sorted(one for one in listed - without if one not in with_session or one[0] in stopped)
    return Heard(tuple(sorted((row.user, row.server) for row in gone)), tuple(stop), tuple(sorted(without)))
