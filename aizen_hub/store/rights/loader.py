"""From rows to compiled rights: a few indexed queries, however many users and assignments there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, select

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.rbac.assignment import Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.default_denials import Denials
from aizen_hub.rbac.group_closure import reach
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.limit import ScopeLimit
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, LimitKind, Role, ScopeKind
from aizen_hub.store import tables
from aizen_hub.store.raw_sql import fetch, places
from aizen_hub.store.rights.memberships import chunks, memberships
from aizen_hub.store.timestamps import from_microseconds


@dataclass(frozen=True, slots=True)
class Compiled:
    """Rights, and the names of everything they were made from."""

    rights: Rights
    uses: frozenset[str]


class RightsLoader:
    """Reads what one identity holds.

    Parameters
    ----------
    catalog : Catalog
        For the built-in roles.
    group_max_age_seconds : int
        How long a directory membership counts after it was last seen (R63).
    """

    def __init__(self, catalog: Catalog, group_max_age_seconds: int) -> None:
        self._catalog = catalog
        self._max_age = timedelta(seconds=group_max_age_seconds)
        self._denials = Denials(catalog.roles, catalog.member_permissions)

    def roles(self, conn: Connection) -> Mapping[str, Role]:
        """Return the built-in and the custom roles by name; a custom one never hides a built-in one (R75)."""
        table = tables.roles.c
        roles = dict(self._catalog.roles)
        for row in conn.execute(
            select(table.name, table.permissions, table.limits, table.scopes, table.description, table.category)
        ):
            roles.setdefault(
                row.name,
                Role(
                    row.name,
                    permissions=frozenset(map(Permission.parse, row.permissions)),
                    limits=MappingProxyType({LimitKind(kind): value for kind, value in row.limits.items()}),
                    scopes=frozenset(map(ScopeKind, row.scopes)),
                    description=row.description,
                    category=row.category,
                ),
            )
        return MappingProxyType(roles)

    def compile(self, conn: Connection, identity: Identity, roles: Mapping[str, Role], revision: int) -> Compiled:
        """Return the rights of ``identity`` as this connection sees them."""
        chains = reach(identity, memberships(conn, identity, self._max_age))
        groups = {group for chain in chains for group in chain.groups}
        holders = [str(identity), *sorted(map(str, groups))]
        assignments = tuple(_assignments(conn, holders))
        rights = compile_rights(
            identity,
            active=_active(conn, identity),
            paths=chains,
            assignments=assignments,
            roles=roles,
            locks=tuple(_locks(conn, identity, holders, {one.scope for one in assignments})),
            member_permissions=self._catalog.member_permissions,
            limits=tuple(_limits(conn, holders)),
            denials=self._denials_of(roles),
            revision=revision,
        )
        return Compiled(rights, rights.uses.union(holders))

    def _denials_of(self, roles: Mapping[str, Role]) -> Denials:
        if self._denials.roles is roles:
            return self._denials
        denials = self._denials = Denials(roles, self._catalog.member_permissions)
        return denials


def _active(conn: Connection, identity: Identity) -> bool:
    # A group is active as long as it exists.
    found = fetch(conn, _ACTIVE[identity.kind], (identity.name,))
    return bool(found) and bool(found[0][0])


_ACTIVE = {
    Kind.USER: "SELECT active FROM users WHERE name = ?",
    Kind.SERVICE_ACCOUNT: "SELECT active FROM service_accounts WHERE name = ?",
    Kind.GROUP: "SELECT 1 FROM groups WHERE name = ?",
}


def _assignments(conn: Connection, holders: list[str]) -> Iterable[Assignment]:
    query = (
        "SELECT id, role, scope, identity, starts, ends, creator FROM assignments WHERE identity IN ({}) ORDER BY id"
    )
    for chunk in chunks(holders):
        for number, role, scope, identity, starts, ends, creator in fetch(conn, query.format(places(chunk)), chunk):
            interval = Interval(_instant(starts), _instant(ends))
            yield Assignment(str(number), role, scope, Identity.parse(identity), interval, bool(creator))


def _limits(conn: Connection, holders: list[str]) -> Iterable[ScopeLimit]:
    query = "SELECT identity, scope, kind, value FROM scope_limits WHERE identity IN ({})"
    for chunk in chunks(holders):
        for identity, scope, kind, value in fetch(conn, query.format(places(chunk)), chunk):
            yield ScopeLimit(Identity.parse(identity), scope, LimitKind(kind), value)


_LOCKS = "SELECT id, target, name, ends, reason FROM locks WHERE "


def _locks(conn: Connection, identity: Identity, holders: list[str], scopes: set[str]) -> Iterable[Lock]:
    wanted: list[tuple[str, Sequence[Any]]] = []
    for chunk in chunks(holders):
        wanted.append((f"target = ? AND name IN ({places(chunk)})", (LockTarget.IDENTITY.value, *chunk)))
    if SYSTEM in scopes:  # what is held at the system reaches every project
        wanted.append(("target = ?", (LockTarget.PROJECT.value,)))
    else:
        for chunk in chunks(sorted(scopes)):
            wanted.append((f"target = ? AND name IN ({places(chunk)})", (LockTarget.PROJECT.value, *chunk)))
    if identity.kind is Kind.USER:
        # Of ended sessions too: a lock ends its session, and must still stop the jobs that were started from it.
        own = 'target = ? AND EXISTS (SELECT 1 FROM sessions s WHERE s.id = locks.name AND s."user" = ?)'
        wanted.append((own, (LockTarget.SESSION.value, identity.name)))
    for some in chunks(wanted, 4):
        text = " UNION ALL ".join(_LOCKS + where for where, _ in some)
        for number, target, name, ends, reason in fetch(conn, text, [one for _, values in some for one in values]):
            yield Lock(str(number), LockTarget(target), name, Interval(ends=_instant(ends)), reason)


def _instant(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)
