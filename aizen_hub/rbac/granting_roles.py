"""Which roles enable their holders to grant or to revoke a role, by the rules of `rbac.escalation`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from aizen_hub.rbac.assignment import Assignment
from aizen_hub.rbac.escalation import missing_to_grant, missing_to_revoke
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import compile_rights
from aizen_hub.rbac.role import SYSTEM, Role


def roles_that_can_grant(
    role: Role,
    scope: str,
    roles: Mapping[str, Role],
    member_permissions: frozenset[Permission],
    now: datetime,
    *,
    revoke: bool = False,
) -> tuple[str, ...]:
    """Return the roles whose holders may grant ``role`` in ``scope`` to another identity, least first.

    Parameters
    ----------
    revoke : bool
        Those whose holders may revoke it, instead.
    """
    grantor, other = Identity.user("grantor"), Identity.user("recipient")
    missing = missing_to_revoke if revoke else missing_to_grant
    names = []
    for candidate in roles.values():
        for assigned_in in dict.fromkeys((scope, SYSTEM)):
            rights = compile_rights(
                grantor,
                active=True,
                paths=(),
                assignments=(Assignment("", candidate.name, assigned_in, grantor),),
                roles=roles,
                member_permissions=member_permissions,
            )
            if rights.held_roles and not missing(rights, role, scope, other, now):
                names.append(candidate.name)
                break
    return tuple(names)
