"""Page *Roles*: what each role allows, how often it is assigned, and who may give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from aizen_hub.accounts.roles import usage
from aizen_hub.api_models.schema import Schema
from aizen_hub.authorization.queries import role_coverage
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.escalation import GRANT_PERMISSION
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, permissions_of_role
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction


class RoleListQuery(Schema):
    q: OptionalText = None
    kind: str | None = Field(default=None, max_length=10)


@dataclass(frozen=True, slots=True)
class RoleRow:
    """One role of the list.

    Attributes
    ----------
    allowed, total : int
        Commands, of those in the kind of scope where the role is shown.
    assigned : int
        Assignments that the viewer may know.
    granting_roles : tuple of str
        Roles whose holders may grant it without having its rights.
    """

    role: Role
    scope_kind: ScopeKind
    allowed: int
    total: int
    assigned: int
    granting_roles: tuple[str, ...]


_TITLES = (
    ("System", lambda role, kind: role.built_in and kind is ScopeKind.SYSTEM),
    ("In every project", lambda role, kind: role.built_in and kind is ScopeKind.PROJECT),
    ("Own roles", lambda role, kind: not role.built_in),
)


async def list_roles(ctx: RequestContext) -> RawResponse:
    query = ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        counts = usage.count_assignments(tx, viewer.projects)
        roles = [role for role in tx.roles.values() if _fits(tx, role, query)]
        rows = [role_row(tx, role, counts.get(role.name, 0)) for role in roles]
        groups = [(title, [row for row in rows if belongs(row.role, row.scope_kind)]) for title, belongs in _TITLES]
        return {
            "groups": [(title, members) for title, members in groups if members],
            "number": len(rows),
            "total": len(tx.roles),
            "query": query,
            "may_edit": viewer.may("roles"),
            "counts_all": viewer.projects is None,
        }

    return await show_page(ctx, "roles/roles.html", read, fragment="results")


def role_row(tx: ReadTransaction, role: Role, assigned: int) -> RoleRow:
    """Return a role with what it allows and who gives it."""
    kind = role_coverage.usual_scope(role)
    permissions = role_coverage.permissions_in(tx.catalog, role, kind)
    return RoleRow(
        role,
        kind,
        len(role_coverage.allowed_commands(tx.catalog, permissions, kind)),
        len(role_coverage.commands_in(tx.catalog, kind)),
        assigned,
        granting_roles(tx, role),
    )


def granting_roles(tx: ReadTransaction, role: Role) -> tuple[str, ...]:
    """Return the built-in roles whose holders may give a role: by the catalog's table, or by the rights they have."""
    names = [other.name for other in tx.roles.values() if role.name in other.can_grant]
    if not role.grant_table_only:
        scope = SYSTEM if role_coverage.usual_scope(role) is ScopeKind.SYSTEM else "a project"
        needed = permissions_of_role(role, scope, tx.catalog.member_permissions)
        for other in tx.catalog.roles.values():
            held = permissions_of_role(other, scope, tx.catalog.member_permissions)
            may_grant = other.can_grant_held_roles or any_covers(held, GRANT_PERMISSION)
            if may_grant and all(any_covers(held, permission) for permission in needed):
                names.append(other.name)
    return tuple(dict.fromkeys(names))


def _fits(tx: ReadTransaction, role: Role, query: RoleListQuery) -> bool:
    if query.kind and (query.kind == "built-in") is not role.built_in:
        return False
    if not query.q:
        return True
    text = query.q.casefold()
    if text in role.name.casefold() or text in role.description.casefold():
        return True
    entry = tx.catalog.find_command(" ".join(text.split()))
    if entry is None or entry.permission is None:
        return False
    kind = role_coverage.usual_scope(role)
    return any_covers(role_coverage.permissions_in(tx.catalog, role, kind), entry.permission)


ROUTES = (page_route("/roles", list_roles, "Roles.", RoleListQuery),)
