"""What all pages of one project share: its facts, its tabs, and who may see them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, or_, select

from aizen_hub.accounts.projects import lookup, roster
from aizen_hub.accounts.projects.roster import RosterFilter
from aizen_hub.authorization import checks
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.store import tables
from aizen_hub.store.transaction import ReadTransaction

_l = tables.locks


def require_readable(viewer: Viewer, name: str) -> Any:
    """Return the row of a project whose members the viewer may read; else raise the problem of a missing page."""
    viewer.require_project(name)
    return lookup.get_project(viewer.tx, name)


def require_visible(viewer: Viewer, name: str) -> Any:
    """Return the row of a project that exists for the viewer; else raise the problem of a missing page (R72)."""
    if not checks.can_see_project(viewer.tx, viewer.identity, name):
        raise not_in_panel()
    return lookup.get_project(viewer.tx, name)


def read_head(viewer: Viewer, project: Any, tab: str) -> dict[str, Any]:
    """Return the variables of the head of a project's page; the viewer may read the members.

    Parameters
    ----------
    tab : str
        The current one: ``members``, ``matrix``, ``requests``, ``audit``, ``settings``.
    """
    tx, name = viewer.tx, project.name
    members = roster.roster_of(tx, name, RosterFilter())
    return {
        "project": project,
        "tab": tab,
        "member_count": roster.count_accounts(tx, members),
        "locked": stopped_by(tx, name),
        "may_read_audit": viewer.may("audit", name),
    }


def stopped_by(tx: ReadTransaction, project: str) -> Any:
    """Return the row of the lock that stops a project now, else that of its archive; None if it is in use.

    Its target tells which of both it is.
    """
    names = (_l.c.name == project, or_(_l.c.ends.is_(None), _l.c.ends > tx.now))
    for target in (LockTarget.PROJECT, LockTarget.ARCHIVE):
        row = tx.conn.execute(select(_l).where(_l.c.target == target.value, *names)).first()
        if row is not None:
            return row
    return None


def count_running(viewer: Viewer, project: str) -> dict[str, int]:
    """Return how many servers and jobs of a project run now."""
    sessions, jobs = tables.sessions, tables.jobs

    def count(table: Any) -> int:
        query = select(func.count()).select_from(table).where(table.c.project == project, table.c.ended.is_(None))
        return viewer.tx.conn.execute(query).scalar_one()

    return {"servers": count(sessions), "jobs": count(jobs)}
