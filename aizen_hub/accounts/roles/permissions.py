"""Named permissions: built-in ones of the catalog, and custom ones that are created and deleted at run time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from aizen_hub.accounts.names import normalization
from aizen_hub.authorization import checks
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.result import Result, message_result, table_result
from aizen_hub.problems import BadInput, Conflict, Denied, Fault, NotFound
from aizen_hub.rbac.named_permission import NamedPermission, format_value
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import LimitKind, Role
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

_p = tables.permissions
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?")
_COUNTS = frozenset({LimitKind.PROJECTS, LimitKind.JOBS})
_NEAREST = 3
LIMIT_NAMES = tuple(kind.value for kind in LimitKind)


def create_permission(
    tx: WriteTransaction,
    name: str,
    *,
    permission: str | None = None,
    limit: str | None = None,
    value: float | None = None,
    description: str = "",
) -> Result:
    """Create a custom permission: a right (``permission``), or a ``limit`` with its ``value``.

    It has no effect until it is assigned to a role, and never changes: what a role contains stays what it was.

    Raises
    ------
    BadInput
        The name or the content is invalid, or the right is unknown in the catalog.
    Conflict
        The name, a look-alike, or a permission with the same content exists.
    """
    checks.require(tx, checks.endpoint_permission(tx, "roles"))
    if not _NAME.fullmatch(name) or "  " in name:
        raise BadInput(
            f"`{excerpt(name)}` cannot be the name of a permission",
            remedy="use at most 64 letters, digits, single blanks, `.`, `_` and `-`, as in `5 Project Limit`",
        )
    named = NamedPermission(name, *_read_content(tx.catalog, permission, limit, value), description=description)
    skeleton = normalization.confusable_skeleton(name)
    for present in list_named_permissions(tx):
        if normalization.confusable_skeleton(present.name) == skeleton:
            raise Conflict(
                f"`{name}` is, or looks like, the name of the permission `{present.name}`",
                remedy="choose a clearly different name",
            )
        if present.content == named.content:
            raise Conflict(f"`{present.name}` is this permission already", remedy=f"use `{present.name}`")
    if _known_permission(tx.catalog, name) is not None:
        raise Conflict(f"`{name}` is a permission of the catalog", remedy="choose a name that is no `verb`")
    values = {"skeleton": skeleton, "content": named.content}
    tx.conn.execute(insert(_p).values(name=name, description=description, **values))
    wrote = change_records.change_payload(change_records.row_written(_p, name, values))
    tx.record_change("permission", {"permission": name, "did": "create", **wrote}, [])
    tx.audit("permission.created", details={"permission": name, "content": named.content})
    return message_result(f"created the permission `{name}` ({named.content})", permission=name, content=named.content)


def delete_permission(tx: WriteTransaction, name: str) -> Result:
    """Delete a custom permission that no custom role contains, so that no one loses a right or limit."""
    named, holders = get_deletable_permission(tx, name)
    if holders:
        raise Conflict(
            f"`{named.name}` is part of {', '.join(holders[:5])}" + (" and others" if len(holders) > 5 else ""),
            remedy="remove it there first",
            extensions={"roles": holders[:20]},
        )
    tx.conn.execute(delete(_p).where(_p.c.name == named.name))
    wrote = change_records.change_payload(change_records.row_deleted(_p, named.name))
    tx.record_change("permission", {"permission": named.name, "did": "delete", **wrote}, [])
    tx.audit("permission.deleted", details={"permission": named.name})
    return message_result(f"deleted the permission `{named.name}`")


def get_deletable_permission(tx: ActorTransaction, name: str) -> tuple[NamedPermission, list[str]]:
    """Return a custom permission, and the names of the custom roles that keep it from being deleted.

    Raises
    ------
    Denied
        The actor may not change roles, or it is built in.
    NotFound
    """
    checks.require(tx, checks.endpoint_permission(tx, "roles"))
    named = get_named_permission(tx, name)
    if named.built_in:
        raise Denied(f"`{named.name}` is built in and cannot be deleted")
    return named, sorted(role.name for role in tx.roles.values() if not role.built_in and named.is_part_of(role))


def list_permissions(tx: ReadTransaction) -> Result:
    """List the named permissions, then those that commands require; available to every registered user.

    A right is listed with the roles that give it or a part of it, a limit with the roles that contain it.
    """
    rows = []
    named = list_named_permissions(tx)
    contents = {each.content for each in named}
    others = [NamedPermission(str(needed), needed) for needed in sorted(tx.catalog.permissions)]
    for each in [*named, *(other for other in others if other.content not in contents)]:
        origin = "built in" if each.built_in else "custom" if each in named else "command"
        rows.append((*describe(each), origin, [role.name for role in tx.roles.values() if _contains(role, each)]))
    return table_result((*DESCRIPTION_COLUMNS, "origin", "roles"), rows)


DESCRIPTION_COLUMNS = ("permission", "kind", "allows", "limit", "description")
"""The columns of `describe`."""


def describe(named: NamedPermission) -> tuple[str, str, str | None, str | None, str]:
    """Return a permission as cells of a table, see `DESCRIPTION_COLUMNS`."""
    is_limit = named.limit is not None
    return (
        named.name,
        named.kind,
        None if is_limit else str(named.permission),
        f"{named.limit}: {format_value(named.value or 0)}" if is_limit else None,
        named.description,
    )


def list_named_permissions(tx: ReadTransaction) -> list[NamedPermission]:
    """Return the permissions that have a name: those of the catalog, then the custom ones."""
    rows = tx.conn.execute(select(_p).order_by(_p.c.name)).all()
    custom = [NamedPermission.of_content(row.name, row.content, row.description) for row in rows]
    return [*tx.catalog.named_permissions, *custom]


def get_named_permission(tx: ReadTransaction, name: str) -> NamedPermission:
    """Return the permission of this name, whatever its case; raises NotFound with the nearest names."""
    named = {each.name.casefold(): each for each in list_named_permissions(tx)}
    found = named.get(name.casefold())
    if found is None:
        near = [named[key].name for key in get_close_matches(name.casefold(), named, _NEAREST, 0.5)]
        raise NotFound(
            f"there is no permission `{excerpt(name)}`",
            remedy=f"the nearest is {_quoted(near)}" if near else "`permission list` shows all",
        )
    return found


def find_permission(catalog: Catalog, text: str, named: Sequence[NamedPermission]) -> NamedPermission:
    """Return what a text stands for: ``verb:noun``, a bare verb, or the name of a permission.

    Parameters
    ----------
    named : sequence of NamedPermission
        All of `list_named_permissions`.

    Raises
    ------
    BadInput
        Neither a name nor a permission that anything in the catalog requires; names the nearest.
    """
    known = _known_permission(catalog, text)
    if known is not None:
        return next((each for each in named if each.permission == known), NamedPermission(str(known), known))
    for each in named:
        if each.name.casefold() == text.casefold():
            return each
    spellings = (*(each.name for each in named), *_spellings(catalog.permissions))
    candidates = {spelling.casefold(): spelling for spelling in spellings}
    near = get_close_matches(text.casefold(), candidates, _NEAREST, 0.5)
    near = near or get_close_matches(text.casefold(), candidates, 1, 0.0)
    raise BadInput(
        f"there is no permission `{excerpt(text)}`: the nearest is {_quoted(candidates[key] for key in near)}",
        remedy="`permission list` shows all",
    )


def require_valid_limit(kind: str, value: object) -> LimitKind:
    """Return the kind of a limit; ValueError with the reason if kind or value is invalid."""
    if kind not in LIMIT_NAMES:
        raise ValueError("no such limit")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
        raise ValueError("a limit is a number that is not negative")
    if kind in _COUNTS and value != int(value):
        raise ValueError("a count is a whole number")
    return LimitKind(kind)


def _contains(role: Role, named: NamedPermission) -> bool:
    right = named.permission
    if right is None:
        return named.is_part_of(role)
    return any(own.covers(right) or right.covers(own) for own in role.permissions)


def _read_content(
    catalog: Catalog, permission: str | None, limit: str | None, value: float | None
) -> tuple[Permission | None, LimitKind | None, float | None]:
    if (permission is None) == (limit is None) or (limit is None) != (value is None):
        raise BadInput("a permission is either a right (`verb:noun`), or a limit with its value")
    if limit is not None:
        try:
            return None, require_valid_limit(limit, value), value
        except ValueError as error:
            allowed = () if limit in LIMIT_NAMES else LIMIT_NAMES
            raise BadInput("the permission is invalid", faults=[Fault("/limit", str(error), allowed)]) from None
    right = _known_permission(catalog, permission or "")
    if right is None:
        near = get_close_matches(permission or "", _spellings(catalog.permissions), _NEAREST, 0.0)
        raise BadInput(
            f"nothing in this catalog requires `{excerpt(permission or '')}`: the nearest is {_quoted(near[:1])}",
            remedy="`permission list` shows all",
        )
    return right, None, None


def _known_permission(catalog: Catalog, text: str) -> Permission | None:
    try:
        permission = Permission.parse(text)
    except ValueError:
        return None
    return permission if catalog.is_known(permission) else None


def _spellings(permissions: Iterable[Permission]) -> list[str]:
    return sorted({spelling for each in permissions for spelling in (str(each), each.verb)})


def _quoted(names: Iterable[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)
