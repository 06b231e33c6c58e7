"""OpenID AuthZEN 1.0 evaluations and searches (subject, action, resource), answered by the decision engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.permission_holders import holders_of
from aizen_hub.catalogs.catalog import CommandScope
from aizen_hub.problems import BadInput
from aizen_hub.rbac.decision import AuthorizationRequest, Decision, Reason
from aizen_hub.rbac.engine import allowed_scopes, decide
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.transaction import make_audit_record

if TYPE_CHECKING:
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.audit_log.record import AuditRecord
    from aizen_hub.store.transaction import ReadTransaction

PROJECT = "project"


@dataclass(frozen=True, slots=True)
class Entity:
    """A subject or a resource of AuthZEN."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """One AuthZEN evaluation request; `evaluate` rejects one with a missing member."""

    subject: Entity | None
    action: str | None
    resource: Entity | None


def evaluate(tx: ReadTransaction, actor: Actor, evaluation: EvaluationRequest) -> AuditRecord:
    """Decide one evaluation request.

    Parameters
    ----------
    evaluation : EvaluationRequest
        The subject has the type ``user``, ``group`` or ``service-account``, and a name. The action is a permission,
        ``verb:noun``, or a command of the catalog without its arguments. The resource has the type ``project`` and its
        name, or the type ``system`` and the id ``system``.

    Returns
    -------
    AuditRecord
        The decision; the caller records it before it answers.

    Raises
    ------
    NotFound, Denied
        The actor may not read access in the scope (R72).
    BadInput
        A member is missing, or its type or action is unknown.
    """
    if evaluation.subject is None or evaluation.action is None or evaluation.resource is None:
        raise BadInput("an evaluation needs `subject`, `action` and `resource`")
    scope = _parse_scope(evaluation.resource)
    checks.require_for(tx, actor, checks.endpoint_permission(tx, "access"), scope)
    identity, permission = _parse_identity(evaluation.subject), _resolve_permission(tx, evaluation.action)
    request = AuthorizationRequest(permission, scope, scope_exists=_scope_exists(tx, scope))
    return _evaluation_record(tx, actor, evaluation, decide(tx.rights(identity), request, tx.now))


def denied_evaluation(
    tx: ReadTransaction, actor: Actor, evaluation: EvaluationRequest, reason: Reason, sentence: str
) -> AuditRecord:
    """Return the audit row of a request that `evaluate` rejected, which is answered as a denial."""
    return _evaluation_record(tx, actor, evaluation, Decision(False, reason, sentence))


def search_subjects(
    tx: ReadTransaction, actor: Actor, kind: str, action: str, resource: Entity, after: str, limit: int
) -> tuple[list[str], str | None]:
    """Return names of subjects that may do ``action`` on ``resource``, and the last name if more may follow."""
    scope = _parse_scope(resource)
    checks.require_for(tx, actor, checks.endpoint_permission(tx, "access"), scope)
    if not _scope_exists(tx, scope):
        return [], None
    page = holders_of(tx, _resolve_permission(tx, action), scope, _parse_kind(kind), after=after, limit=limit)
    return [holder.identity.name for holder in page.holders], page.after


def search_projects(
    tx: ReadTransaction, actor: Actor, subject: Entity, action: str, after: str, limit: int
) -> tuple[list[str], str | None]:
    """Return the projects in which ``subject`` may do ``action`` and the actor may read access."""
    checks.forbid_impersonation_of(tx, actor)
    permission = _resolve_permission(tx, action)
    read_permission = Permission.parse(checks.endpoint_permission(tx, "access"))
    readable_projects = allowed_scopes(tx.rights(actor.identity), read_permission, tx.now)
    rights = tx.rights(_parse_identity(subject))
    table = tables.projects
    names = tx.conn.execute(select(table.c.name).where(table.c.name > after).order_by(table.c.name)).scalars()
    allowed_projects: list[str] = []
    for name in names:
        if name in readable_projects and decide(rights, AuthorizationRequest(permission, name), tx.now).allowed:
            if len(allowed_projects) == limit:
                return allowed_projects, allowed_projects[-1]
            allowed_projects.append(name)
    return allowed_projects, None


def search_actions(
    tx: ReadTransaction, actor: Actor, subject: Entity, resource: Entity, after: str, limit: int
) -> tuple[list[str], str | None]:
    """Return the permissions of the catalog's commands that ``subject`` holds on ``resource``."""
    scope = _parse_scope(resource)
    checks.require_for(tx, actor, checks.endpoint_permission(tx, "access"), scope)
    identity = _parse_identity(subject)
    if not _scope_exists(tx, scope):
        return [], None
    rights = tx.rights(identity)
    command_scope = CommandScope.SYSTEM if scope == SYSTEM else CommandScope.PROJECT
    permissions = {
        entry.permission
        for entry in tx.catalog.commands.values()
        if entry.permission is not None and entry.scope in (command_scope, CommandScope.EITHER)
    }
    names = [
        str(permission)
        for permission in sorted(permissions)
        if str(permission) > after and decide(rights, AuthorizationRequest(permission, scope), tx.now).allowed
    ]
    return names[:limit], names[limit - 1] if len(names) > limit else None


def _evaluation_record(
    tx: ReadTransaction, actor: Actor, evaluation: EvaluationRequest, decision: Decision
) -> AuditRecord:
    project = (
        evaluation.resource.id if evaluation.resource is not None and evaluation.resource.type == PROJECT else None
    )
    details = {} if evaluation.subject is None else {"subject": f"{evaluation.subject.type}:{evaluation.subject.id}"}
    record = make_audit_record(
        actor, "evaluation", tx.now, decision=decision, project=project, command=evaluation.action, details=details
    )
    return replace(record, revision=tx.revision)


def _scope_exists(tx: ReadTransaction, scope: str) -> bool:
    p = tables.projects
    return scope == SYSTEM or tx.conn.scalar(select(p.c.id).where(p.c.name == scope)) is not None


def _parse_scope(resource: Entity) -> str:
    if resource.type == PROJECT and resource.id != SYSTEM:
        return resource.id
    if resource.type == SYSTEM and resource.id == SYSTEM:
        return SYSTEM
    raise BadInput("a resource is a `project` with its name, or the `system` with the id `system`")


def _parse_kind(text: str) -> IdentityKind:
    if text not in set(IdentityKind):
        raise BadInput(f"a subject's type is one of {', '.join(IdentityKind)}")
    return IdentityKind(text)


def _parse_identity(subject: Entity) -> Identity:
    return Identity(_parse_kind(subject.type), subject.id)


def _resolve_permission(tx: ReadTransaction, action: str) -> Permission | None:
    entry = tx.catalog.commands.get(action)
    if entry is not None:
        return entry.permission
    try:
        return Permission.parse(action)
    except ValueError as error:
        raise BadInput(f"{error}; or name a command of the catalog") from None
