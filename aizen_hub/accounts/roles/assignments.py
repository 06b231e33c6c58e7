"""Granting and revoking roles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.roles import last_holder as holders
from aizen_hub.alerts.message import Event
from aizen_hub.alerts.outbox import tell_user
from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.delegation import Giver, refuse
from aizen_hub.commands.result import Result, message, plain
from aizen_hub.problems import BadInput, Conflict, NotFound, ProjectRequired
from aizen_hub.rbac import messages as sentence
from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, project_of
from aizen_hub.store import tables
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from sqlalchemy import Row

    from aizen_hub.store.transaction import Read, Write

_a = tables.assignments
_TABLES = {
    Kind.USER: tables.users,
    Kind.GROUP: tables.groups,
    Kind.SERVICE_ACCOUNT: tables.service_accounts,
}


def grant(
    tx: Write,
    roles: Sequence[str],
    scope: str | None,
    to: Identity,
    *,
    interval: Interval = ALWAYS,
    reason: str = "",
    in_file: bool = False,
) -> Result:
    """Grant roles to an identity.

    Parameters
    ----------
    scope : str or None
        The project for project roles, None where none is set; a role of the system alone goes to the system.
    interval : Interval
        From when (inclusive) until when (exclusive), UTC.

    Raises
    ------
    BadInput
        Unknown role, a role that cannot be had in that scope, an interval without length.
    NotFound
        The identity or the project does not exist for the actor.
    Escalation
        The actor may not grant this; lists what is missing and who could.
    LastHolder
        The new interval would end the last endless assignment of a protected role.
    """
    _check_interval(tx, interval)
    places = [(role, place(tx, role, scope)) for role in find_roles(tx, roles)]
    need_identity(tx, to)
    giver = Giver.of(tx)
    for role, where in places:
        _check_shorter(tx, giver, role, where, to, interval, in_file)
        missing = giver.missing_to_give(tx, role, where, to, in_file=in_file)
        if missing:
            raise refuse(tx, "grant", role.name, where, missing, to)
    if pending.needed(tx, ((role.name, where) for role, where in places)):
        arguments = {"roles": list(roles), "scope": scope, "to": str(to), "reason": reason, "in_file": in_file}
        arguments |= _as_json(interval)
        return pending.hold(tx, "grant", arguments, f"grant {', '.join(roles)} to `{to}`")
    given = []
    with holders.kept(tx, [(role.name, where) for role, where in places]):
        for role, where in places:
            if put(tx, role.name, where, to, interval=interval, reason=reason):
                given.append(role.name)
    if not given:
        return message(f"`{to.name}` has {', '.join(role.name for role, _ in places)} already", granted=[])
    return message(f"granted {', '.join(given)} to `{to.name}`", granted=given, identity=str(to))


def revoke(
    tx: Write, roles: Sequence[str], scope: str | None, from_: Identity, *, reason: str = "", in_file: bool = False
) -> Result:
    """Take roles from an identity; raises what `grant` raises, and NotFound for a role it does not have."""
    places = [(role, place(tx, role, scope)) for role in find_roles(tx, roles)]
    need_identity(tx, from_)
    giver = Giver.of(tx)
    for role, where in places:
        row = find(tx, role.name, where, from_)
        creator = row is not None and row.creator
        missing = giver.missing_to_take(tx, role, where, from_, in_file=in_file, creator=creator)
        if missing:
            raise refuse(tx, "revoke", role.name, where, missing, from_)
        if row is None:
            raise NotFound(
                f"`{from_.name}` has no {role.name} of their own in {sentence.place(where)}",
                remedy=_through(tx, role, from_),
            )
        if row.mapped:
            raise Conflict(
                f"a mapping rule gives {role.name} to `{from_.name}`, and would do so again",
                remedy="remove the rule, or take the people out of the group where it is kept",
            )
    if pending.needed(tx, ((role.name, where) for role, where in places)):
        arguments = {"roles": list(roles), "scope": scope, "from": str(from_), "reason": reason}
        return pending.hold(tx, "revoke", arguments, f"revoke {', '.join(roles)} from `{from_}`")
    with holders.kept(tx, [(role.name, where) for role, where in places]):
        for role, where in places:
            remove(tx, role.name, where, from_, reason=reason)
    names = [role.name for role, _ in places]
    return message(f"revoked {', '.join(names)} from `{from_.name}`", revoked=names, identity=str(from_))


def find(tx: Read, role: str, scope: str, identity: Identity) -> Row[tuple[object, ...]] | None:
    return tx.conn.execute(
        select(_a).where(_a.c.role == role, _a.c.scope == scope, _a.c.identity == str(identity))
    ).first()


def put(
    tx: Write,
    role: str,
    scope: str,
    to: Identity,
    *,
    interval: Interval = ALWAYS,
    reason: str = "",
    creator: bool = False,
    mapped: bool = False,
) -> bool:
    """Write one assignment without asking who may; tell whether anything changed. For the functions of this room.

    ``mapped`` marks what a rule gives; what somebody grants beside the rule stays when the rule goes.
    """
    row = find(tx, role, scope, to)
    if row is not None and (row.starts, row.ends) == (interval.starts, interval.ends) and (mapped or not row.mapped):
        return False
    values = {
        "mapped": mapped,
        "starts": interval.starts,
        "ends": interval.ends,
        "reason": reason,
        "granted_by": str(tx.actor.identity),
        "granted": tx.now,
        "revision": tx.revision,
    }
    if row is not None:
        tx.conn.execute(update(_a).where(_a.c.id == row.id).values(**values))
        number = row.id
    else:
        tx.conn.execute(insert(_a).values(role=role, scope=scope, identity=str(to), creator=creator, **values))
        number = tx.conn.execute(
            select(_a.c.id).where(_a.c.role == role, _a.c.scope == scope, _a.c.identity == str(to))
        ).scalar_one()
    payload = {
        "assignment": number,
        "role": role,
        "scope": scope,
        "identity": str(to),
        "reason": reason,
        **_as_json(interval),
        "mapped": mapped,
    }
    if row is None:
        payload["creator"] = creator
    tx.change("grant", payload, [str(to)])
    _mark(tx, scope)
    tx.audit("role.granted", project=project_of(scope), target=str(to), details=payload)
    _tell(tx, to, Event.ROLE_GRANTED, role, scope, reason, interval.ends)
    return True


def remove(tx: Write, role: str, scope: str, from_: Identity, *, reason: str = "") -> bool:
    """Delete one assignment without asking who may; tell whether there was one. For the functions of this room."""
    row = find(tx, role, scope, from_)
    if row is None:
        return False
    tx.conn.execute(delete(_a).where(_a.c.id == row.id))
    payload = {"assignment": row.id, "role": role, "scope": scope, "identity": str(from_), "reason": reason}
    tx.change("revoke", payload, [str(from_)])
    _mark(tx, scope)
    tx.audit("role.revoked", project=project_of(scope), target=str(from_), details=payload)
    _tell(tx, from_, Event.ROLE_REVOKED, role, scope, reason, None)
    return True


def _mark(tx: Write, scope: str) -> None:
    # A file that was made before this change is stale (T-48).
    if scope != SYSTEM:
        projects = tables.projects
        tx.conn.execute(update(projects).where(projects.c.name == scope).values(version=tx.revision))


def find_roles(tx: Read, names: Sequence[str]) -> list[Role]:
    """Return the roles of these names, each once.

    Raises
    ------
    BadInput
        Names the first unknown role, and the role that was probably meant.
    """
    from aizen_hub.accounts.roles.roles import known

    return [known(tx, name) for name in dict.fromkeys(names)]


def place(tx: Write, role: Role, scope: str | None) -> str:
    """Return the scope in which the role is to be had: the system for a role of the system alone.

    Raises
    ------
    ProjectRequired
        A role of projects, and no project is set.
    NotFound
        The project does not exist for the actor.
    BadInput
        The role cannot be had in that scope.
    """
    if scope is None or scope == SYSTEM:
        if ScopeKind.SYSTEM in role.scopes:
            return SYSTEM
        if scope == SYSTEM:
            raise BadInput(f"{role.name} is a role of projects, it cannot be had in the system")
        raise ProjectRequired(f"{role.name} is a role of projects", remedy="`set project <name>` first")
    if ScopeKind.PROJECT not in role.scopes:
        return SYSTEM
    gate.need_project(tx, scope)
    return scope


def need_identity(tx: Read, identity: Identity) -> None:
    """Refuse an identity that is not registered."""
    table = _TABLES[identity.kind]
    if tx.conn.execute(select(table.c.id).where(table.c.name == identity.name)).first() is None:
        kind = identity.kind.value.replace("-", " ")
        raise NotFound(
            f"there is no {kind} `{show(identity.name)}`",
            remedy="`list users` shows who is registered" if identity.kind is Kind.USER else None,
        )


def _check_interval(tx: Read, interval: Interval) -> None:
    if interval.ends is not None and interval.ends <= (interval.starts or tx.now):
        raise BadInput("the assignment would end before it begins, or has ended already")


def _check_shorter(
    tx: Write, giver: Giver, role: Role, scope: str, to: Identity, interval: Interval, in_file: bool
) -> None:
    # Granting again with a narrower interval takes something away, so it needs the right to take.
    row = find(tx, role.name, scope, to)
    if row is None:
        return
    later_start = interval.starts is not None and (row.starts is None or row.starts < interval.starts)
    earlier_end = interval.ends is not None and (row.ends is None or interval.ends < row.ends)
    if not (later_start or earlier_end):
        return
    if later_start and interval.starts is not None and interval.starts <= tx.now and not earlier_end:
        return
    missing = giver.missing_to_take(tx, role, scope, to, in_file=in_file, creator=row.creator)
    if missing:
        raise refuse(tx, "revoke", role.name, scope, missing, to)
    if row.creator and interval.ends is not None and giver.rights is None:
        raise Conflict(f"the creator's {role.name} has no end")


def _through(tx: Read, role: Role, identity: Identity) -> str | None:
    groups = [str(one) for one in gate.reached_groups(tx, identity)]
    found = tx.conn.execute(select(_a.c.identity).where(_a.c.role == role.name, _a.c.identity.in_(groups))).first()
    return f"it comes through `{found.identity}`: take it from the group, or leave the group" if found else None


def _as_json(interval: Interval) -> dict[str, str | None]:
    return {
        "from": interval.starts.isoformat() if interval.starts else None,
        "until": interval.ends.isoformat() if interval.ends else None,
    }


def _tell(tx: Write, to: Identity, event: Event, role: str, scope: str, reason: str, until: datetime | None) -> None:
    if to.kind is Kind.USER:
        payload = {"role": role, "scope": scope, "by": tx.actor.identity.name, "reason": reason, "until": plain(until)}
        tell_user(tx, to.name, event, payload)


def moment(text: str | None) -> datetime | None:
    """Read a time as `grant` stores it in a waiting change."""
    return None if text is None else datetime.fromisoformat(text)
