"""Options of the spawn page: for which projects a user may start a server, and why not for others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.sessions import project_entry
from aizen_hub.authorization import checks, lock_state
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.messages import describe_restorers
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.rbac.rights import Rights
    from aizen_hub.store.transaction import ReadTransaction

_MAX_LISTED = 50
_s, _p = tables.sessions, tables.projects


@dataclass(frozen=True, slots=True)
class RoleOption:
    """A role of the user in a project, what it means, and when it ends; None: not by itself."""

    name: str
    text: str
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProjectOption:
    """One project in the spawn form.

    Attributes
    ----------
    running_servers : int
        Of the user.
    last_used : datetime or None
        When the user last had a server there.
    """

    name: str
    description: str
    roles: tuple[RoleOption, ...]
    running_servers: int
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class UnavailableProject:
    """A project that the user knows of and cannot enter; ``may_ask``: a role there would help."""

    name: str
    description: str
    reason: str
    may_ask: bool


@dataclass(frozen=True, slots=True)
class SpawnOptions:
    """Projects for which a user may start a server, last used first; ``notice`` says why there are none."""

    projects: tuple[ProjectOption, ...]
    system_session: bool
    notice: str | None = None
    unavailable: tuple[UnavailableProject, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to start."""
        return not (self.projects or self.system_session)


def get_spawn_options(tx: ReadTransaction, user: str) -> SpawnOptions:
    """Return the projects that the user may enter, and whether they may start a system session."""
    name = normalization.canonical_or_none(user)
    rights = None if name is None else tx.rights(Identity.user(name))
    if name is None or rights is None or not rights.active:
        return SpawnOptions((), False, "you are not registered here, or your account is locked or inactive")
    identity = Identity.user(name)
    visible = checks.visible_projects(tx, identity)
    reasons = _reasons_not_to_start(tx)
    last_used, servers = _last_used(tx, name), _running_servers(tx, name)
    projects = [
        ProjectOption(
            row.name, row.description, _roles(tx, rights, row.name), servers.get(row.name, 0), last_used.get(row.name)
        )
        for row in visible
        if row.name not in reasons
    ]
    projects.sort(key=lambda project: (project.last_used is None, -_seconds(project.last_used), project.name))
    system_session = bool(project_entry.active_roles(tx, rights, SYSTEM))
    notice = (
        None
        if projects or system_session
        else "you have no role in any project yet: ask a project's admin, or request access"
    )
    return SpawnOptions(
        tuple(projects), system_session, notice, _unavailable(tx, identity, {row.name for row in visible}, reasons)
    )


def _reasons_not_to_start(tx: ReadTransaction) -> dict[str, str]:
    """Return why no server starts for the projects that are archived or stopped; a stop prevails."""
    restorers = describe_restorers(tx.catalog.archive_rule.restorers)
    archived = lock_state.locked_names(tx, LockTarget.ARCHIVE)
    stopped = lock_state.locked_names(tx, LockTarget.PROJECT)
    return {
        **dict.fromkeys(archived, f"It is archived and can only be read; {restorers} can restore it."),
        **dict.fromkeys(stopped, "It is stopped by an administrator."),
    }


def _unavailable(
    tx: ReadTransaction, identity: Identity, visible: set[str], reasons: dict[str, str]
) -> tuple[UnavailableProject, ...]:
    """Return what the user cannot enter: own projects that are archived or stopped, and listed ones without a role."""
    own = checks.member_scopes(tx, identity) | {held.scope for held in tx.rights(identity).held_roles}
    listed = select(_p).where(_p.c.listed | _p.c.name.in_(sorted(own & set(reasons)))).order_by(_p.c.name)
    result = []
    for row in tx.conn.execute(listed.limit(_MAX_LISTED + len(visible))):
        if row.name in reasons and row.name in own:
            result.append(UnavailableProject(row.name, row.description, reasons[row.name], False))
        elif row.name not in visible and row.name not in reasons:
            reason = "You have no role here. The project is open to requests."
            result.append(UnavailableProject(row.name, row.description, reason, True))
    return tuple(result[:_MAX_LISTED])


def _last_used(tx: ReadTransaction, user: str) -> dict[str, datetime]:
    query = select(_s.c.project, func.max(_s.c.last_seen).label("at")).where(_s.c.user == user)
    rows = tx.conn.execute(query.where(_s.c.project.is_not(None)).group_by(_s.c.project))
    return {row.project: row.at for row in rows}


def _running_servers(tx: ReadTransaction, user: str) -> dict[str, int]:
    query = select(_s.c.project, func.count()).where(_s.c.user == user, _s.c.ended.is_(None))
    rows = tx.conn.execute(query.where(_s.c.project.is_not(None)).group_by(_s.c.project))
    return dict(rows.all())


def _roles(tx: ReadTransaction, rights: Rights, project: str) -> tuple[RoleOption, ...]:
    ends: dict[str, datetime | None] = {}
    for held in rights.held_roles:
        if held.scope == project and held.is_effective(tx.now):
            ends[held.role] = _later_end(ends.get(held.role, held.granted_until), held.granted_until)
    return tuple(
        RoleOption(name, tx.roles[name].description if name in tx.roles else "", end)
        for name, end in sorted(ends.items())
    )


def _later_end(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)


def _seconds(value: datetime | None) -> float:
    return 0.0 if value is None else value.timestamp()
