"""Questions in the words of OpenID AuthZEN 1.0: subject, action, resource; answered by the code that decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.accounts import gate
from aizen_hub.accounts.able import able
from aizen_hub.catalogs.catalog import CommandScope
from aizen_hub.problems import BadInput
from aizen_hub.rbac.decide import allowed_scopes, decide
from aizen_hub.rbac.decision import Decision, Request
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.transaction import Read, Write

PROJECT = "project"


@dataclass(frozen=True, slots=True)
class Entity:
    """A subject or a resource: its type and its id."""

    type: str
    id: str


def evaluate(tx: Write, subject: Entity, action: str, resource: Entity) -> tuple[Decision, str]:
    """Decide one question and record it; return the decision and the id of its audit row.

    Parameters
    ----------
    subject : Entity
        Type ``user``, ``group`` or ``service-account``, and a name.
    action : str
        A permission, ``verb:noun``, or a command of the catalog without its arguments.
    resource : Entity
        Type ``project`` and its name, or type ``system`` and the id ``system``.

    Raises
    ------
    NotFound, Denied
        The asker may not read access there (R72).
    BadInput
        A type or an action that this deployment does not know.
    """
    scope = _scope(resource)
    gate.need(tx, gate.permission(tx, "access"), scope)
    identity, permission = _identity(subject), _permission(tx, action)
    decision = decide(tx.rights(identity), Request(permission, scope), tx.now)
    number = tx.audit(
        "evaluation",
        decision=decision,
        project=None if scope == SYSTEM else scope,
        command=action,
        details={"subject": str(identity)},
    )
    return decision, number


def subjects(
    tx: Read, actor: Actor, kind: str, action: str, resource: Entity, after: str, limit: int
) -> tuple[list[str], str | None]:
    """Return names of the subjects of one type that may do ``action`` there, and after which name more may follow."""
    scope = _scope(resource)
    gate.need_of(tx, actor, gate.permission(tx, "access"), scope)
    page = able(tx, _permission(tx, action), scope, _kind(kind), after=after, limit=limit)
    return [one.identity.name for one in page.found], page.after


def projects(
    tx: Read, actor: Actor, subject: Entity, action: str, after: str, limit: int
) -> tuple[list[str], str | None]:
    """Return the projects in which ``subject`` may do ``action``, of those whose access the asker may read."""
    gate.in_person_of(tx, actor)
    permission = _permission(tx, action)
    reads = Permission.parse(gate.permission(tx, "access"))
    seen = allowed_scopes(tx.rights(actor.identity), reads, tx.now)
    rights = tx.rights(_identity(subject))
    table = tables.projects
    names = tx.conn.execute(select(table.c.name).where(table.c.name > after).order_by(table.c.name)).scalars()
    found: list[str] = []
    for name in names:
        if name in seen and decide(rights, Request(permission, name), tx.now).allowed:
            if len(found) == limit:
                return found, found[-1]
            found.append(name)
    return found, None


def actions(
    tx: Read, actor: Actor, subject: Entity, resource: Entity, after: str, limit: int
) -> tuple[list[str], str | None]:
    """Return the permissions of the catalog's commands that ``subject`` holds there."""
    scope = _scope(resource)
    gate.need_of(tx, actor, gate.permission(tx, "access"), scope)
    rights = tx.rights(_identity(subject))
    here = CommandScope.SYSTEM if scope == SYSTEM else CommandScope.PROJECT
    asked = {
        entry.permission
        for entry in tx.catalog.commands.values()
        if entry.permission is not None and entry.scope in (here, CommandScope.EITHER)
    }
    found = [
        str(permission)
        for permission in sorted(asked)
        if str(permission) > after and decide(rights, Request(permission, scope), tx.now).allowed
    ]
    return found[:limit], found[limit - 1] if len(found) > limit else None


def _scope(resource: Entity) -> str:
    if resource.type == PROJECT and resource.id != SYSTEM:
        return resource.id
    if resource.type == SYSTEM and resource.id == SYSTEM:
        return SYSTEM
    raise BadInput("a resource is a `project` with its name, or the `system` with the id `system`")


def _kind(text: str) -> Kind:
    if text not in set(Kind):
        raise BadInput(f"a subject's type is one of {', '.join(Kind)}")
    return Kind(text)


def _identity(subject: Entity) -> Identity:
    return Identity(_kind(subject.type), subject.id)


def _permission(tx: Read, action: str) -> Permission | None:
    entry = tx.catalog.commands.get(action)
    if entry is not None:
        return entry.permission
    try:
        return Permission.parse(action)
    except ValueError as error:
        raise BadInput(f"{error}; or name a command of the catalog") from None
