"""Read access to projects: show, list and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.projects import members
from aizen_hub.accounts.projects.lookup import get_project, resolve_project
from aizen_hub.accounts.roles import limits
from aizen_hub.accounts.sessions import project_entry
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, table_result, to_json_value
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_p = tables.projects


def show_project(tx: WriteTransaction, name: str | None) -> Result:
    """Show a project with the limits that bind the actor, and its members if the actor may list roles in it.

    Raises
    ------
    ProjectRequired
        No project is named, and none is current.
    NotFound, Denied
        It does not exist for the actor; the permission is missing.
    """
    row = get_project(tx, resolve_project(tx, name))
    checks.require_command(tx, "show_project", row.name)
    data = {
        "project": row.name,
        "description": row.description,
        "created": to_json_value(row.created),
        "created_by": row.created_by,
        "version": row.version,
        "limits": {
            kind.value: {"value": bound.value, "source": bound.source}
            for kind, bound in limits.limits_of(tx, tx.actor.identity, row.name).items()
        },
    }
    if checks.is_allowed(tx, _members_permission(tx), row.name):
        data["members"] = members.list_members(tx, row.name)
    return Result("object", f"the project `{row.name}`", data=data)


def list_projects(tx: WriteTransaction) -> Result:
    """List the projects that exist for the actor, with the actor's roles in them."""
    if checks.is_operator(tx):
        rows: Any = tx.conn.execute(select(_p).order_by(_p.c.name)).all()
        return table_result(("project", "description", "roles"), [(row.name, row.description, []) for row in rows])
    checks.forbid_impersonation(tx)
    rights = checks.actor_rights(tx)
    visible_projects = [
        (row.name, row.description, list(project_entry.active_roles(tx, rights, row.name)))
        for row in checks.visible_projects(tx, tx.actor.identity)
    ]
    return table_result(
        ("project", "description", "roles"),
        visible_projects,
        "" if visible_projects else "you have no role in any project",
    )


def export_project(tx: WriteTransaction, name: str) -> Result:
    """Return the configuration of a project, and its members if the actor may list them; `import_project` reads it."""
    row = get_project(tx, resolve_project(tx, name))
    checks.require_command(tx, "exportconfig_project", row.name)
    data: dict[str, Any] = {"project": row.name, "description": row.description, "version": row.version}
    if checks.is_allowed(tx, _members_permission(tx), row.name):
        data["members"] = members.list_members(tx, row.name)
    tx.audit("project.exported", project=row.name, details={"members": "members" in data})
    return Result("object", f"the configuration of `{row.name}`", data=data)


def _members_permission(tx: ReadTransaction) -> str:
    return checks.command_permission(tx, "list_roles") or checks.endpoint_permission(tx, "access")
