"""Sessions: one start of one user server, for one user and one project, or for no project."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, insert, select, update

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles import limits
from aizen_hub.accounts.sessions.project_entry import active_roles, require_may_enter, require_may_start
from aizen_hub.accounts.sessions.session_deadlines import check_deadline, hub_deadline
from aizen_hub.accounts.sessions.session_end import ended_error, locked_error, name_of_ender
from aizen_hub.authorization import checks, lock_state
from aizen_hub.authorization.activity import inactive_remedy
from aizen_hub.commands.result import Result, message_result
from aizen_hub.hub_settings import MAIN_HUB
from aizen_hub.problems import BadInput, Conflict, Denied, NotAuthenticated, NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.store.transaction import require_current_catalog
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_s = tables.sessions
_HASH_LENGTH = 64
_REPEATED_WITHIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session, for its role token and the hub; ``limits`` are memory in bytes, cpu in cores, and counts."""

    session_id: str
    user: str
    server: str
    project: str | None
    roles: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    notice: str | None = None


def open_session(
    tx: WriteTransaction, user: str, requester: str, server: str, project: str | None, credential_hash: str
) -> OpenedSession:
    """Open the session of a server that is about to start at the actor's hub, and end earlier sessions of that server.

    A hub that got no answer sends the same request again: what it opened within the last minute is returned.

    Parameters
    ----------
    user, requester : str
        The owner of the server and the user who requested its start; they must be the same.
    server : str
        The name of the server at that hub, empty for the default one; a server of another hub may have the same. It is
        never used to find the project.
    credential_hash : str
        SHA-256 of the server's own hub token, as hex; renewal needs that token.

    Raises
    ------
    Denied
        The server of another user, an inactive or locked account, an archived project, or no system role for a session
        without a project.
    NotFound
        The user is not registered, or the project does not exist for them (R34, R72).
    BadInput
        The hash is malformed.
    Conflict
        The credential belongs to another server's session.
    """
    require_current_catalog(tx.state, tx.catalog)
    owner, requester_name = normalization.canonical_or_none(user), normalization.canonical_or_none(requester)
    if owner is None or _registered_at(tx, owner) is None:
        raise NotFound(f"`{excerpt(user)}` is not registered")
    if requester_name != owner:
        raise Denied(
            f"`{excerpt(requester)}` cannot start the server of `{owner}`: a token proves a server, not who sits at it",
            remedy=f"`{owner}` starts it",
        )
    if len(credential_hash) != _HASH_LENGTH or not all(char in "0123456789abcdef" for char in credential_hash):
        raise BadInput("the credential is not a SHA-256 in lower-case hexadecimal digits")
    project = require_may_start(tx, owner, project)
    opened = _find_repeated(tx, owner, server, project, credential_hash)
    if opened is not None:
        return _describe_session(tx, opened, owner, server, project)
    end_sessions(tx, owner, server, "restarted")
    _release_credential(tx, owner, server, credential_hash)
    session_id = secrets.token_hex(16)
    values = {
        "user": owner,
        "hub": tx.actor.hub,
        "server": server,
        "project": project,
        "credential": credential_hash,
    }
    tx.conn.execute(insert(_s).values(id=session_id, started=tx.now, last_seen=tx.now, **values))
    wrote = change_records.change_payload(change_records.row_written(_s, session_id, values))
    tx.record_change("session", {"session": session_id, "did": "open", **wrote}, [f"session:{session_id}"])
    tx.audit("session.opened", project=project, session=session_id, details={"user": owner, "server": server})
    return _describe_session(tx, session_id, owner, server, project)


def end_sessions(tx: WriteTransaction, user: str, server: str | None, reason: str) -> int:
    """End the active sessions of a user's server at the actor's hub; return their number.

    Parameters
    ----------
    server : str or None
        None for all servers of the user, at all hubs.
    """
    where = [_s.c.user == (normalization.canonical_or_none(user) or user)]
    if server is not None:
        where += [_s.c.hub == tx.actor.hub, _s.c.server == server]
    return _end_where(tx, where, reason)


