"""One registered user, with the roles that the requester may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aizen_hub.accounts.identities import get_user
from aizen_hub.accounts.roles import limits
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction


def show_user(tx: WriteTransaction, name: str, project: str | None) -> Result:
    """Return a user: names for those who may list users, contact data for managers of users, and roles.

    Roles and limits are shown to those who may read access: those of one project, or with ``project`` None all of them.

    Raises
    ------
    Denied, NotFound
    """
    # Before the user is looked up: who exists is told to those who may list users (R72).
    checks.require_command(tx, "list_users", project or SYSTEM)
    row = get_user(tx, name)
    identity = Identity.user(row.name)
    tx.audit("access.read", project=project, details={"query": "user", "target": str(identity)})
    data: dict[str, Any] = {"id": row.name, "username": row.display_name}
    if checks.is_allowed(tx, checks.endpoint_permission(tx, "users"), SYSTEM):
        data |= {
            "provider": row.provider,
            "email": row.email,
            "phone": row.phone,
            "active": row.active,
            "last_seen": row.last_seen,
        }
    if checks.is_allowed(tx, checks.endpoint_permission(tx, "access"), project or SYSTEM):
        rights = tx.rights(identity)
        data["groups"] = sorted({group.name for held in rights.held_roles for group in held.via})
        data["limits"] = limits.limit_values(tx, identity, project or SYSTEM)
        data["assignments"] = [
            {
                "role": held.role,
                "scope": held.scope,
                "via": [str(group) for group in held.via],
                "from": held.interval.starts,
                "until": held.interval.ends,
            }
            for held in rights.held_roles
            if project is None or held.scope == project
        ]
    return Result("object", data=data)
