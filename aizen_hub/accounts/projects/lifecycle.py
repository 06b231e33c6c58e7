"""Creation and deletion of projects, and the current project of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from aizen_hub.accounts import identities
from aizen_hub.accounts.names import normalization, reservation
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.projects import members
from aizen_hub.accounts.projects.lookup import get_project, resolve_project
from aizen_hub.accounts.roles import assignments, limits
from aizen_hub.accounts.sessions import locks, project_closing, server_sessions
from aizen_hub.authorization import checks, lock_state
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import Conflict
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.prose import check_prose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_p = tables.projects


def create_project(
    tx: WriteTransaction, name: str, *, description: str = "", config: str | None = None, owner: Identity | None = None
) -> Result:
    """Create a project. Its creator gets the catalog's creator role in it, the members of the file get their roles.

    Parameters
    ----------
    config : str, optional
        Text of a project users file; it is applied completely in this transaction, or the project is not created.
    owner : Identity, optional
        Who becomes the project's admin, if the operator creates it for a user.

    Raises
    ------
    Denied
        The permission to create projects is missing.
    BadInput, Conflict
        The name is invalid, taken, was used before, or looks like another; faults in the file; the owner cannot
        sign in.
    LimitReached
        The creator has reached the limit on projects.
    Escalation
        The file grants what the creator may not grant.
    """
    checks.require_command(tx, "create_project")
    name = normalization.canonical_name(name, NameKind.PROJECT)
    creator = owner if owner is not None and checks.is_operator(tx) else tx.actor.identity
    if not checks.is_operator(tx):
        limits.require_below_limit(tx, creator, SYSTEM, LimitKind.PROJECTS, limits.count_created_projects(tx, creator))
    if owner is not None:
        _require_active_owner(tx, creator)
    reservation.reserve_name(tx, name, NameKind.PROJECT)
    tx.conn.execute(
        insert(_p).values(
            name=name,
            description=check_prose(description, "description"),
            created_by=str(creator),
            created=tx.now,
            version=tx.state.revision + 1,
        )
    )
    wrote = change_records.change_payload(change_records.row_written(_p, name, {"created_by": str(creator)}))
    tx.record_change("project", {"project": name, "did": "create", **wrote}, [f"project:{name}"])
    tx.audit("project.created", project=name, details={"by": str(creator)})
    role = tx.catalog.creator_role
    if role is not None and (owner is not None or not checks.is_operator(tx)):
        assignments.unauthorized_write_assignment(tx, role, name, creator, reason="created the project", creator=True)
    pending_id = members.add_members(tx, name, config).pending_id if config is not None else None
    # Not `pending`, which says that nothing was done yet.
    more = {"members_pending": pending_id} if pending_id else {}
    waits = "; its members wait for confirmation in the panel" if pending_id else ""
    return message_result(f"created project `{name}`{waits}", project=name, version=tx.revision, role=role, **more)


def set_current_project(tx: WriteTransaction, name: str) -> Result:
    """Set the project of the actor's session; the client then exchanges its token."""
    canonical = normalization.canonical_or_none(name, NameKind.PROJECT)
    if canonical is None:
        raise checks.project_not_found(name)
    checks.require_command(tx, "set_project", canonical)
    if tx.actor.session is None:
        raise Conflict("there is no session whose project could be set", remedy="use this command in a notebook")
    current = server_sessions.set_session_project(tx, tx.actor.session, canonical)
    return message_result(f"the current project is `{current}`", renew=True, project=current)


def delete_project(tx: WriteTransaction, name: str) -> Result:
    """Delete a project with all its roles, limits, locks, alerts and sessions; its name stays reserved (T-47)."""
    row = get_project(tx, resolve_project(tx, name))
    checks.require_command(tx, "delete_project", row.name)
    a = tables.assignments
    for assignment in tx.conn.execute(select(a).where(a.c.scope == row.name)).all():
        assignments.unauthorized_delete_assignment(
            tx, assignment.role, row.name, Identity.parse(assignment.identity), reason="project deleted"
        )
    limits_table, rules_table = tables.scope_limits, tables.mapping_rules
    limit_rows = tx.conn.execute(
        select(limits_table.c.identity, limits_table.c.kind).where(limits_table.c.scope == row.name)
    ).all()
    rule_ids = tx.conn.execute(select(rules_table.c.id).where(rules_table.c.project == row.name)).scalars().all()
    for dependent, column in (
        (limits_table, limits_table.c.scope),
        (tables.project_alerts, tables.project_alerts.c.project),
        (rules_table, rules_table.c.project),
    ):
        tx.conn.execute(delete(dependent).where(column == row.name))
    for target in (LockTarget.PROJECT, LockTarget.ARCHIVE):
        locks.discard_lock(tx, target, row.name)
    closed = project_closing.close_project_sessions(tx, row.name, project_closing.PROJECT_DELETED)
    tx.conn.execute(delete(_p).where(_p.c.id == row.id))
    reservation.retire_name(tx, row.name, NameKind.PROJECT)
    wrote = change_records.change_payload(
        *(
            change_records.row_deleted(limits_table, limit_row.identity, limit_row.kind, row.name)
            for limit_row in limit_rows
        ),
        *(change_records.row_deleted(rules_table, rule_id) for rule_id in rule_ids),
        change_records.row_deleted(_p, row.name),
    )
    tx.record_change("project", {"project": row.name, "did": "delete", **wrote}, [f"project:{row.name}"])
    tx.audit("project.deleted", project=row.name)
    text = f"deleted project `{row.name}`" + (f"; {closed.sentence}" if closed.sentence else "")
    return message_result(text, project=row.name, **closed.data)


def _require_active_owner(tx: ReadTransaction, owner: Identity) -> None:
    # Otherwise the new project would have no active admin.
    identities.require_identity(tx, owner)
    if not tx.rights(owner).active or lock_state.is_locked(tx, LockTarget.IDENTITY, str(owner)):
        raise Conflict(f"`{owner.name}` cannot sign in, so the project would have no admin")
