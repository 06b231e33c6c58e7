"""Page of one role: what it allows in words, who may give it, where it is used, and which roles are close to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aizen_hub.accounts.roles import usage
from aizen_hub.accounts.roles.role_permissions import show_role as describe_role
from aizen_hub.api_models.schema import Schema
from aizen_hub.authorization.queries import role_coverage
from aizen_hub.authorization.queries.role_coverage import ObjectAccess
from aizen_hub.rbac.default_denials import any_covers, delegated_roles
from aizen_hub.rbac.escalation import GRANT_PERMISSION
from aizen_hub.rbac.role import Role
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.roles.listing import role_row
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction

_PAGE_SIZE = 25
_MAX_CLOSE = 4


class RolePageQuery(Schema):
    after: OptionalText = None


def get_role(tx: ReadTransaction, name: str) -> Role:
    """Return a role by its exact name; raises the problem of a page that does not exist."""
    role = tx.roles.get(name)
    if role is None:
        raise not_in_panel()
    return role


async def show_role(ctx: RequestContext) -> RawResponse:
    name, query = ctx.path_params["role"], ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        role = get_role(tx, name)
        kind = role_coverage.usual_scope(role)
        permissions = role_coverage.permissions_in(tx.catalog, role, kind)
        counts = usage.count_assignments(tx, viewer.projects, name)
        used = usage.usage_of(tx, name, viewer.projects, after=query.after or "", limit=_PAGE_SIZE + 1)
        return {
            "role": role,
            "row": role_row(tx, role, counts.get(name, 0)),
            "tasks": _by_task(role_coverage.object_access(tx.catalog, permissions, kind)),
            "named": describe_role(tx, name).rows,
            "close": _close_roles(tx, role),
            "used": used[:_PAGE_SIZE],
            "more_after": used[_PAGE_SIZE - 1].scope if len(used) > _PAGE_SIZE else None,
            "gives": sorted(delegated_roles(role)),
            "grants_held": role.can_grant_held_roles or any_covers(permissions, GRANT_PERMISSION),
            "may_edit": viewer.may("roles"),
            "counts_all": viewer.projects is None,
        }

    return await show_page(ctx, "roles/role.html", read)


def _by_task(objects: Iterable[ObjectAccess]) -> list[tuple[str, list[ObjectAccess]]]:
    """Return the kinds of object by task, in the order of the catalog."""
    tasks: dict[str, list[ObjectAccess]] = {}
    for entry in objects:
        tasks.setdefault(entry.task, []).append(entry)
    return list(tasks.items())


def _close_roles(tx: ReadTransaction, role: Role) -> list[tuple[Role, list[str], list[str]]]:
    """Return the roles of the same kind of scope that differ least, with the commands they allow more and less."""
    kind = role_coverage.usual_scope(role)

    def commands(other: Role) -> dict[str, None]:
        permissions = role_coverage.permissions_in(tx.catalog, other, kind)
        return {entry.name: None for entry in role_coverage.allowed_commands(tx.catalog, permissions, kind)}

    own = commands(role)
    others = []
    for other in tx.roles.values():
        if other.name == role.name or role_coverage.usual_scope(other) is not kind:
            continue
        theirs = commands(other)
        more, less = [name for name in theirs if name not in own], [name for name in own if name not in theirs]
        others.append((other, more, less))
    return sorted(others, key=lambda item: len(item[1]) + len(item[2]))[:_MAX_CLOSE]


ROUTES = (page_route("/roles/{role}", show_role, "One role.", RolePageQuery),)
