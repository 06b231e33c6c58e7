"""Synchronization of groups that providers report, and the assignments that mapping rules make for them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts.groups import mapping_sync
from aizen_hub.accounts.groups.mapping_pattern import GroupPattern
from aizen_hub.accounts.names import normalization, reservation
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles import assignments
from aizen_hub.problems import Conflict
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import ScopeKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.store.rights.memberships import chunked
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_KEEP_REPORTS = timedelta(days=30)
_t, _a, _g, _m, _r = tables.mapping_rules, tables.assignments, tables.groups, tables.memberships, tables.reported_groups
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MappedGrant:
    """A role in a project that one rule grants to one group."""

    group: str
    role: str
    project: str


def store_reported_groups(tx: WriteTransaction, user: str, provider: str, groups: Collection[str]) -> None:
    """Store the groups that a provider has just reported of a user, without an authorization check."""
    user_id = tx.conn.execute(select(tables.users.c.id).where(tables.users.c.name == user)).scalar_one()
    condition = (_r.c.user_id == user_id, _r.c.provider == provider)
    values = {"groups": sorted(groups), "seen_at": tx.now}
    if tx.conn.execute(update(_r).where(*condition).values(**values)).rowcount == 0:
        tx.conn.execute(insert(_r).values(user_id=user_id, provider=provider, **values))


def apply_rules(tx: WriteTransaction, provider: str, groups: Collection[str]) -> None:
    """Grant these groups what the rules of their provider say.

    Never a reason to refuse a login: a group whose name is taken here, or a role that no longer exists, is skipped.
    """
    grants = mapped_grants(tx, provider, groups)
    if not grants:
        return
    present: set[MappedGrant] = set()
    for chunk in chunked(sorted({f"{IdentityKind.GROUP}:{grant.group}" for grant in grants})):
        rows = tx.conn.execute(select(_a.c.identity, _a.c.role, _a.c.scope).where(_a.c.identity.in_(chunk)))
        present |= {MappedGrant(Identity.parse(row.identity).name, row.role, row.scope) for row in rows}
    for grant in sorted(grants - present, key=lambda grant: (grant.group, grant.project, grant.role)):
        if _ensure_group(tx, provider, grant.group):
            to = Identity.group(grant.group)
            assignments.unauthorized_write_assignment(
                tx, grant.role, grant.project, to, reason=f"mapping rule of {provider}", mapped=True
            )


def prune_reported_groups(tx: WriteTransaction) -> None:
    """Delete reports about users who have not been seen for long."""
    tx.conn.execute(delete(_r).where(_r.c.seen_at < tx.now - _KEEP_REPORTS))


def mapped_grants(tx: ReadTransaction, provider: str, groups: Iterable[str]) -> frozenset[MappedGrant]:
    """Return what the rules of a provider give to these canonical groups, in projects that exist."""
    rows = tx.conn.execute(select(_t).where(_t.c.provider == provider)).all()
    if not rows:
        return frozenset()
    group_names = set(groups)
    grants = {grant for row in rows for grant in _grants_of_rule(row, group_names)}
    projects: set[str] = set()
    for chunk in chunked(sorted({grant.project for grant in grants})):
        projects |= set(
            tx.conn.execute(select(tables.projects.c.name).where(tables.projects.c.name.in_(chunk))).scalars()
        )
    roles = tx.roles
    return frozenset(
        grant
        for grant in grants
        if grant.project in projects and grant.role in roles and ScopeKind.PROJECT in roles[grant.role].scopes
    )


def _grants_of_rule(row: Any, groups: set[str]) -> Iterator[MappedGrant]:
    pattern = GroupPattern.parse(row.group)
    if not pattern.is_template:
        if pattern.text in groups:
            yield MappedGrant(pattern.text, row.role, row.project)
        return
    for group in groups:
        project = pattern.extract_project(group)
        if project is not None:
            yield MappedGrant(group, row.role, project)


def _ensure_group(tx: WriteTransaction, provider: str, name: str) -> bool:
    """Create the group if it does not exist; return whether this provider feeds it."""
    row = tx.conn.execute(select(_g.c.provider).where(_g.c.name == name)).first()
    if row is None:
        try:
            reservation.reserve_name(tx, name, NameKind.GROUP)
        except Conflict as error:
            log.warning("group `%s` of provider `%s` is not mapped: %s", excerpt(name), provider, error.detail)
            return False
        tx.conn.execute(insert(_g).values(name=name, description="created by a mapping rule", provider=provider))
        wrote = change_records.change_payload(change_records.row_written(_g, name, {"provider": provider}))
        tx.record_change("group", {"group": name, "did": "create", "provider": provider, **wrote}, [f"group:{name}"])
        tx.audit("group.created", details={"group": name, "provider": provider, "why": "mapping rule"})
        return True
    if row.provider != provider:
        log.warning("group `%s` of provider `%s` is not mapped: another group has its name", excerpt(name), provider)
    return bool(row.provider == provider)


def apply_rules_to_matching(tx: WriteTransaction, provider: str, pattern: GroupPattern) -> dict[str, int]:
    """Apply all rules to the groups that match this pattern; return these groups with their number of users."""
    people: defaultdict[str, list[tuple[str, Any]]] = defaultdict(list)
    query = select(tables.users.c.name, _r.c.groups, _r.c.seen_at).join(_r, _r.c.user_id == tables.users.c.id)
    for row in tx.conn.execute(query.where(_r.c.provider == provider)):
        for group in filter(pattern.matches, row.groups):
            people[group].append((row.name, row.seen_at))
    mapped_groups = {grant.group for grant in mapped_grants(tx, provider, people)}
    apply_rules(tx, provider, mapped_groups)
    for group in sorted(mapped_groups):
        group_id = tx.conn.execute(select(_g.c.id).where(_g.c.name == group, _g.c.provider == provider)).scalar()
        if group_id is None:
            continue
        condition = (_m.c.group_id == group_id, _m.c.provider == provider)
        present = set(tx.conn.execute(select(_m.c.member).where(*condition)).scalars())
        new = [
            (f"{IdentityKind.USER}:{user}", seen_at)
            for user, seen_at in people[group]
            if f"{IdentityKind.USER}:{user}" not in present
        ]
        if new:
            tx.conn.execute(
                insert(_m),
                [
                    {"group_id": group_id, "member": new_member, "provider": provider, "seen_at": seen_at}
                    for new_member, seen_at in new
                ],
            )
            wrote = change_records.change_payload(
                *(change_records.row_written(_m, new_member, {}, provider, group) for new_member, _ in new)
            )
            tx.record_change(
                "directory-groups",
                {"group": group, "provider": provider, **wrote},
                [new_member for new_member, _ in new],
            )
    return {group: len(people[group]) for group in mapped_groups}


def stale_grants(tx: ReadTransaction, provider: str, role: str) -> list[MappedGrant]:
    """Return the mapped grants that no rule makes any more."""
    query = select(_g.c.name, _a.c.scope).join(_a, _a.c.identity == f"{IdentityKind.GROUP}:" + _g.c.name)
    assignments = tx.conn.execute(query.where(_g.c.provider == provider, _a.c.role == role, _a.c.mapped)).all()
    rows = tx.conn.execute(select(_t).where(_t.c.provider == provider, _t.c.role == role)).all()
    mapped = {grant for row in rows for grant in _grants_of_rule(row, {assignment.name for assignment in assignments})}
    return [
        grant
        for assignment in assignments
        if (grant := MappedGrant(assignment.name, role, assignment.scope)) not in mapped
    ]


def reported_groups_of(tx: ReadTransaction, user: str, provider: str) -> tuple[str, ...]:
    """Return the canonical names of the groups that the provider last reported of a user."""
    query = select(_r.c.groups).join(tables.users, _r.c.user_id == tables.users.c.id)
    return tuple(tx.conn.execute(query.where(tables.users.c.name == user, _r.c.provider == provider)).scalar() or ())


def sync_groups(tx: WriteTransaction, user: str, provider: str, groups: Sequence[str]) -> None:
    """Replace a user's memberships that come from this provider, and record that they were seen now (R63).

    A group that neither is set up here nor matches a mapping rule gives nothing and is skipped.
    """
    g, m = tables.groups, tables.memberships
    member = f"user:{user}"
    canonical_names = {group: normalization.canonical_or_none(group, NameKind.GROUP) for group in groups}
    # Distinguished names have canonicalization rules of their own.
    wanted = {
        name
        for group, name in canonical_names.items()
        if name is not None and ("=" in group or normalization.is_canonical(group, name))
    }
    mapping_sync.store_reported_groups(tx, user, provider, wanted)
    mapping_sync.apply_rules(tx, provider, wanted)
    rows = tx.conn.execute(select(g.c.id, g.c.name).where(g.c.provider == provider)).all()
    present = set(tx.conn.execute(select(m.c.group_id).where(m.c.member == member, m.c.provider == provider)).scalars())
    touched, wrote = [], []
    for row in rows:
        if row.name in wanted:
            if row.id in present:
                condition = (m.c.group_id == row.id, m.c.member == member, m.c.provider == provider)
                tx.conn.execute(update(m).where(*condition).values(seen_at=tx.now))
            else:
                tx.conn.execute(insert(m).values(group_id=row.id, member=member, provider=provider, seen_at=tx.now))
                wrote.append(change_records.row_written(m, member, {}, provider, row.name))
            touched.append(row.name)
        elif row.id in present:
            tx.conn.execute(delete(m).where(m.c.group_id == row.id, m.c.member == member, m.c.provider == provider))
            wrote.append(change_records.row_deleted(m, member, provider, row.name))
            touched.append(row.name)
    if touched:
        groups_now = sorted(wanted & {row.name for row in rows})
        payload = {"user": user, "provider": provider, "groups": groups_now, **change_records.change_payload(*wrote)}
        tx.record_change("directory-groups", payload, [member])
