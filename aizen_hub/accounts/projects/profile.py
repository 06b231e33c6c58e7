"""What a project says of itself: its description, and whether every registered user may find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from aizen_hub.accounts.projects.lookup import get_project, resolve_project, set_project_description
from aizen_hub.authorization import checks
from aizen_hub.authorization.lock_state import is_archived
from aizen_hub.commands.result import Result, message_result
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_p = tables.projects


def update_profile(
    tx: WriteTransaction, name: str, *, description: str | None = None, listed: bool | None = None
) -> Result:
    """Change the description of a project, and whether it is listed; None leaves a value as it is.

    A listed project is shown by name and description to every registered user, who may ask for a role in it. No
    right changes.

    Raises
    ------
    NotFound, Denied
        The project does not exist for the actor; the permission to alter it is missing.
    BadInput
        The description is too long or has characters that cannot be shown.
    """
    project = resolve_project(tx, name)
    checks.require_command(tx, "alter_project", project)
    if description is not None:
        set_project_description(tx, project, description)
    if listed is not None and get_project(tx, project).listed != listed:
        tx.conn.execute(update(_p).where(_p.c.name == project).values(listed=listed))
        wrote = change_records.change_payload(change_records.row_updated(_p, project, {"listed": listed}))
        tx.record_change("project", {"project": project, "did": "list", **wrote}, [f"project:{project}"])
        tx.audit("project.listed", project=project, details={"listed": listed})
    return message_result(f"saved the settings of `{project}`", project=project)


def listed_projects(tx: ReadTransaction, text: str = "", *, after: str = "", limit: int = 100) -> Sequence[Any]:
    """Return name and description of the projects that every registered user may know, in the order of their names.

    Archived ones are left out: no role there can be requested.

    Parameters
    ----------
    text : str
        Part of the name.
    after : str
        Only names greater than this one.
    """
    query = select(_p.c.name, _p.c.description).where(_p.c.listed, _p.c.name > after, ~is_archived(_p.c.name))
    if text:
        query = query.where(_p.c.name.contains(text.casefold(), autoescape=True))
    return tx.conn.execute(query.order_by(_p.c.name).limit(limit)).all()
