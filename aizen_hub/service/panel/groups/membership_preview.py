"""What a change of a group's members gives or takes, counted after nesting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.effective_access import HeldAccess, list_given_access
from aizen_hub.rbac.identity import Identity, IdentityKind

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
    around = sorted({group, *checks.transitive_groups(tx, group)}, key=str)
    gives = tuple(held for holder in around for held in list_given_access(tx, holder, projects=viewer.projects))
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
