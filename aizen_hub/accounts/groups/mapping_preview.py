"""What the mapping rules would give to groups that a provider might report; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from aizen_hub.accounts.groups.mapping_pattern import GroupPattern
from aizen_hub.accounts.groups.mapping_sync import MappedGrant, mapped_grants
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_g, _m = tables.groups, tables.memberships


@dataclass(frozen=True, slots=True)
class GroupOutcome:
    """What one group would give.

    Attributes
    ----------
    group : str
        As it was written.
    grants : tuple of MappedGrant
        By project and role.
    obstacle : str
        Why it gives nothing, in a sentence; empty otherwise.
    """

    group: str
    grants: tuple[MappedGrant, ...]
    obstacle: str


def preview_groups(tx: ReadTransaction, provider: str, groups: Iterable[str]) -> list[GroupOutcome]:
    """Return what each of these groups would give to a person whom the provider reports in it."""
    canonical = {group: normalization.canonical_or_none(group, NameKind.GROUP) for group in dict.fromkeys(groups)}
    usable = {
        name
        for group, name in canonical.items()
        if name is not None and ("=" in group or normalization.is_canonical(group, name))
    }
    grants: dict[str, list[MappedGrant]] = {}
    for grant in mapped_grants(tx, provider, usable):
        grants.setdefault(grant.group, []).append(grant)
    rows = tx.conn.execute(select(_g.c.name, _g.c.provider).where(_g.c.name.in_(sorted(grants))))
    taken = {row.name: row.provider for row in rows if row.provider != provider}
    return [
        GroupOutcome(
            group,
            ()
            if name in taken
            else tuple(sorted(grants.get(name or "", ()), key=lambda grant: (grant.project, grant.role))),
            _obstacle(name, usable, grants, taken),
        )
        for group, name in canonical.items()
    ]


def _obstacle(
    name: str | None, usable: set[str], grants: dict[str, list[MappedGrant]], taken: dict[str, str | None]
) -> str:
    if name is None or name not in usable:
        return "This is not the name of a group."
    if name in taken:
        return f"Another group here has this name, with members from {taken[name] or 'local management'}."
    return "" if name in grants else "No rule fits, or its project does not exist: it gives nothing."


def count_people(tx: ReadTransaction, rules: Sequence[Any]) -> dict[int, tuple[int, int]]:
    """Return by rule how many groups fit it now, and how many memberships these have."""
    query = (
        select(_g.c.provider, _g.c.name, func.count(_m.c.id).label("members"))
        .outerjoin(_m, _m.c.group_id == _g.c.id)
        .where(_g.c.provider.is_not(None))
        .group_by(_g.c.provider, _g.c.name)
    )
    groups = tx.conn.execute(query).all()
    result = {}
    for rule in rules:
        pattern = GroupPattern.parse(rule.group)
        fitting = [row.members for row in groups if row.provider == rule.provider and pattern.matches(row.name)]
        result[rule.id] = (len(fitting), sum(fitting))
    return result