def end_session(tx: WriteTransaction, session_id: str, reason: str) -> int:
    """End a session without an authorization check; return the number of sessions ended, 0 or 1."""
    return _end_where(tx, [_s.c.id == session_id], reason)


def end_sessions_in_project(tx: WriteTransaction, project: str, reason: str) -> int:
    """End the active sessions in a project without an authorization check; return their number."""
    return _end_where(tx, [_s.c.project == project], reason)


def renew_session(tx: WriteTransaction, credential_hash: str, project: str | None = None) -> OpenedSession:
    """Return the active session of a server's own hub token, for a new role token; with a project, change to it first.

    Raises
    ------
    NotAuthenticated
        No active session has this credential, its last heartbeat or the last check of its user at their provider is
        too long ago, or user or project is locked (R46, R50, T-22).
    Denied, NotFound
        The project cannot be entered, or this deployment does not allow changing it.
    """
    row = tx.conn.execute(select(_s).where(_s.c.credential == credential_hash)).first()
    if row is None:
        raise NotAuthenticated("your server's session has ended", extensions={"code": "session-ended"})
    if row.ended is not None:
        raise ended_error(tx, row)
    if tx.now > hub_deadline(tx, row).at:
        raise NotAuthenticated(
            "the hub has not reported this server for too long", extensions={"code": "session-unheard"}
        )
    if not tx.rights(Identity.user(row.user)).active:
        remedy = inactive_remedy(tx, Identity.user(row.user))
        raise NotAuthenticated("this account is not active", remedy=remedy, extensions={"code": "not-active"})
    check = check_deadline(tx, row)
    if check is not None and tx.now > check.at:
        raise NotAuthenticated(
            "your access could not be checked for too long: your identity provider does not respond",
            remedy="try again when your directory or identity provider responds",
            extensions={"code": "not-checked"},
        )
    if lock_state.is_locked(tx, LockTarget.SESSION, row.id):
        raise locked_error(tx, LockTarget.SESSION, row.id)
    if project is not None:
        set_session_project(tx, row.id, project)
        return _describe_session(
            tx, row.id, row.user, row.server, normalization.canonical_name(project, NameKind.PROJECT)
        )
    if row.project is not None and lock_state.is_locked(tx, LockTarget.PROJECT, row.project):
        raise locked_error(tx, LockTarget.PROJECT, row.project)
    return _describe_session(tx, row.id, row.user, row.server, row.project)


def set_session_project(tx: WriteTransaction, session_id: str, project: str) -> str:
    """Change the project of an active session, if its user may enter that project; return its canonical name.

    Raises
    ------
    Denied
        This deployment does not allow it.
    NotFound
        The project does not exist for the user, or the session has ended.
    """
    row = tx.conn.execute(select(_s).where(_s.c.id == session_id, _s.c.ended.is_(None))).first()
    if row is None:
        raise NotFound("this session has ended")
    if not tx.settings.session.allow_set_project:
        raise Denied(
            "the project of a running server cannot be changed here",
            remedy="stop the server and start it for that project",
        )
    name = require_may_enter(tx, row.user, project)
    if name is None:
        raise BadInput("a project is needed")
    if name != row.project:
        tx.conn.execute(update(_s).where(_s.c.id == session_id).values(project=name))
        wrote = change_records.change_payload(change_records.row_updated(_s, session_id, {"project": name}))
        tx.record_change("session", {"session": session_id, "did": "set-project", **wrote}, [f"session:{session_id}"])
        tx.audit("session.project", project=name, session=session_id, details={"from": row.project, "to": name})
    return name


def find_live_session(tx: ReadTransaction, session_id: str) -> Any:
    """Return the row of an active session, or None."""
    return tx.conn.execute(select(_s).where(_s.c.id == session_id, _s.c.ended.is_(None))).first()


