"""The permissions of one role: shown, assigned and removed one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aizen_hub.accounts.roles import custom_roles, permissions
from aizen_hub.accounts.roles.lookup import get_role
from aizen_hub.accounts.roles.role_content import second_limit
from aizen_hub.commands.result import Result, message_result, table_result
from aizen_hub.problems import Conflict, NotFound
from aizen_hub.rbac.named_permission import NamedPermission

if TYPE_CHECKING:
    from aizen_hub.rbac.role import Role
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction


def show_role(tx: ReadTransaction, name: str) -> Result:
    """List the permissions of a role, rights and limits, by name where they have one; open to every registered user."""
    role = get_role(tx, name)
    held = _permissions_of(tx, role)
    kind = "a built-in role" if role.built_in else "a custom role"
    return table_result(
        permissions.DESCRIPTION_COLUMNS,
        [permissions.describe(each) for each in held],
        f"{role.name} is {kind}" + (f": {role.description}" if role.description else "")
        + ("" if held else "; without a permission it has no effect"),
        role=role.name,
        category=role.category,
        scopes=sorted(map(str, role.scopes)),
        built_in=role.built_in,
    )  # fmt: skip


def assign_permission(tx: WriteTransaction, role_name: str, text: str) -> Result:
    """Add one permission to a custom role: by name, or as ``verb:noun``; raises as `custom_roles.update_role` does.

    Raises
    ------
    Conflict
        The role has a limit of this kind already: a role holds one permission per kind of limit.
    """
    role, named = _role_and_permission(tx, role_name, text)
    if named.is_part_of(role):
        return message_result(f"{role.name} already has `{named.name}`", role=role.name)
    rights, limits = set(map(str, role.permissions)), {str(kind): value for kind, value in role.limits.items()}
    if named.limit is None:
        rights.add(named.content)
    elif named.limit in limits:
        raise Conflict(f"{second_limit(named, limits[named.limit])}, in {role.name}", remedy="remove that one first")
    else:
        limits[named.limit] = named.value or 0
    return custom_roles.update_role(tx, role.name, permissions=sorted(rights), limits=limits)


def remove_permission(tx: WriteTransaction, role_name: str, text: str) -> Result:
    """Remove one permission from a custom role; raises as `custom_roles.update_role` does, and NotFound."""
    role, named = _role_and_permission(tx, role_name, text)
    if not named.is_part_of(role):
        raise NotFound(f"{role.name} has no permission `{named.name}`", remedy="`role show` lists what it has")
    rights = {str(right) for right in role.permissions if right != named.permission}
    limits = {str(kind): value for kind, value in role.limits.items() if kind != named.limit}
    return custom_roles.update_role(tx, role.name, permissions=sorted(rights), limits=limits)


def _role_and_permission(tx: WriteTransaction, role_name: str, text: str) -> tuple[Role, NamedPermission]:
    role = get_role(tx, role_name)
    for each in _permissions_of(tx, role):
        # What it has can be removed, even if the catalog does not know it any more.
        if each.name.casefold() == text.casefold() or each.content == text:
            return role, each
    return role, permissions.find_permission(tx.catalog, text, permissions.list_named_permissions(tx))


def _permissions_of(tx: ReadTransaction, role: Role) -> list[NamedPermission]:
    held = [each for each in permissions.list_named_permissions(tx) if each.is_part_of(role)]
    named = {each.content for each in held}
    unnamed = [NamedPermission(str(right), right) for right in sorted(role.permissions)]
    unnamed += [NamedPermission(str(kind), None, kind, value) for kind, value in sorted(role.limits.items())]
    return [*held, *(each for each in unnamed if each.content not in named)]
