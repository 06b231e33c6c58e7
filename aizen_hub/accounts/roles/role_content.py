"""What a custom role contains: its permissions, limits and scopes, checked together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aizen_hub.accounts.roles import permissions as named_permissions
from aizen_hub.problems import BadInput, Fault
from aizen_hub.rbac.named_permission import NamedPermission, format_value
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import ScopeKind
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction


def check_role_content(
    tx: ReadTransaction,
    permissions: Sequence[str],
    limits: Mapping[str, float],
    scopes: Sequence[str],
    *,
    present: Collection[Permission] = (),
) -> dict[str, Any]:
    """Return permissions, limits and scopes as they are stored; a named limit among the permissions becomes a limit.

    Parameters
    ----------
    permissions : sequence of str
        ``verb:noun``, bare verbs, and names of permissions.
    present : collection of Permission
        Accepted although the catalog does not know them (any more): the role, or one it is made from, has them.

    Raises
    ------
    BadInput
        All faults at once. A role has one permission per kind of limit: a second one is a fault.
    """
    faults: list[Fault] = []
    rights, named_limits = set(), []
    named = named_permissions.list_named_permissions(tx)
    for index, text in enumerate(permissions):
        pointer = f"/permissions/{index}"
        try:
            each = _resolve(tx, text, named, present)
        except BadInput as problem:
            faults.append(Fault(pointer, problem.detail))
            continue
        if each.permission is not None:
            rights.add(str(each.permission))
        else:
            named_limits.append((pointer, each))
    values = dict(limits)
    for kind, value in limits.items():
        try:
            named_permissions.require_valid_limit(kind, value)
        except ValueError as error:
            allowed = () if kind in named_permissions.LIMIT_NAMES else named_permissions.LIMIT_NAMES
            faults.append(Fault(f"/limits/{excerpt(str(kind))}", str(error), allowed))
    for pointer, each in named_limits:
        kind = str(each.limit)
        if values.setdefault(kind, each.value or 0) != each.value:
            faults.append(Fault(pointer, second_limit(each, values[kind])))
    allowed_scopes = tuple(kind.value for kind in ScopeKind)
    for index, scope in enumerate(scopes):
        if scope not in allowed_scopes:
            faults.append(Fault(f"/scopes/{index}", "no such kind of scope", allowed_scopes))
    if not scopes:
        faults.append(Fault("/scopes", "at least one kind of scope is needed", allowed_scopes))
    if faults:
        raise BadInput("the role is invalid", faults=faults)
    return {"permissions": sorted(rights), "limits": values, "scopes": sorted(set(scopes))}


def second_limit(named: NamedPermission, present: float) -> str:
    """Return why a limit cannot join another one of its kind."""
    return (
        f"a role has one permission per kind of limit: `{named.name}` would be a second one on {named.limit}, "
        f"besides {format_value(present)}"
    )


def _resolve(
    tx: ReadTransaction, text: str, named: Sequence[NamedPermission], present: Collection[Permission]
) -> NamedPermission:
    for permission in present:
        if str(permission) == text:
            return NamedPermission(text, permission)
    return named_permissions.find_permission(tx.catalog, text, named)
