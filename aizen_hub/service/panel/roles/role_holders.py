"""Who has some roles: the first accounts by name, and how many more, for the previews of what a change does to them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, or_, select

from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.store import tables

NAMED = 8
_MAX_READ = 2_000
_a = tables.assignments


@dataclass(frozen=True, slots=True)
class RoleHolders:
    """Users, groups and service accounts to which roles are assigned now or later.

    Attributes
    ----------
    first : tuple of Identity
    more : int
        How many are not among the first.
    is_partial : bool
        Whether only those are counted that the viewer may see.
    """

    first: tuple[Identity, ...]
    more: int
    is_partial: bool


def first_holders(viewer: Viewer, roles: Collection[str]) -> RoleHolders:
    """Return who has at least one of some roles, as far as the viewer may see it."""
    holder = _a.c.identity
    conditions = [_a.c.role.in_(sorted(roles)), or_(_a.c.ends.is_(None), _a.c.ends > viewer.tx.now)]
    is_partial = viewer.projects is not None or viewer.people is not None
    if viewer.projects is not None:
        conditions.append(_a.c.scope.in_(sorted(viewer.projects)))
    query = select(holder).where(*conditions).distinct().order_by(holder)
    execute = viewer.tx.conn.execute
    if is_partial:
        rows = map(Identity.parse, execute(query.limit(_MAX_READ)).scalars())
        seen = [identity for identity in rows if viewer.sees(identity)]
        return RoleHolders(tuple(seen[:NAMED]), max(0, len(seen) - NAMED), True)
    first = tuple(map(Identity.parse, execute(query.limit(NAMED)).scalars()))
    total = execute(select(func.count(holder.distinct())).where(*conditions)).scalar_one()
    return RoleHolders(first, total - len(first), False)
