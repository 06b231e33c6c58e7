"""Sessions of a project that is deleted or locked: the server where that is typed goes on, the others stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.accounts.sessions.project_entry import active_roles
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

PROJECT_DELETED, PROJECT_LOCKED = "project-deleted", "project-locked"
"""Reasons of ended sessions whose servers stop only after `SessionSettings.project_end_grace_seconds`."""
_s = tables.sessions


@dataclass(frozen=True, slots=True)
class ClosedSessions:
    """What happened to the sessions of a project.

    Attributes
    ----------
    ended : int
        Sessions that ended; their servers stop after the grace.
    sentence : str
        What the actor's own server does now; empty if the actor has none in the project.
    data : dict
        For the result of the command: the client must renew its token if it runs in the actor's server.
    """

    ended: int
    sentence: str
    data: dict[str, Any]


def close_project_sessions(tx: WriteTransaction, project: str, reason: str) -> ClosedSessions:
    """Take the project away from the actor's own server, and end all other sessions in it.

    The server in which the command was typed would otherwise stop under the hands of its user. Without a project it has
    the rights of the user's system roles, or none. A command line cannot prove in which server it runs, so there all
    servers of its user in the project go on.

    Parameters
    ----------
    reason : str
        `PROJECT_DELETED` or `PROJECT_LOCKED`.
    """
    kept = _own_sessions(tx, project)
    for session_id in kept:
        values = {"project": None}
        tx.conn.execute(update(_s).where(_s.c.id == session_id).values(**values))
        wrote = change_records.change_payload(change_records.row_updated(_s, session_id, values))
        tx.record_change("session", {"session": session_id, "did": "set-project", **wrote}, [f"session:{session_id}"])
        details = {"from": project, "to": None, "why": reason}
        tx.audit("session.project", project=project, session=session_id, details=details)
    ended = server_sessions.end_sessions_in_project(tx, project, reason)
    data: dict[str, Any] = {"sessions_ended": ended}
    if not kept:
        return ClosedSessions(ended, "", data)
    if tx.actor.session is not None:
        data |= {"renew": True, "current_project": None}
    server = "this server goes on" if tx.actor.session is not None else "your own servers of the project go on"
    if active_roles(tx, tx.rights(tx.actor.identity), SYSTEM):
        state = "without a project, with your system roles"
    else:
        state = "without a project and without rights"
    enter = ", until you `set project` another one" if tx.settings.session.allow_set_project else ""
    return ClosedSessions(ended, f"{server} {state}{enter}", data)


def _own_sessions(tx: WriteTransaction, project: str) -> list[str]:
    actor = tx.actor
    if actor.acting is not None or actor.identity.kind is not IdentityKind.USER:
        return []
    query = select(_s.c.id).where(_s.c.project == project, _s.c.ended.is_(None), _s.c.user == actor.identity.name)
    if actor.session is not None:
        query = query.where(_s.c.id == actor.session)
    elif actor.channel is not Channel.CLI:
        return []
    return list(tx.conn.execute(query).scalars())
