"""What a change of a group's members, or of who joins it, gives or takes, counted after nesting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from aizen_hub.accounts import identities
from aizen_hub.accounts.users import registration
from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.effective_access import HeldAccess, list_granted_access
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.service.panel.visibility import Viewer

MAX_EXAMINED = 200
"""People whose present roles are read to say how many get or lose something."""


@dataclass(frozen=True, slots=True)
class MembershipPreview:
    """What the members would get from the group, or lose.

    Attributes
    ----------
    people : int
        Users among the members, in groups that are members too.
    gives : tuple of HeldAccess
        The roles of the group and of the groups around it that the viewer may see.
    affected : int or None
        How many of these people do not have one of these roles by another way; None where they are too many to examine.
    """

    people: int
    gives: tuple[HeldAccess, ...]
    affected: int | None


@dataclass(frozen=True, slots=True)
class DefaultPreview:
    """What everyone who is registered from now on gets, or no longer gets, as a member of the group.

    Attributes
    ----------
    gives : tuple of HeldAccess
        The roles of the group and of the groups around it that the viewer may see.
    is_complete : bool
        Whether the viewer sees the roles of all projects.
    members : int
        Members that the group has itself: they stay in it.
    replaced_by_roles : bool
        Whether those who are registered with a role do not join it.
    """

    gives: tuple[HeldAccess, ...]
    is_complete: bool
    members: int
    replaced_by_roles: bool


def preview_default(viewer: Viewer, group: Identity) -> DefaultPreview:
    """Return what setting whether every new person joins a group changes, for those registered from now on."""
    row = identities.get_group(viewer.tx, group.name)
    memberships = tables.memberships
    members = select(func.count()).select_from(memberships).where(memberships.c.group_id == row.id)
    return DefaultPreview(
        _list_granted(viewer, group),
        viewer.projects is None,
        viewer.tx.conn.execute(members).scalar_one(),
        group.name in registration.groups_replaced_by_roles(viewer.tx),
    )


def preview_joining(viewer: Viewer, group: Identity, members: Sequence[Identity]) -> MembershipPreview:
    """Return what members would get from a group."""
    return _preview(viewer, group, members, frozenset())


def preview_leaving(viewer: Viewer, group: Identity, member: Identity) -> MembershipPreview:
    """Return what a member would lose with a group."""
    around = frozenset({group, *checks.transitive_groups(viewer.tx, group)})
    return _preview(viewer, group, [member], around)


def _preview(
    viewer: Viewer, group: Identity, members: Sequence[Identity], ignored: frozenset[Identity]
) -> MembershipPreview:
    tx = viewer.tx
    gives = _list_granted(viewer, group)
    wanted = {(held.role, held.scope) for held in gives}
    people = [identity for identity in checks.transitive_members(tx, members) if identity.kind is IdentityKind.USER]
    affected = None
    if len(people) <= MAX_EXAMINED:
        affected = 0
        for person in people:
            held = {
                (item.role, item.scope)
                for item in tx.rights(person).held_roles
                if item.is_effective(tx.now) and not ignored.intersection(item.via)
            }
            affected += bool(wanted - held)
    return MembershipPreview(len(people), gives, affected)


def _list_granted(viewer: Viewer, group: Identity) -> tuple[HeldAccess, ...]:
    """Return the roles of a group and of the groups around it that the viewer may see."""
    around = sorted({group, *checks.transitive_groups(viewer.tx, group)}, key=str)
    return tuple(held for holder in around for held in list_granted_access(viewer.tx, holder, projects=viewer.projects))
