"""OpenID AuthZEN 1.0 evaluations and searches (subject, action, resource), answered by the decision engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sqlalchemy import select

from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.permission_holders import holders_of
from aizen_hub.catalogs.catalog import CommandScope
from aizen_hub.problems import BadInput
from aizen_hub.rbac.decision import AuthorizationRequest, Decision, Reason
from aizen_hub.rbac.engine import allowed_scopes, decide
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log.record import AuditRecord, new_record_id

if TYPE_CHECKING:
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.transaction import ReadTransaction

PROJECT = "project"
_KINDS = {kind.value: kind for kind in IdentityKind}


class Entity(Protocol):
    """A subject or a resource of AuthZEN."""

    @property
    def type(self) -> str: ...

    @property
    def id(self) -> str: ...


class EvaluationRequest(NamedTuple):
    """One AuthZEN evaluation request; one with a missing member is rejected."""

    subject: Entity | None
    action: str | None
    resource: Entity | None


class Evaluator:
    """Decides the evaluation requests of one actor on one view of the store.

    Parameters
    ----------
    tx : ReadTransaction
    actor : Actor
    project_exists : callable
        Whether a project of this name exists in that view.
    """

    def __init__(self, tx: ReadTransaction, actor: Actor, project_exists: Callable[[str], bool]) -> None:
        self._tx, self._actor, self._project_exists = tx, actor, project_exists
        self._read_permission = checks.endpoint_permission(tx, "access")
        self._readable_scopes: set[str] = set()
        self._rights: dict[tuple[str, str], Rights] = {}
        self._identity, self._channel = str(actor.identity), actor.channel.value

    def evaluate(self, evaluation: EvaluationRequest) -> AuditRecord:
        """Decide one evaluation request.

        Parameters
        ----------
        evaluation : EvaluationRequest
            The subject has the type ``user``, ``group`` or ``service-account``, and a name. The action is a permission,
            ``verb:noun``, or a command of the catalog without its arguments. The resource has the type ``project`` and
            its name, or the type ``system`` and the id ``system``.

        Returns
        -------
        AuditRecord
            The decision; it is recorded before it is answered.

        Raises
        ------
        NotFound, Denied
            The actor may not read access in the scope (R72).
        BadInput
            A member is missing, or its type or action is unknown.
        """
        tx = self._tx
        subject, action, resource = evaluation
        if subject is None or action is None or resource is None:
            raise BadInput("an evaluation needs `subject`, `action` and `resource`")
        scope = _parse_scope(resource)
        if scope not in self._readable_scopes:
            checks.require_for(tx, self._actor, self._read_permission, scope)
            self._readable_scopes.add(scope)
        rights, permission = self._rights_of(subject), _resolve_permission(tx, action)
        request = AuthorizationRequest(permission, scope, None, scope == SYSTEM or self._project_exists(scope))
        return self._record(evaluation, decide(rights, request, tx.now))

    def rejection(self, evaluation: EvaluationRequest, reason: Reason, sentence: str) -> AuditRecord:
        """Return the audit row of a request that `evaluate` rejected, which is answered as a denial."""
        return self._record(evaluation, Decision(False, reason, sentence))

    def _rights_of(self, subject: Entity) -> Rights:
        key = (subject.type, subject.id)
        rights = self._rights.get(key)
        if rights is None:
            rights = self._rights[key] = self._tx.rights(_parse_identity(subject))
        return rights

    def _record(self, evaluation: EvaluationRequest, decision: Decision) -> AuditRecord:
        subject, action, resource = evaluation
        now, actor = self._tx.now, self._actor
        return AuditRecord(
            id=new_record_id(now),
            at=now,
            event="evaluation",
            identity=self._identity,
            channel=self._channel,
            project=resource.id if resource is not None and resource.type == PROJECT else None,
            source=actor.source,
            token_id=actor.token_id,
            command=action,
            allowed=decision.allowed,
            reason=decision.reason.value,
            sentence=decision.sentence,
            assignment=decision.assignment_id,
            role=decision.role,
            via=tuple(map(str, decision.via)),
            revision=self._tx.state.revision,
            details={} if subject is None else {"subject": f"{subject.type}:{subject.id}"},
        )


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


def _parse_identity(subject: Entity) -> Identity:
    return Identity(_parse_kind(subject.type), subject.id)


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
    kind = _KINDS.get(text)
    if kind is None:
        raise BadInput(f"a subject's type is one of {', '.join(IdentityKind)}")
    return kind


def _resolve_permission(tx: ReadTransaction, action: str) -> Permission | None:
    entry = tx.catalog.commands.get(action)
    if entry is not None:
        return entry.permission
    try:
        return _parse_permission(action)
    except ValueError as error:
        raise BadInput(f"{error}; or name a command of the catalog") from None


_parse_permission = lru_cache(maxsize=4096)(Permission.parse)