def end_session_by_id(tx: WriteTransaction, session_id: str, reason: str) -> Result:
    """End an active session: the actor's own, or with the permission to manage sessions that of any user.

    Raises
    ------
    Denied
        The actor is impersonated, or may not manage the sessions of others.
    NotFound
        There is no such active session; told only to actors who may manage sessions.
    """
    row = find_live_session(tx, session_id)
    if row is not None and Identity.user(row.user) == tx.actor.identity:
        checks.forbid_impersonation(tx)
    else:
        checks.require(tx, checks.endpoint_permission(tx, "sessions"))
    if row is None:
        raise NotFound("there is no such active session")
    end_session(tx, session_id, reason)
    return message_result(f"the session of `{row.user}` has ended; its server is stopped at the hub's next heartbeat")


def is_session_credential(tx: ReadTransaction, credential_hash: str) -> bool:
    """Return whether this hash is or was a session's credential, so that no other endpoint accepts it."""
    return tx.conn.execute(select(_s.c.id).where(_s.c.credential == credential_hash)).first() is not None


def _describe_session(
    tx: ReadTransaction, session_id: str, user: str, server: str, project: str | None
) -> OpenedSession:
    identity = Identity.user(user)
    rights = tx.rights(identity)
    roles = set(active_roles(tx, rights, SYSTEM))
    if project is not None:
        roles |= set(active_roles(tx, rights, project))
    return OpenedSession(
        session_id, user, server, project, tuple(sorted(roles)), limits.limit_values(tx, identity, project or SYSTEM)
    )


def _end_where(tx: WriteTransaction, where: Sequence[ColumnElement[bool]], reason: str) -> int:
    rows = tx.conn.execute(
        select(_s.c.id, _s.c.user, _s.c.hub, _s.c.server, _s.c.project).where(_s.c.ended.is_(None), *where)
    ).all()
    for row in rows:
        ended = {"ended": tx.now, "end_reason": reason, "ended_by": name_of_ender(tx.actor)}
        tx.conn.execute(update(_s).where(_s.c.id == row.id).values(**ended))
        wrote = change_records.change_payload(change_records.row_deleted(_s, row.id))
        tx.record_change("session", {"session": row.id, "did": "end", "reason": reason, **wrote}, [f"session:{row.id}"])
        details = {"user": row.user, "server": row.server, "why": reason}
        if row.hub != MAIN_HUB:
            details["hub"] = row.hub
        tx.audit("session.ended", project=row.project, session=row.id, details=details)
    return len(rows)


def _find_repeated(
    tx: WriteTransaction, user: str, server: str, project: str | None, credential_hash: str
) -> str | None:
    row = tx.conn.execute(select(_s).where(_s.c.credential == credential_hash, _s.c.ended.is_(None))).first()
    if row is None or (row.user, row.hub, row.server, row.project) != (user, tx.actor.hub, server, project):
        return None
    return str(row.id) if row.started > tx.now - _REPEATED_WITHIN else None


def _release_credential(tx: WriteTransaction, user: str, server: str, credential_hash: str) -> None:
    # A server that is stopped and resumed keeps its hub token; any other reuse means that the token was stolen.
    row = tx.conn.execute(select(_s).where(_s.c.credential == credential_hash)).first()
    if row is None:
        return
    if (row.user, row.hub, row.server) != (user, tx.actor.hub, server):
        raise Conflict("this credential belongs to another server's session")
    from hashlib import sha256

    replaced = sha256(f"superseded:{row.id}:{credential_hash}".encode()).hexdigest()
    tx.conn.execute(update(_s).where(_s.c.id == row.id).values(credential=replaced))


def _registered_at(tx: ReadTransaction, name: str) -> datetime | None:
    users = tables.users
    return tx.conn.execute(select(users.c.created).where(users.c.name == name)).scalar()
