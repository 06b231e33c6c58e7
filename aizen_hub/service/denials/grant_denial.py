"""The refusal of a grant or revocation: it names who may grant these roles, by the grant rules of the catalog (R66)."""

from __future__ import annotations

from collections.abc import Mapping

from aizen_hub.authorization.decisions.evaluation import DecisionRequest, RequestedGrant
from aizen_hub.authorization.delegation import format_names
from aizen_hub.authorization.queries.grantors import who_can_grant, who_can_revoke
from aizen_hub.problems import Denied
from aizen_hub.rbac.granting_roles import roles_that_can_grant
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.messages import describe_scope
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, is_assignable_in
from aizen_hub.store.transaction import ReadTransaction
from aizen_hub.wording import NAME_PROJECT

GRANT_HANDLERS: Mapping[str, bool] = {"grant_role": False, "revoke_role": True}
"""The commands that grant, and whether they revoke."""


def requested_grant(request: DecisionRequest) -> RequestedGrant | None:
    """Return what a command or API request would grant or revoke; None for all others."""
    command = request.command
    handler = None if command is None else command.entry.handler
    if command is None or handler is None or handler not in GRANT_HANDLERS:
        return request.grant
    roles, user = command.arguments["roles"], command.arguments["user"]
    names = (roles,) if isinstance(roles, str) else roles
    return RequestedGrant(names, request.actor.project, Identity.user(str(user)), GRANT_HANDLERS[handler])


def grant_denial(tx: ReadTransaction, grant: RequestedGrant, asking: Identity) -> Denied | None:
    """Return the refusal; None where one of the roles does not exist, so that no rule says who may grant it.

    The permission that the command needs would not help: having it is not enough to grant just any role.
    """
    roles = [tx.roles.get(name) for name in grant.roles]
    verb, preposition = ("revoke", "from") if grant.revoke else ("grant", "to")
    sentences: list[str] = []
    able: list[tuple[str, ...]] = []
    for role in roles:
        if role is None:
            return None
        scope = _scope_of(role, grant)
        if not is_assignable_in(role, scope):
            return Denied(f"{role.name} is a project role, and no project is named", remedy=NAME_PROJECT)
        member_permissions = tx.catalog.member_permissions
        names = roles_that_can_grant(role, scope, tx.roles, member_permissions, tx.now, revoke=grant.revoke)
        only = f"only {' or '.join(names[:_MAX_ROLES])} can" if names else "no role can"
        sentences.append(f"{only} {verb} {role.name} in {describe_scope(scope)}")
        if grant.revoke:
            able.append(who_can_revoke(tx, role.name, scope, grant.identity, besides=(asking,)))
        else:
            able.append(who_can_grant(tx, role.name, scope, recipient=grant.identity, besides=(asking,)))
    users = tuple(name for name in able[0] if all(name in others for others in able)) if able else ()
    phrase = f"{verb} {', '.join(grant.roles)} {preposition} `{grant.identity.name}`"
    return Denied(
        f"you cannot {phrase}: {'; '.join(sentences)}",
        remedy=f"ask {format_names(users)} to do it" if users else None,
        extensions={f"who_can_{verb}": list(users), "scope": grant.project or SYSTEM},
    )


_MAX_ROLES = 3


def _scope_of(role: Role, grant: RequestedGrant) -> str:
    return grant.project if grant.project is not None and ScopeKind.PROJECT in role.scopes else SYSTEM
