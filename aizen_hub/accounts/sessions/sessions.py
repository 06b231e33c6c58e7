"""Sessions: one start of one user server, for one user and one project, or none (DESIGN, way of a command, 2-5)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, insert, select, update

from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.roles import limits
from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, message
from aizen_hub.problems import BadInput, Conflict, Denied, NotAuthenticated, NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.store.transaction import check_catalog
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

STARTING = timedelta(minutes=10)
"""How long a server may take to appear in the hub's list after its session was opened."""

_s = tables.sessions
_u = tables.users
_HASH = 64


@dataclass(frozen=True, slots=True)
class Opened:
    """A session as a role token and the hub need it; ``limits`` are memory in bytes and cpu in cores, and counts."""

    session_id: str
    user: str
    server: str
    project: str | None
    roles: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    notice: str | None = None


def open(tx: Write, user: str, requester: str, server: str, project: str | None, credential_hash: str) -> Opened:
    """Open the session of a server that is about to start, and end the earlier ones of that server.

    Parameters
    ----------
    user, requester : str
        The owner of the server and who asked for it to start; both must be the same person.
    server : str
        The hub's name of the server, empty for the default one. It never says anything about the project.
    credential_hash : str
        SHA-256 of the server's own hub token, as hex; renewal needs that token.

    Raises
    ------
    Denied
        Somebody else's server, an account that is stopped, or no system role for a session without a project.
    NotFound
        The user is not registered, or the project does not exist for them (R34, R72).
    BadInput
        The hash is none.
    Conflict
        The credential belongs to another server's session.
    """
    check_catalog(tx.state, tx.catalog)
    owner, asker = names.known_as(user), names.known_as(requester)
    if owner is None or _user(tx, owner) is None:
        raise NotFound(f"`{show(user)}` is not registered")
    if asker != owner:
        raise Denied(
            f"`{show(requester)}` cannot start the server of `{owner}`: a token proves a server, not who sits at it",
            remedy=f"`{owner}` starts it",
        )
    if len(credential_hash) != _HASH or not all(char in "0123456789abcdef" for char in credential_hash):
        raise BadInput("the credential is not a SHA-256 in lower-case hexadecimal digits")
    project = enter(tx, owner, project)
    end(tx, owner, server, "restarted")
    _free_credential(tx, owner, server, credential_hash)
    number = secrets.token_hex(16)
    values = {"user": owner, "server": server, "project": project, "credential": credential_hash}
    tx.conn.execute(insert(_s).values(id=number, started=tx.now, heard=tx.now, **values))
    wrote = recorded.rows(recorded.put(_s, number, values))
    tx.change("session", {"session": number, "did": "open", **wrote}, [f"session:{number}"])
    tx.audit("session.opened", project=project, session=number, details={"user": owner, "server": server})
    return _opened(tx, number, owner, server, project)


def end(tx: Write, user: str, server: str | None, reason: str) -> int:
    """End the live sessions of a user's server, or with None of all their servers; return how many there were."""
    where = [_s.c.user == (names.known_as(user) or user)]
    if server is not None:
        where.append(_s.c.server == server)
    return _end(tx, where, reason)


def end_session(tx: Write, session: str, reason: str) -> int:
    return _end(tx, [_s.c.id == session], reason)


def end_in_project(tx: Write, project: str, reason: str) -> int:
    return _end(tx, [_s.c.project == project], reason)


def renew(tx: Write, credential_hash: str, project: str | None = None) -> Opened:
    """Find the live session of a server's own hub token, for a new role token; with a project, change to it first.

    Raises
    ------
    NotAuthenticated
        No live session has this credential, the hub has not named it for longer than the grace time, its person could
        not be checked at their provider for longer than that takes, or person or project is stopped (R46, R50, T-22).
    Denied, NotFound
        The project cannot be entered, or this deployment does not allow changing it.
    """
    row = tx.conn.execute(select(_s).where(_s.c.credential == credential_hash)).first()
    if row is None or row.ended is not None:
        raise NotAuthenticated("no running server has this credential", more={"code": "session-ended"})
    grace = timedelta(seconds=tx.settings.session.hub_down_grace_seconds + 2 * tx.settings.session.heartbeat_seconds)
    if tx.now - row.heard > max(grace, STARTING if row.heard == row.started else grace):
        raise NotAuthenticated("the hub has not named this server for too long", more={"code": "session-unheard"})
    if not tx.rights(Identity.user(row.user)).active:
        raise NotAuthenticated("this account is stopped or gone", more={"code": "not-active"})
    if not _checked_lately(tx, row.user, row.started):
        raise NotAuthenticated(
            "whether you may still be here could not be checked for too long: what signed you in does not answer",
            remedy="try again when your directory or identity provider answers",
            more={"code": "not-checked"},
        )
    if locks.is_locked(tx, LockTarget.SESSION, row.id):
        raise NotAuthenticated("this session is locked", more={"code": "locked"})
    if project is not None:
        set_project(tx, row.id, project)
        return _opened(tx, row.id, row.user, row.server, names.canonical(project, NameKind.PROJECT))
    if row.project is not None and locks.is_locked(tx, LockTarget.PROJECT, row.project):
        raise NotAuthenticated("this project is locked", more={"code": "locked"})
    return _opened(tx, row.id, row.user, row.server, row.project)


