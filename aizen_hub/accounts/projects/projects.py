"""Projects: making, showing, listing and deleting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.projects import members as project_members
from aizen_hub.accounts.roles import assignments, limits
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, message, plain, table
from aizen_hub.problems import Conflict, NotFound, ProjectRequired
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

_p = tables.projects


def create(
    tx: Write, name: str, *, description: str = "", config: str | None = None, owner: Identity | None = None
) -> Result:
    """Make a project; its creator gets the catalog's creator role in it, and the members of the file their roles.

    Parameters
    ----------
    config : str, optional
        Text of a project users file; all of it applies in this transaction, or the project is not made.
    owner : Identity, optional
        Who becomes its admin, where the operator makes it for somebody.

    Raises
    ------
    Denied
        The permission to create projects is missing.
    BadInput, Conflict
        The name cannot be, is taken, was used before, or looks like another; faults in the file.
    LimitReached
        The creator has as many projects as they may have.
    Escalation
        The file gives what the creator may not give.
    """
    gate.need_command(tx, "create_project")
    name = names.canonical(name, NameKind.PROJECT)
    creator = owner if owner is not None and gate.above_roles(tx) else tx.actor.identity
    if not gate.above_roles(tx):
        limits.need_room(tx, creator, SYSTEM, LimitKind.PROJECTS, limits.projects_of_creator(tx, creator))
    if owner is not None:
        _need_able(tx, creator)
    names.reserve(tx, name, NameKind.PROJECT)
    tx.conn.execute(
        insert(_p).values(
            name=name,
            description=description[:1_000],
            created_by=str(creator),
            created=tx.now,
            version=tx.state.revision + 1,
        )
    )
    wrote = recorded.rows(recorded.put(_p, name, {"created_by": str(creator)}))
    tx.change("project", {"project": name, "did": "create", **wrote}, [f"project:{name}"])
    tx.audit("project.created", project=name, details={"by": str(creator)})
    role = tx.catalog.creator_role
    if role is not None and (owner is not None or not gate.above_roles(tx)):
        assignments.put(tx, role, name, creator, reason="made the project", creator=True)
    if config is not None:
        project_members.add(tx, name, config)
    return message(f"created the project `{name}`", project=name, version=tx.revision, role=role)


def show(tx: Write, name: str | None) -> Result:
    """Show a project: its members to those who may list roles in it, and the limits that bind the asker.

    Raises
    ------
    ProjectRequired
        None is named and none is set.
    NotFound, Denied
        It does not exist for the asker; the permission is missing.
    """
    row = _row(tx, _named(tx, name))
    gate.need_command(tx, "show_project", row.name)
    data = {
        "project": row.name,
        "description": row.description,
        "created": plain(row.created),
        "created_by": row.created_by,
        "version": row.version,
        "limits": {
            kind.value: {"value": bound.value, "source": bound.source}
            for kind, bound in limits.of(tx, tx.actor.identity, row.name).items()
        },
    }
    if gate.allowed(tx, _see_members(tx), row.name):
        data["members"] = project_members.listed(tx, row.name)
    return Result("object", f"the project `{row.name}`", data=data)


def list_projects(tx: Write) -> Result:
    """List the projects that exist for the asker, with the roles the asker has there."""
    if gate.above_roles(tx):
        rows: Any = tx.conn.execute(select(_p).order_by(_p.c.name)).all()
        return table(("project", "description", "roles"), [(row.name, row.description, []) for row in rows])
    gate.in_person(tx)
    rights = gate.rights(tx)
    found = [
        (row.name, row.description, list(sessions.roles_in(tx, rights, row.name)))
        for row in gate.visible_projects(tx, tx.actor.identity)
    ]
    return table(("project", "description", "roles"), found, "" if found else "you have no role in any project")


def set_project(tx: Write, name: str) -> Result:
    """Make a project the current one of the actor's session; the client then exchanges its token."""
    canonical = names.known_as(name, NameKind.PROJECT)
    if canonical is None:
        raise gate.no_project(name)
    gate.need_command(tx, "set_project", canonical)
    if tx.actor.session is None:
        raise Conflict("there is no session here whose project could be set", remedy="use it in a notebook")
    chosen = sessions.set_project(tx, tx.actor.session, canonical)
    return message(f"the current project is `{chosen}`", renew=True, project=chosen)


