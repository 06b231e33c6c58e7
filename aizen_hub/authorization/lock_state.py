"""Lock state of identities, projects and sessions, and which projects are archived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, or_, select

from aizen_hub.problems import Denied
from aizen_hub.rbac.assignment import Lock, LockTarget
from aizen_hub.rbac.engine import deny_archived
from aizen_hub.rbac.messages import describe_restorers
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_l = tables.locks


def is_locked(tx: ReadTransaction, target: LockTarget, name: str) -> bool:
    """Tell whether a lock on exactly this identity (``kind:name``), project or session is in force."""
    return name in locked_names(tx, target, name)


def is_archived(project: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a project, by the column of its name, is archived."""
    return project.in_(select(_l.c.name).where(_l.c.target == LockTarget.ARCHIVE.value))


def archived_error(tx: ReadTransaction, project: str) -> Denied | None:
    """Return the error for what would change a project, if it is archived; the words are those of the decision.

    For changes that no permission decides, such as the start of a server; the caller has checked that the project may
    be known.
    """
    row = tx.conn.execute(
        select(_l.c.id, _l.c.reason).where(_l.c.target == LockTarget.ARCHIVE.value, _l.c.name == project)
    ).first()
    if row is None:
        return None
    rule = tx.catalog.archive_rule
    decision = deny_archived(Lock(str(row.id), LockTarget.ARCHIVE, project, reason=row.reason), rule)
    return Denied(
        decision.sentence,
        remedy=f"ask {describe_restorers(rule.restorers)} to restore it",
        extensions={"reason": decision.reason.value},
    )


def locked_names(tx: ReadTransaction, target: LockTarget, name: str | None = None) -> frozenset[str]:
    """Return the names of one kind that are locked now, all or only ``name``."""
    query = select(_l.c.name).where(_l.c.target == target.value, or_(_l.c.ends.is_(None), _l.c.ends > tx.now))
    if name is not None:
        query = query.where(_l.c.name == name)
    return frozenset(tx.conn.execute(query).scalars())
