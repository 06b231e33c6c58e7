"""Access queries, answered by the decision engine: can I, who can, why, what if, who could grant (R80)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.grantors import who_can_grant
from aizen_hub.authorization.queries.hypothetical_state import HypotheticalState, hypothetical_rights
from aizen_hub.authorization.queries.permission_holders import PermissionHolder, holders_of
from aizen_hub.commands.result import Result, table_result, to_json_value
from aizen_hub.problems import BadInput
from aizen_hub.rbac.decision import AuthorizationRequest, Decision
from aizen_hub.rbac.engine import Explanation, decide, explain
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, project_of

if TYPE_CHECKING:
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

MAX_RESULTS = 1_000


def can_i(tx: WriteTransaction, permission: str | None, scope: str, identity: Identity | None = None) -> Decision:
    """Decide one permission of the actor, or of another identity if the actor may read access in the scope.

    Without a permission it is what every registered user may do.

    Raises
    ------
    NotFound
        The project does not exist or is not visible to the actor (R72).
    Denied
        Another identity, without the permission to read access.
    BadInput
        ``permission`` is not a permission.
    """
    target = _require_may_query(tx, scope, identity)
    return decide(
        tx.rights(target), AuthorizationRequest(_parse_permission(permission), scope, scope_exists=True), tx.now
    )


def explain_access(
    tx: WriteTransaction, permission: str | None, scope: str, identity: Identity | None = None
) -> Result:
    """Explain a decision: the path that allows it, why the others do not, the least role, and who could grant it."""
    target = _require_may_query(tx, scope, identity)
    required = _parse_permission(permission)
    explanation = explain(tx.rights(target), AuthorizationRequest(required, scope), tx.now)
    return Result(
        "object", explanation.decision.sentence, data=_explanation_data(tx, explanation, required, scope, target)
    )


def who_can(tx: ReadTransaction, actor: Actor, permission: str, scope: str) -> Result:
    """List the users and service accounts that hold a permission in a scope now, and through which role.

    Runs in a read transaction, so that no writer waits for it; the caller records the query in the audit. Where there
    are more than `MAX_RESULTS`, ``data["more"]`` is true.
    """
    checks.require_for(tx, actor, checks.endpoint_permission(tx, "access"), scope)
    if scope != SYSTEM and not checks.project_exists(tx, scope):
        # Otherwise the holders of system roles would be listed for a project that does not exist (R72).
        raise checks.project_not_found(scope)
    required = _parse_permission(permission)
    holders: list[PermissionHolder] = []
    more = False
    for kind in (IdentityKind.SERVICE_ACCOUNT, IdentityKind.USER):
        page = holders_of(tx, required, scope, kind, limit=MAX_RESULTS - len(holders))
        holders += page.holders
        more = more or page.after is not None
    rows = [
        (str(holder.identity), holder.role, [str(group) for group in holder.via], holder.sentence) for holder in holders
    ]
    text = f"these are the first {len(rows)}; there are more" if more else "" if rows else "no holder"
    return table_result(("identity", "role", "through", "reason"), rows, text, more=more)


def what_if(
    tx: WriteTransaction, permission: str | None, scope: str, identity: Identity, hypothesis: HypotheticalState
) -> Result:
    """Decide in a hypothetical state: with further assignments or groups, or at another time."""
    _require_may_query(tx, scope, identity, about_others=True)
    required = _parse_permission(permission)
    now = hypothesis.at or tx.now
    current = decide(tx.rights(identity), AuthorizationRequest(required, scope), now)
    explanation = explain(hypothetical_rights(tx, identity, hypothesis), AuthorizationRequest(required, scope), now)
    data = _explanation_data(tx, explanation, required, scope, identity)
    return Result(
        "object",
        explanation.decision.sentence,
        data={**data, "allowed_now": current.allowed, "at": to_json_value(now)},
    )


def list_projects_of(tx: WriteTransaction, identity: Identity | None = None) -> Result:
    """List the projects and roles of the actor, or those of another identity where the actor may read access."""
    target = identity or tx.actor.identity
    rights = tx.rights(target)
    scopes = sorted({held.scope for held in rights.held_roles if held.is_effective(tx.now)} - {SYSTEM})
    if target != tx.actor.identity:
        checks.forbid_impersonation(tx)
        read_permission = checks.endpoint_permission(tx, "access")
        scopes = [scope for scope in scopes if checks.is_allowed(tx, read_permission, scope)]
        tx.audit("access.read", details={"query": "projects-of", "target": str(target)})
    rows = [
        (scope, sorted({held.role for held in rights.held_roles if held.scope == scope and held.is_effective(tx.now)}))
        for scope in scopes
    ]
    return table_result(("project", "roles"), rows)


def _require_may_query(
    tx: WriteTransaction, scope: str, identity: Identity | None, *, about_others: bool = False
) -> Identity:
    if scope != SYSTEM:
        checks.require_visible_project(tx, scope)
    if about_others or (identity is not None and identity != tx.actor.identity):
        checks.require(tx, checks.endpoint_permission(tx, "access"), scope)
        if identity is not None:
            tx.audit("access.read", project=project_of(scope), details={"query": "can", "target": str(identity)})
    return identity or tx.actor.identity


def _explanation_data(
    tx: WriteTransaction, explanation: Explanation, required: Permission | None, scope: str, target: Identity
) -> dict[str, Any]:
    others, least = explanation.others, explanation.least_role
    if target != tx.actor.identity and not checks.is_operator(tx):
        # Paths in other scopes are shown only to users who may read access there.
        read_permission = checks.endpoint_permission(tx, "access")
        readable = {
            path.held_role.scope: checks.is_allowed(tx, read_permission, path.held_role.scope) for path in others
        }
        others = tuple(path for path in others if readable[path.held_role.scope])
    return {
        "identity": str(target),
        "permission": None if required is None else str(required),
        "scope": scope,
        "allowed": explanation.decision.allowed,
        "reason": explanation.decision.reason.value,
        "sentence": explanation.decision.sentence,
        "winning": explanation.winning.sentence if explanation.winning else None,
        "others": [path.sentence for path in others],
        "least_role": least.name if least else None,
        "least_role_scope": least.scope if least else None,
        "who_can_grant": list(who_can_grant(tx, least.name, least.scope, recipient=target)) if least else [],
    }


def _parse_permission(permission: str | None) -> Permission | None:
    try:
        return None if permission is None else Permission.parse(permission)
    except ValueError as error:
        raise BadInput(str(error)) from None
