"""Decisions on a grant or revocation by the grant rules of the catalog, and its refusal, which names who may (R66)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles.lookup import get_roles
from aizen_hub.authorization import checks
from aizen_hub.authorization.decisions.evaluation import DecisionRequest, RequestedGrant
from aizen_hub.authorization.delegation import GrantAuthority, format_names, join_missing
from aizen_hub.authorization.queries.grantors import who_can_grant, who_can_revoke
from aizen_hub.commands.command import Command, identity_of_argument
from aizen_hub.problems import Denied
from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.escalation import MissingRightKind
from aizen_hub.rbac.granting_roles import roles_that_can_grant
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.messages import describe_scope
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, is_assignable_in
from aizen_hub.store.transaction import ReadTransaction
from aizen_hub.wording import NAME_PROJECT

GRANT_HANDLERS: Mapping[str, bool] = {"grant_role": False, "revoke_role": True}
"""The commands that grant, and whether they revoke."""


MISSING = frozenset({Reason.NO_ASSIGNMENT, Reason.EXPIRED, Reason.NOT_YET})
"""Denials that a role would change."""


def requested_grant(request: DecisionRequest) -> RequestedGrant | None:
    """Return what a command or API request would grant or revoke; None for all others."""
    grant = None if request.command is None else grant_of_command(request.command, request.actor.project)
    return grant or request.grant


def grant_of_command(command: Command, project: str | None) -> RequestedGrant | None:
    """Return what a command would grant or revoke, with the project that it is given in; None for all others."""
    handler = command.entry.handler
    if handler is None or handler not in GRANT_HANDLERS:
        return None
    roles, user = command.arguments["roles"], command.arguments["user"]
    names = (roles,) if isinstance(roles, str) else roles
    return RequestedGrant(names, project, identity_of_argument(str(user)), GRANT_HANDLERS[handler])


def decide_grant(
    tx: ReadTransaction, decision: Decision, grant: RequestedGrant, rights: Rights, asking: Identity
) -> Decision:
    """Return the decision on a grant or revocation: by its permission, and by the rules on each of its roles.

    What waits for a second user is allowed, as it is for the command itself. Whether the identity exists is not
    looked at: it is told only to those who may grant.

    Parameters
    ----------
    decision : Decision
        On the permission.
    rights : Rights
        Of who would grant.
    asking : Identity
        Who gets the answer.

    Raises
    ------
    BadInput
        A role does not exist.
    """
    if not decision.allowed:
        denied = grant_denial(tx, grant, asking) if decision.reason in MISSING and asking == rights.identity else None
        return decision if denied is None else replace(decision, sentence=denied.detail, role=None)
    authority = GrantAuthority(rights, checks.controlled_identities(tx, rights.identity))
    verb, preposition = ("revoke", "from") if grant.revoke else ("grant", "to")
    for role in get_roles(tx, grant.roles):
        scope = _scope_of(role, grant)
        if not is_assignable_in(role, scope):
            return Decision(False, Reason.PROJECT_REQUIRED, _without_project(role))
        if grant.revoke:
            row = assignments.find_assignment(tx, role.name, scope, grant.identity)
            is_creator = row is not None and row.creator
            missing = authority.missing_to_revoke(tx, role, scope, grant.identity, creator=is_creator)
        else:
            missing = authority.missing_to_grant(tx, role, scope, grant.identity)
        if any(right.kind is not MissingRightKind.SECOND_PERSON for right in missing):
            phrase = f"{verb} {role.name} in {describe_scope(scope)} {preposition} `{grant.identity.name}`"
            who = "you" if asking == rights.identity else f"`{rights.identity.name}`"
            sentence = f"{who} cannot {phrase}: {join_missing(missing)}"
            return Decision(False, Reason.ESCALATION, sentence)
    return decision


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
            return Denied(_without_project(role), remedy=NAME_PROJECT)
        member_permissions = tx.catalog.member_permissions
        names = roles_that_can_grant(role, scope, tx.roles, member_permissions, tx.now, revoke=grant.revoke)
        only = f"only {' or '.join(names[:_MAX_ROLES])} can" if names else "no role can"
        sentences.append(f"{only} {verb} {role.name} in {describe_scope(scope)}")
        # A group or service account of which the reader knows nothing is answered as one that does not exist (R72): who
        # cannot grant to it would tell who is in it or controls it.
        identity, besides = grant.identity, (asking, grant.identity)
        if not checks.decide_now(tx, asking, checks.endpoint_permission(tx, "access"), scope).allowed:
            identity = Identity(identity.kind, "another identity")
        if grant.revoke:
            able.append(who_can_revoke(tx, role.name, scope, identity, besides=besides))
        else:
            able.append(who_can_grant(tx, role.name, scope, recipient=identity, besides=besides))
    users = tuple(name for name in able[0] if all(name in others for others in able)) if able else ()
    phrase = f"{verb} {', '.join(grant.roles)} {preposition} `{grant.identity.name}`"
    return Denied(
        f"you cannot {phrase}: {'; '.join(sentences)}",
        remedy=f"ask {format_names(users)} to do it" if users else None,
        extensions={f"who_can_{verb}": list(users), "scope": grant.project or SYSTEM},
    )


def roles_for_grant(tx: ReadTransaction, grant: RequestedGrant) -> frozenset[str]:
    """Return the roles whose holders can make the whole grant or revocation; empty where a role of it is unknown."""
    able = [
        frozenset(
            roles_that_can_grant(
                tx.roles[name],
                _scope_of(tx.roles[name], grant),
                tx.roles,
                tx.catalog.member_permissions,
                tx.now,
                revoke=grant.revoke,
            )
        )
        if name in tx.roles
        else frozenset[str]()
        for name in grant.roles
    ]
    return frozenset.intersection(*able) if able else frozenset()


_MAX_ROLES = 3


def _without_project(role: Role) -> str:
    return f"{role.name} is a project role, and no project is named"


def _scope_of(role: Role, grant: RequestedGrant) -> str:
    return grant.project if grant.project is not None and ScopeKind.PROJECT in role.scopes else SYSTEM