def export(tx: Write, name: str) -> Result:
    """Return the configuration of a project, with its members for those who may see them; `restore` reads it."""
    row = _row(tx, _named(tx, name))
    gate.need_command(tx, "exportconfig_project", row.name)
    data: dict[str, Any] = {"project": row.name, "description": row.description, "version": row.version}
    if gate.allowed(tx, _see_members(tx), row.name):
        data["members"] = project_members.listed(tx, row.name)
    tx.audit("project.exported", project=row.name, details={"members": "members" in data})
    return Result("object", f"the configuration of `{row.name}`", data=data)


def describe(tx: Write, name: str, description: str) -> None:
    """Change the description. For the functions of this room."""
    if _row(tx, name).description == description[:1_000]:
        return
    tx.conn.execute(update(_p).where(_p.c.name == name).values(description=description[:1_000]))
    tx.change("project", {"project": name, "did": "describe"}, [f"project:{name}"])
    tx.audit("project.described", project=name)


def remove(tx: Write, name: str) -> Result:
    """Delete a project: every role, limit, lock, alert and session in it goes, and its name stays reserved (T-47)."""
    row = _row(tx, _named(tx, name))
    gate.need_command(tx, "delete_project", row.name)
    a = tables.assignments
    for held in tx.conn.execute(select(a).where(a.c.scope == row.name)).all():
        assignments.remove(tx, held.role, row.name, Identity.parse(held.identity), reason="project deleted")
    bounds, rules = tables.scope_limits, tables.mappings
    bound = tx.conn.execute(select(bounds.c.identity, bounds.c.kind).where(bounds.c.scope == row.name)).all()
    ruled = tx.conn.execute(select(rules.c.id).where(rules.c.project == row.name)).scalars().all()
    for one, column in (
        (bounds, bounds.c.scope),
        (tables.project_alerts, tables.project_alerts.c.project),
        (rules, rules.c.project),
    ):
        tx.conn.execute(delete(one).where(column == row.name))
    locks.forget(tx, LockTarget.PROJECT, row.name)
    ended = sessions.end_in_project(tx, row.name, "project-deleted")
    tx.conn.execute(delete(_p).where(_p.c.id == row.id))
    names.retire(tx, row.name, NameKind.PROJECT)
    wrote = recorded.rows(
        *(recorded.gone(bounds, one.identity, one.kind, row.name) for one in bound),
        *(recorded.gone(rules, number) for number in ruled),
        recorded.gone(_p, row.name),
    )
    tx.change("project", {"project": row.name, "did": "delete", **wrote}, [f"project:{row.name}"])
    tx.audit("project.deleted", project=row.name)
    return message(f"deleted the project `{row.name}`", project=row.name, sessions_ended=ended)


def exists(tx: Read, name: str) -> bool:
    return tx.conn.execute(select(_p.c.id).where(_p.c.name == name)).first() is not None


def _need_able(tx: Read, owner: Identity) -> None:
    # Else the project would begin without anybody who can look after it.
    assignments.need_identity(tx, owner)
    if not tx.rights(owner).active or locks.is_locked(tx, LockTarget.IDENTITY, str(owner)):
        raise Conflict(f"`{owner.name}` cannot sign in, so the project would have no admin")


def _named(tx: Write, name: str | None) -> str:
    chosen = tx.actor.project if name is None else names.known_as(name, NameKind.PROJECT)
    if chosen is None and name is None:
        raise ProjectRequired("no project is named and none is set", remedy="`set project <name>` first")
    if chosen is None:
        raise gate.no_project(name or "")
    gate.need_project(tx, chosen)
    return chosen


def _row(tx: Read, name: str) -> Any:
    row = tx.conn.execute(select(_p).where(_p.c.name == name)).first()
    if row is None:
        raise NotFound(f"there is no project `{name}`")
    return row


def _see_members(tx: Read) -> str:
    return gate.command_permission(tx, "list_roles") or gate.permission(tx, "access")
