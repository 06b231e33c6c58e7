"""What taking an assignment away, or putting another role in its place, would change for its holder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from aizen_hub.authorization import checks
from aizen_hub.authorization.queries import role_coverage
from aizen_hub.rbac.engine import effective_permissions
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.rights import HeldRole
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, permissions_of_role
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction


@dataclass(frozen=True, slots=True)
class RevocationPreview:
    """What the loss of one assignment changes for its holder; for a group, for the group as such.

    Attributes
    ----------
    lost : tuple of str
        Commands that the holder may run now and not afterwards, in that scope.
    remaining : tuple of HeldRole
        What still gives rights in that scope.
    members : int
        Users and service accounts that hold it through the group; 0 for other identities.
    running_jobs : int
        Jobs of the holder that run in that project.
    gained : tuple of str
        Commands that the holder may run only afterwards; none without a role in the place of the assignment.
    """

    lost: tuple[str, ...]
    remaining: tuple[HeldRole, ...]
    members: int
    running_jobs: int
    gained: tuple[str, ...] = ()


def preview_revocation(
    tx: ReadTransaction,
    assignment_id: int,
    scope: str,
    holder: Identity,
    *,
    besides: Collection[int] = (),
    replacement: Role | None = None,
) -> RevocationPreview:
    """Return what revoking one assignment of ``holder`` in ``scope`` would change.

    Parameters
    ----------
    besides : collection of int
        Further assignments that are revoked together with it.
    replacement : Role, optional
        The role that the holder gets in its place.
    """
    rights = tx.rights(holder)
    kind = ScopeKind.SYSTEM if scope == SYSTEM else ScopeKind.PROJECT
    ended = {str(number) for number in (assignment_id, *besides)}
    without = replace(
        rights, held_roles=tuple(held for held in rights.held_roles if held.via or held.assignment_id not in ended)
    )
    permissions = effective_permissions(without, scope, tx.now)
    if replacement is not None:
        permissions |= permissions_of_role(replacement, scope, tx.catalog.member_permissions)
    before = role_coverage.allowed_commands(tx.catalog, effective_permissions(rights, scope, tx.now), kind)
    after = role_coverage.allowed_commands(tx.catalog, permissions, kind)
    remaining = tuple(
        held for held in without.held_roles if held.scope in (scope, SYSTEM) and held.is_effective(tx.now)
    )
    members = 0
    if holder.kind is IdentityKind.GROUP:
        reached = checks.transitive_members(tx, [holder])
        members = sum(member.kind is not IdentityKind.GROUP for member in reached)
    lost = tuple(entry.name for entry in before if entry not in set(after))
    gained = () if replacement is None else tuple(entry.name for entry in after if entry not in set(before))
    return RevocationPreview(lost, remaining, members, _running_jobs(tx, holder, scope), gained)


def _running_jobs(tx: ReadTransaction, holder: Identity, scope: str) -> int:
    jobs = tables.jobs
    if scope == SYSTEM or holder.kind is not IdentityKind.USER:
        return 0
    query = select(func.count()).select_from(jobs)
    query = query.where(jobs.c.project == scope, jobs.c.user == holder.name, jobs.c.ended.is_(None))
    return tx.conn.execute(query).scalar_one()
