"""Lock state of identities, projects and sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_l = tables.locks


def is_locked(tx: ReadTransaction, target: LockTarget, name: str) -> bool:
    """Tell whether a lock on exactly this identity (``kind:name``), project or session is in force."""
    return name in locked_names(tx, target, name)


def locked_names(tx: ReadTransaction, target: LockTarget, name: str | None = None) -> frozenset[str]:
    """Return the names of one kind that are locked now, all or only ``name``."""
    query = select(_l.c.name).where(_l.c.target == target.value, or_(_l.c.ends.is_(None), _l.c.ends > tx.now))
    if name is not None:
        query = query.where(_l.c.name == name)
    return frozenset(tx.conn.execute(query).scalars())
