"""Rights in a hypothetical state: with further assignments and group memberships."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.authorization import checks
from aizen_hub.problems import BadInput
from aizen_hub.rbac.assignment import ALWAYS, Assignment, Interval
from aizen_hub.rbac.group_closure import MembershipPath
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_a = tables.assignments


@dataclass(frozen=True, slots=True)
class HypotheticalState:
    """A hypothetical state: further assignments and group memberships, or another time.

    Attributes
    ----------
    assignments : tuple of (str, str, Identity)
        Role, scope and holder of each further assignment.
    at : datetime or None
        None: the current time.
    """

    assignments: tuple[tuple[str, str, Identity], ...] = ()
    groups: tuple[str, ...] = ()
    at: datetime | None = None


def hypothetical_rights(tx: ReadTransaction, identity: Identity, hypothesis: HypotheticalState) -> Rights:
    """Return the rights that an identity would have; raises BadInput for a role that does not exist."""
    present = tx.rights(identity)
    groups = tuple(Identity.group(name) for name in hypothesis.groups)
    present_paths = {
        held.via: MembershipPath(held.via, Interval(ends=held.confirmed_until))
        for held in present.held_roles
        if held.via
    }
    added_paths: dict[tuple[Identity, ...], MembershipPath] = {}
    for group in groups:
        added_paths[(group,)] = MembershipPath((group,))
        for parent in checks.transitive_groups(tx, group):
            added_paths[(group, parent)] = MembershipPath((group, parent))
    held = [
        Assignment(
            role.assignment_id,
            role.role,
            role.scope,
            role.via[-1] if role.via else identity,
            Interval(role.interval.starts, role.granted_until),
            role.creator,
        )
        for role in present.held_roles
    ]
    added_groups = {path.groups[-1] for path in added_paths.values()}
    rows = tx.conn.execute(select(_a).where(_a.c.identity.in_([str(group) for group in added_groups])))
    group_assignments = [
        Assignment(str(row.id), row.role, row.scope, Identity.parse(row.identity), Interval(row.starts, row.ends))
        for row in rows
    ]
    held_ids = {assignment.id for assignment in held}
    hypothetical = [
        Assignment(f"hypothetical-{index}", role, scope, holder, ALWAYS)
        for index, (role, scope, holder) in enumerate(hypothesis.assignments)
    ]
    for assignment in hypothetical:
        if assignment.role not in tx.roles:
            raise BadInput(f"there is no role `{assignment.role[:80]}`")
    return compile_rights(
        identity,
        active=present.active,
        paths=[*present_paths.values(), *added_paths.values()],
        assignments=[
            *held,
            *(assignment for assignment in group_assignments if assignment.id not in held_ids),
            *hypothetical,
        ],
        roles=tx.roles,
        locks=[lock for locks in present.locks.values() for lock in locks],
        member_permissions=tx.catalog.member_permissions,
        revision=present.revision,
        archive_rule=present.archive_rule,
    )
