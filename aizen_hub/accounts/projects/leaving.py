"""Leaving a project: a user gives up their own roles in it, without the right to revoke roles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles.last_holder import last_holder_guard
from aizen_hub.authorization import checks, lock_state
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import Conflict, Escalation
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_a = tables.assignments


def own_assignments(tx: ReadTransaction, identity: object, project: str) -> Sequence[Any]:
    """Return the direct assignments of an identity in a project."""
    query = select(_a).where(_a.c.identity == str(identity), _a.c.scope == project).order_by(_a.c.role)
    return tx.conn.execute(query).all()


def leave_project(tx: WriteTransaction, project: str) -> Result:
    """Delete the actor's own direct assignments in a project; what comes through groups stays.

    Raises
    ------
    NotFound
        There is no such project that the actor can see.
    Conflict
        The actor has no role of their own there, or one of a mapping rule, which would give it again.
    Escalation
        The actor created the project, or would lose a limit and keep access through a group.
    Denied
        The project is archived.
    LastHolder
        The project would be left without a holder of a protected role.
    """
    checks.forbid_impersonation(tx)
    checks.require_visible_project(tx, project)
    if project == SYSTEM:
        raise checks.project_not_found(project)
    if (archived := lock_state.archived_error(tx, project)) is not None:
        raise archived
    identity = tx.actor.identity
    rows = own_assignments(tx, identity, project)
    if not rows:
        raise Conflict(
            f"you have no role of your own in `{project}`", remedy="your access comes through a group: leave the group"
        )
    if any(row.mapped for row in rows):
        raise Conflict(
            f"a mapping rule gives you a role in `{project}`, and would give it again",
            remedy="ask the administrator of your directory to take you out of the group",
        )
    if any(row.creator for row in rows):
        raise Escalation(
            f"you created `{project}`, and its creator's role is not yours to give up",
            remedy=f"ask a holder of {', '.join(sorted(tx.catalog.creator_role_removers))}",
        )
    # Without its role a limit ends, and rights through a group would stay without it.
    through_groups = any(held.via and held.scope == project for held in tx.rights(identity).held_roles)
    if through_groups and any(tx.roles[row.role].limits for row in rows):
        raise Escalation(
            f"a limit of your role in `{project}` would end while a group still gives you access",
            remedy="ask an admin of the project",
        )
    pairs = [(row.role, project) for row in rows]
    if pending_changes.requires_confirmation(tx, pairs):
        raise Conflict("this role needs a confirmation", remedy="leave the project in the panel")
    with last_holder_guard(tx, pairs):
        for row in rows:
            assignments.unauthorized_delete_assignment(tx, row.role, project, identity, reason="left the project")
    return message_result(f"you have left `{project}`", left=[row.role for row in rows])
