"""Checks of an access request when it is made: only what some user can grant may be requested."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.roles import request_settlement
from aizen_hub.authorization import checks, lock_state
from aizen_hub.authorization.queries import grantors
from aizen_hub.problems import BadInput, Conflict, NotFound, TooManyRequests
from aizen_hub.rbac import messages
from aizen_hub.rbac.default_denials import any_covers, delegated_roles
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, is_assignable_in, permissions_of_role
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_MAX_APPROVERS = 20
_BOUND_PERIOD = timedelta(hours=24)


def requestable_roles(tx: ReadTransaction, requester: Identity) -> list[tuple[str, list[Role]]]:
    """Return the roles that can be requested, under a label for where; only labels with roles.

    Built-in roles are in the order of the catalog, which begins with the least power, and custom ones follow by name.

    Built-in system roles that the requester has, or that no other user can grant, are left out. For the roles of a
    project that is checked when the request names the project.
    """
    groups: dict[str, list[Role]] = {"In a project": [], "In a project or system-wide": [], "System-wide": []}
    order = {name: position for position, name in enumerate(tx.catalog.roles)}
    for role in sorted(tx.roles.values(), key=lambda role: (order.get(role.name, len(order)), role.name)):
        if requester.kind not in role.assignable_to:
            continue
        if ScopeKind.SYSTEM not in role.scopes:
            groups["In a project"].append(role)
        elif ScopeKind.PROJECT in role.scopes:
            groups["In a project or system-wide"].append(role)
        elif not request_settlement.holds_role(tx, requester, role.name, SYSTEM, None) and _is_grantable(
            tx, role, requester
        ):
            groups["System-wide"].append(role)
    return [(label, roles) for label, roles in groups.items() if roles]


def _is_grantable(tx: ReadTransaction, role: Role, requester: Identity) -> bool:
    # Of custom roles there can be many, and the check of each reads them all.
    return not role.built_in or bool(
        grantors.who_can_grant(tx, role.name, SYSTEM, 1, recipient=requester, besides=[requester])
    )


def require_assignable(role: Role, scope: str, requester: Identity) -> None:
    """Raise BadInput for a role that cannot be assigned in this scope, or not to this kind of identity."""
    if not is_assignable_in(role, scope):
        if scope == SYSTEM:
            raise BadInput(f"{role.name} is a project role", remedy="name the project in which you need it")
        raise BadInput(f"{role.name} is a system role, and no role of a project", remedy="request it without a project")
    if requester.kind not in role.assignable_to:
        kinds = ", ".join(f"a {kind}" for kind in sorted(role.assignable_to))
        raise BadInput(f"{role.name} can be assigned only to {kinds}")


def require_smaller_role(tx: ReadTransaction, name: str, requested: str, scope: str) -> None:
    """Raise BadInput for a role that includes anything which the requested one does not."""
    role, requested_role = tx.roles.get(name), tx.roles.get(requested)
    if role is None or requested_role is None or not is_smaller_role(tx, role, requested_role, scope):
        raise BadInput(f"{name} is no part of {requested}", remedy="approve what was asked for, or less")


def is_smaller_role(tx: ReadTransaction, role: Role, requested: Role, scope: str) -> bool:
    """Return whether a role has only rights that the requested one has too."""
    members = tx.catalog.member_permissions
    permissions = permissions_of_role(requested, scope, members)
    return (
        is_assignable_in(role, scope)
        and all(any_covers(permissions, permission) for permission in permissions_of_role(role, scope, members))
        and delegated_roles(role) <= delegated_roles(requested)
        and not (role.can_grant_held_roles and not requested.can_grant_held_roles)
    )


def forbid_dry_run(tx: WriteTransaction) -> None:
    """Raise BadInput in a dry run, which would tell names of projects without a trace and without a bound (R72)."""
    if tx.dry_run:
        raise BadInput(
            "an access request cannot be tried out", remedy="make the request, and withdraw it if you do not need it"
        )


def require_few_requests(tx: ReadTransaction, requester: Identity, bound: int) -> None:
    """Raise TooManyRequests after ``bound`` requests within a day, decided and withdrawn ones included."""
    p = tables.pending_changes
    made = tx.conn.execute(
        select(func.count()).where(
            p.c.kind == pending_changes.ACCESS_REQUEST,
            p.c.requested_by == str(requester),
            p.c.requested > tx.now - _BOUND_PERIOD,
        )
    ).scalar_one()
    if made >= bound:
        raise TooManyRequests(
            f"you have made {made} requests within 24 hours", remedy="wait for the decisions, and ask tomorrow"
        )


def require_grantable(
    tx: ReadTransaction, role: str, scope: str, requester: Identity, until: datetime | None
) -> tuple[str, ...]:
    """Return users who can grant the role to the requester, at most 20.

    Raises
    ------
    Conflict
        The requester has the role already, for as long as requested, or can take it without a request.
    Denied
        The project is archived.
    NotFound
        There is no such user; the same for a project that does not exist (R72).
    """
    if request_settlement.holds_role(tx, requester, role, scope, until):
        raise Conflict(f"you already have {role} in {messages.describe_scope(scope)}")
    archived = lock_state.archived_error(tx, scope)
    if archived is not None and checks.can_see_project(tx, requester, scope):
        raise archived
    names: tuple[str, ...] = ()
    if scope == SYSTEM or checks.project_exists(tx, scope):
        names = grantors.who_can_grant(tx, role, scope, _MAX_APPROVERS, recipient=requester, besides=[requester])
        if not names and grantors.who_can_grant(tx, role, scope, 1, recipient=requester):
            raise Conflict(f"you can grant {role} to yourself, without a request")
    if names:
        return names
    if scope == SYSTEM:
        raise NotFound(f"there is no user who can grant {role}", remedy="ask an administrator for another role")
    raise NotFound(
        f"there is no project {messages.describe_scope(scope)} in which a user can grant {role}",
        remedy="check the name of the project, or ask an administrator for it",
    )
