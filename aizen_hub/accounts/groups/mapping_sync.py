"""What the providers report of groups, and what the mapping rules make of it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts.groups.mapping_pattern import Pattern
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.roles import assignments
from aizen_hub.problems import Conflict
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.role import ScopeKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.store.rights.memberships import chunks
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

_KEEP_REPORTS = timedelta(days=30)
_t, _a, _g, _m, _r = tables.mappings, tables.assignments, tables.groups, tables.memberships, tables.reported_groups

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gift:
    """What one rule gives to one group."""

    group: str
    role: str
    project: str


def reported(tx: Write, user: str, provider: str, groups: Collection[str]) -> None:
    """Keep what a provider just said of a person; for the functions of this room."""
    number = tx.conn.execute(select(tables.users.c.id).where(tables.users.c.name == user)).scalar_one()
    where = (_r.c.user_id == number, _r.c.provider == provider)
    values = {"groups": sorted(groups), "seen_at": tx.now}
    if tx.conn.execute(update(_r).where(*where).values(**values)).rowcount == 0:
        tx.conn.execute(insert(_r).values(user_id=number, provider=provider, **values))


def apply(tx: Write, provider: str, groups: Collection[str]) -> None:
    """Give to these groups what the rules of their provider say.

    Never a reason to refuse a login: a group whose name is taken here, or a role that is gone, is passed over.
    """
    gifts = _gifts(tx, provider, groups)
    if not gifts:
        return
    present: set[Gift] = set()
    for chunk in chunks(sorted({f"{Kind.GROUP}:{one.group}" for one in gifts})):
        rows = tx.conn.execute(select(_a.c.identity, _a.c.role, _a.c.scope).where(_a.c.identity.in_(chunk)))
        present |= {Gift(Identity.parse(row.identity).name, row.role, row.scope) for row in rows}
    for gift in sorted(gifts - present, key=lambda one: (one.group, one.project, one.role)):
        if _has_group(tx, provider, gift.group):
            to = Identity.group(gift.group)
            assignments.put(tx, gift.role, gift.project, to, reason=f"mapping rule of {provider}", mapped=True)


def forget_old(tx: Write) -> None:
    """Drop reports about people who have not been seen for long."""
    tx.conn.execute(delete(_r).where(_r.c.seen_at < tx.now - _KEEP_REPORTS))


def _gifts(tx: Write, provider: str, groups: Iterable[str]) -> frozenset[Gift]:
    rows = tx.conn.execute(select(_t).where(_t.c.provider == provider)).all()
    if not rows:
        return frozenset()
    wanted = set(groups)
    found = {gift for row in rows for gift in _of_rule(row, wanted)}
    projects: set[str] = set()
    for chunk in chunks(sorted({one.project for one in found})):
        projects |= set(
            tx.conn.execute(select(tables.projects.c.name).where(tables.projects.c.name.in_(chunk))).scalars()
        )
    roles = tx.roles
    return frozenset(
        one
        for one in found
        if one.project in projects and one.role in roles and ScopeKind.PROJECT in roles[one.role].scopes
    )


def _of_rule(row: Any, groups: set[str]) -> Iterator[Gift]:
    pattern = Pattern.parse(row.group)
    if not pattern.template:
        if pattern.text in groups:
            yield Gift(pattern.text, row.role, row.project)
        return
    for group in groups:
        project = pattern.project_in(group)
        if project is not None:
            yield Gift(group, row.role, project)


def _has_group(tx: Write, provider: str, name: str) -> bool:
    """Make the group if it is not there; tell whether it is one that this provider feeds."""
    row = tx.conn.execute(select(_g.c.provider).where(_g.c.name == name)).first()
    if row is None:
        try:
            names.reserve(tx, name, NameKind.GROUP)
        except Conflict as error:
            log.warning("group `%s` of provider `%s` is not mapped: %s", show(name), provider, error.detail)
            return False
        tx.conn.execute(insert(_g).values(name=name, description="made by a mapping rule", provider=provider))
        wrote = recorded.rows(recorded.put(_g, name, {"provider": provider}))
        tx.change("group", {"group": name, "did": "create", "provider": provider, **wrote}, [f"group:{name}"])
        tx.audit("group.created", details={"group": name, "provider": provider, "why": "mapping rule"})
        return True
    if row.provider != provider:
        log.warning("group `%s` of provider `%s` is not mapped: another group has its name", show(name), provider)
    return bool(row.provider == provider)


def meet(tx: Write, provider: str, pattern: Pattern) -> dict[str, int]:
    """Let all rules act on the groups that meet this pattern; return these groups with how many people are in them."""
    people: defaultdict[str, list[tuple[str, Any]]] = defaultdict(list)
    query = select(tables.users.c.name, _r.c.groups, _r.c.seen_at).join(_r, _r.c.user_id == tables.users.c.id)
    for row in tx.conn.execute(query.where(_r.c.provider == provider)):
        for group in filter(pattern.matches, row.groups):
            people[group].append((row.name, row.seen_at))
    meant = {one.group for one in _gifts(tx, provider, people)}
    apply(tx, provider, meant)
    for group in sorted(meant):
        number = tx.conn.execute(select(_g.c.id).where(_g.c.name == group, _g.c.provider == provider)).scalar()
        if number is None:
            continue
        where = (_m.c.group_id == number, _m.c.provider == provider)
        present = set(tx.conn.execute(select(_m.c.member).where(*where)).scalars())
        new = [(f"{Kind.USER}:{user}", seen) for user, seen in people[group] if f"{Kind.USER}:{user}" not in present]
        if new:
            tx.conn.execute(
                insert(_m),
                [{"group_id": number, "member": one, "provider": provider, "seen_at": seen} for one, seen in new],
            )
            wrote = recorded.rows(*(recorded.put(_m, one, {}, provider, group) for one, _ in new))
            tx.change("directory-groups", {"group": group, "provider": provider, **wrote}, [one for one, _ in new])
    return {group: len(people[group]) for group in meant}


def stale(tx: Read, provider: str, role: str) -> list[Gift]:
    """Return what no rule gives any more."""
    query = select(_g.c.name, _a.c.scope).join(_a, _a.c.identity == f"{Kind.GROUP}:" + _g.c.name)
    held = tx.conn.execute(query.where(_g.c.provider == provider, _a.c.role == role, _a.c.mapped)).all()
    rows = tx.conn.execute(select(_t).where(_t.c.provider == provider, _t.c.role == role)).all()
    given = {gift for row in rows for gift in _of_rule(row, {one.name for one in held})}
    return [gift for one in held if (gift := Gift(one.name, role, one.scope)) not in given]


def groups_of(tx: Read, user: str, provider: str) -> tuple[str, ...]:
    """Return the canonical names of the groups that the provider last reported of a user."""
    query = select(_r.c.groups).join(tables.users, _r.c.user_id == tables.users.c.id)
    return tuple(tx.conn.execute(query.where(tables.users.c.name == user, _r.c.provider == provider)).scalar() or ())