def set_project(tx: Write, session: str, project: str) -> str:
    """Change the project of a live session, if its user may enter that project; return its canonical name.

    Raises
    ------
    Denied
        This deployment does not allow it.
    NotFound
        The project does not exist for the user, or the session has ended.
    """
    row = tx.conn.execute(select(_s).where(_s.c.id == session, _s.c.ended.is_(None))).first()
    if row is None:
        raise NotFound("this session has ended")
    if not tx.settings.session.allow_set_project:
        raise Denied(
            "the project of a running server cannot be changed here",
            remedy="stop the server and start it for that project",
        )
    name = enter(tx, row.user, project)
    if name is None:
        raise BadInput("a project is needed")
    if name != row.project:
        tx.conn.execute(update(_s).where(_s.c.id == session).values(project=name))
        wrote = recorded.rows(recorded.altered(_s, session, {"project": name}))
        tx.change("session", {"session": session, "did": "set-project", **wrote}, [f"session:{session}"])
        tx.audit("session.project", project=name, session=session, details={"from": row.project, "to": name})
    return name


def live(tx: Read, session: str) -> Any:
    """Return the row of a live session, or None."""
    return tx.conn.execute(select(_s).where(_s.c.id == session, _s.c.ended.is_(None))).first()


def end_one(tx: Write, session: str, reason: str) -> Result:
    """End a live session: one's own, or with the permission to manage sessions anybody's.

    Raises
    ------
    Denied
        Somebody acts for the person, or it is somebody else's.
    NotFound
        There is no such live session; without the permission this is not told.
    """
    row = live(tx, session)
    if row is not None and Identity.user(row.user) == tx.actor.identity:
        gate.in_person(tx)
    else:
        gate.need(tx, gate.permission(tx, "sessions"))
    if row is None:
        raise NotFound("there is no such live session")
    end_session(tx, session, reason)
    return message(f"the session of `{row.user}` has ended; its server is stopped at the hub's next heartbeat")


def was_credential(tx: Read, credential_hash: str) -> bool:
    """Tell whether this hash is or was a session's credential, so that no other road takes it."""
    return tx.conn.execute(select(_s.c.id).where(_s.c.credential == credential_hash)).first() is not None


def roles_in(tx: Read, rights: Rights, scope: str) -> tuple[str, ...]:
    """Return the names of the roles that are in effect in a scope, for reading and for the token."""
    return tuple(sorted({held.role for held in rights.held if held.scope == scope and held.gives(tx.now)}))


def is_admin(tx: Read, user: str) -> bool:
    """Whether the catalog's admin role is in effect for a user now."""
    return tx.catalog.admin_role in roles_in(tx, tx.rights(Identity.user(user)), SYSTEM)


def enter(tx: Write, user: str, project: str | None) -> str | None:
    """Return the canonical name of the project that the user may enter, or None for a session without one.

    Raises
    ------
    Denied, NotFound
        As `open`.
    """
    identity = Identity.user(user)
    rights = tx.rights(identity)
    if not rights.active or locks.is_locked(tx, LockTarget.IDENTITY, str(identity)):
        raise Denied(f"the account `{user}` is stopped", remedy="ask an administrator")
    if not project:
        if not roles_in(tx, rights, SYSTEM):
            raise Denied(
                "a session without a project needs a system role", remedy="choose a project, or request access to one"
            )
        return None
    name = names.known_as(project, NameKind.PROJECT)
    if name is None or not gate.visible(tx, identity, name):
        raise gate.no_project(project)
    if locks.is_locked(tx, LockTarget.PROJECT, name):
        raise Denied(f"the project `{name}` is locked", remedy="ask an administrator")
    return name


def _opened(tx: Read, number: str, user: str, server: str, project: str | None) -> Opened:
    identity = Identity.user(user)
    rights = tx.rights(identity)
    roles = set(roles_in(tx, rights, SYSTEM))
    if project is not None:
        roles |= set(roles_in(tx, rights, project))
    return Opened(number, user, server, project, tuple(sorted(roles)), limits.numbers(tx, identity, project or SYSTEM))


def _end(tx: Write, where: Sequence[ColumnElement[bool]], reason: str) -> int:
    rows = tx.conn.execute(
        select(_s.c.id, _s.c.user, _s.c.server, _s.c.project).where(_s.c.ended.is_(None), *where)
    ).all()
    for row in rows:
        tx.conn.execute(update(_s).where(_s.c.id == row.id).values(ended=tx.now, end_reason=reason[:40]))
        wrote = recorded.rows(recorded.gone(_s, row.id))
        tx.change("session", {"session": row.id, "did": "end", "reason": reason[:40], **wrote}, [f"session:{row.id}"])
        tx.audit(
            "session.ended",
            project=row.project,
            session=row.id,
            details={"user": row.user, "server": row.server, "why": reason[:40]},
        )
    return len(rows)


def _free_credential(tx: Write, user: str, server: str, credential_hash: str) -> None:
    # A server that is stopped and resumed keeps its hub token; any other repetition is a token in the wrong hands.
    row = tx.conn.execute(select(_s).where(_s.c.credential == credential_hash)).first()
    if row is None:
        return
    if (row.user, row.server) != (user, server):
        raise Conflict("this credential belongs to another server's session")
    from hashlib import sha256

    replaced = sha256(f"superseded:{row.id}:{credential_hash}".encode()).hexdigest()
    tx.conn.execute(update(_s).where(_s.c.id == row.id).values(credential=replaced))


def _checked_lately(tx: Read, user: str, started: datetime) -> bool:
    """Whether the hub has asked the person's provider about them within the age at which memberships lapse.

    It asks at every start of a server and then all the time; local accounts are kept here, and need nobody's word.
    """
    row = tx.conn.execute(select(_u.c.provider, _u.c.last_seen).where(_u.c.name == user)).one()
    if any(one.kind == "local" and one.name == row.provider for one in tx.settings.providers):
        return True
    checked = max(started, row.last_seen or started)
    return tx.now - checked <= timedelta(seconds=tx.settings.group_max_age_seconds)


def _user(tx: Read, name: str) -> datetime | None:
    u = tables.users
    return tx.conn.execute(select(u.c.created).where(u.c.name == name)).scalar()
