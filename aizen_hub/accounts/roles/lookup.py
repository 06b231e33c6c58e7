"""Lookup of roles by name, and of the roles that an identity has."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts import identities
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, table_result
from aizen_hub.problems import BadInput, Fault
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, Role
from aizen_hub.store import tables
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_a = tables.assignments


def get_role(tx: ReadTransaction, name: str) -> Role:
    """Return the role of this name, whatever its case; raises BadInput with a suggestion for an unknown one."""
    role = tx.roles.get(name)
    if role is not None:
        return role
    by_case = {role_name.casefold(): role_name for role_name in tx.roles}
    if name.casefold() in by_case:
        return tx.roles[by_case[name.casefold()]]
    close = get_close_matches(name.casefold(), by_case, 1)
    raise BadInput(
        f"there is no role `{excerpt(name)}`",
        remedy=f"did you mean {by_case[close[0]]}?" if close else f"the roles are {', '.join(sorted(tx.roles))}",
        faults=[Fault("", "unknown role", tuple(sorted(tx.roles)))],
    )


def list_user_roles(tx: WriteTransaction, user: Identity | None, project: str | None) -> Result:
    """List the roles of the actor or of another user: system roles, and with a project those in the project too.

    Raises
    ------
    NotFound
        The user, or the project, does not exist for the actor.
    Denied
        Roles of another user, without the permission in that scope.
    """
    identity = user or tx.actor.identity
    if project is not None and not (identity == tx.actor.identity or checks.is_operator(tx)):
        checks.require_visible_project(tx, project)
    if identity != tx.actor.identity:
        checks.require_command(tx, "list_roles", project or SYSTEM)
        identities.require_identity(tx, identity)
        tx.audit("access.read", project=project, details={"query": "roles", "target": str(identity)})
    rows = [
        (row.role, row.scope, None if row.identity == str(identity) else row.identity, row.starts, row.ends)
        for row in list_assignments_of(tx, identity)
        if row.scope in (SYSTEM, project)
    ]
    text = "" if rows else f"`{identity.name}` has no role {'here' if project else 'in the system'}"
    return table_result(("role", "scope", "through", "from", "until"), rows, text)


def list_assignments_of(tx: ReadTransaction, identity: Identity) -> Sequence[Any]:
    """Return the assignment rows of an identity and of its groups, whether or not they are in effect now."""
    holders = [str(identity), *map(str, checks.transitive_groups(tx, identity))]
    return tx.conn.execute(
        select(_a).where(_a.c.identity.in_(holders)).order_by(_a.c.scope != SYSTEM, _a.c.scope, _a.c.role)
    ).all()


def list_roles(tx: ReadTransaction) -> Result:
    """List every role with its permissions and limits; available to every registered user."""
    rows = [
        (
            role.name,
            role.description,
            role.category,
            sorted(map(str, role.permissions)),
            {str(kind): value for kind, value in role.limits.items()},
            role.built_in,
        )
        for role in tx.roles.values()
    ]
    return table_result(("role", "description", "category", "permissions", "limits", "built in"), rows)


def get_roles(tx: ReadTransaction, names: Sequence[str]) -> list[Role]:
    """Return the roles of these names, without duplicates.

    Raises
    ------
    BadInput
        Names the first unknown role, and suggests a similar one.
    """
    from aizen_hub.accounts.roles.lookup import get_role

    return [get_role(tx, name) for name in dict.fromkeys(names)]


def custom_role_versions(tx: ReadTransaction, names: Sequence[str]) -> dict[str, int]:
    """Return the versions of the custom roles among these roles."""
    r = tables.roles
    rows = tx.conn.execute(select(r.c.name, r.c.version).where(r.c.name.in_(sorted(names))))
    return {row.name: row.version for row in rows}
