"""Questions in the words of OpenID AuthZEN 1.0: subject, action, resource; answered by the code that decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.queries.permission_holders import able
from aizen_hub.catalogs.catalog import CommandScope
from aizen_hub.problems import BadInput
from aizen_hub.rbac.decision import Decision, Reason, Request
from aizen_hub.rbac.engine import allowed_scopes, decide
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.transaction import make_row

if TYPE_CHECKING:
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.audit_log.record import AuditRow
    from aizen_hub.store.transaction import Read

PROJECT = "project"


@dataclass(frozen=True, slots=True)
class Entity:
    """A subject or a resource: its type and its id."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One question; where something is missing it is no question yet."""

    subject: Entity | None
    action: str | None
    resource: Entity | None


def evaluate(tx: Read, actor: Actor, asked: Asked) -> AuditRow:
    """Decide one question; the answer is the row that the caller records before it tells it.

    Parameters
    ----------
    asked : Asked
        The subject has the type ``user``, ``group`` or ``service-account``, and a name. The action is a permission,
        ``verb:noun``, or a command of the catalog without its arguments. The resource has the type ``project`` and its
        name, or the type ``system`` and the id ``system``.

    Raises
    ------
    NotFound, Denied
        The asker may not read access there (R72).
    BadInput
        Something is missing, or a type or an action that this deployment does not know.
    """
    if asked.subject is None or asked.action is None or asked.resource is None:
        raise BadInput("a question needs its `subject`, `action` and `resource`")
    scope = _scope(asked.resource)
    gate.need_of(tx, actor, gate.permission(tx, "access"), scope)
    identity, permission = _identity(asked.subject), _permission(tx, asked.action)
    request = Request(permission, scope, exists=_exists(tx, scope))
    return _row(tx, actor, asked, decide(tx.rights(identity), request, tx.now))


def refused(tx: Read, actor: Actor, asked: Asked, reason: Reason, sentence: str) -> AuditRow:
    """Return the row of a question that `evaluate` refused, which its asker is told as a denial."""
    return _row(tx, actor, asked, Decision(False, reason, sentence))


def subjects(
    tx: Read, actor: Actor, kind: str, action: str, resource: Entity, after: str, limit: int
) -> tuple[list[str], str | None]:
    """Return names of the subjects of one type that may do ``action`` there, and after which name more may follow."""
    scope = _scope(resource)
    gate.need_of(tx, actor, gate.permission(tx, "access"), scope)
    if not _exists(tx, scope):
        return [], None
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
    identity = _identity(subject)
    if not _exists(tx, scope):
        return [], None
    rights = tx.rights(identity)
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


def _row(tx: Read, actor: Actor, asked: Asked, decision: Decision) -> AuditRow:
    project = asked.resource.id if asked.resource is not None and asked.resource.type == PROJECT else None
    details = {} if asked.subject is None else {"subject": f"{asked.subject.type}:{asked.subject.id}"}
    row = make_row(
        actor, "evaluation", tx.now, decision=decision, project=project, command=asked.action, details=details
    )
    return replace(row, revision=tx.revision)


def _exists(tx: Read, scope: str) -> bool:
    p = tables.projects
    return scope == SYSTEM or tx.conn.scalar(select(p.c.id).where(p.c.name == scope)) is not None


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
