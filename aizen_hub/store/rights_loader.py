"""From rows to compiled rights: a few indexed queries, however many users and assignments there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from sqlalchemy import Connection, Table, exists, select

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.rbac.assignment import Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.denials import Denials
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.limit import ScopeLimit
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.reach import reach
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, LimitKind, Role, ScopeKind
from aizen_hub.store import tables
from aizen_hub.store.memberships import chunks, memberships


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
    if identity.kind is Kind.GROUP:
        found = conn.execute(select(tables.groups.c.id).where(tables.groups.c.name == identity.name))
        return found.first() is not None
    table: Table = tables.users if identity.kind is Kind.USER else tables.service_accounts
    return bool(conn.scalar(select(table.c.active).where(table.c.name == identity.name)))


def _assignments(conn: Connection, holders: list[str]) -> Iterable[Assignment]:
    table = tables.assignments.c
    query = select(table.id, table.role, table.scope, table.identity, table.starts, table.ends, table.creator)
    for chunk in chunks(holders):
        for row in conn.execute(query.where(table.identity.in_(chunk)).order_by(table.id)):
            interval = Interval(row.starts, row.ends)
            yield Assignment(str(row.id), row.role, row.scope, Identity.parse(row.identity), interval, row.creator)


def _limits(conn: Connection, holders: list[str]) -> Iterable[ScopeLimit]:
    table = tables.scope_limits.c
    query = select(table.identity, table.scope, table.kind, table.value)
    for chunk in chunks(holders):
        for row in conn.execute(query.where(table.identity.in_(chunk))):
            yield ScopeLimit(Identity.parse(row.identity), row.scope, LimitKind(row.kind), row.value)


def _locks(conn: Connection, identity: Identity, holders: list[str], scopes: set[str]) -> Iterable[Lock]:
    table = tables.locks.c
    query = select(table.id, table.target, table.name, table.ends, table.reason)
    wanted = [query.where(table.target == str(LockTarget.IDENTITY), table.name.in_(chunk)) for chunk in chunks(holders)]
    projects = query.where(table.target == str(LockTarget.PROJECT))
    if SYSTEM in scopes:  # what is held at the system reaches every project
        wanted.append(projects)
    else:
        wanted += [projects.where(table.name.in_(chunk)) for chunk in chunks(sorted(scopes))]
    if identity.kind is Kind.USER:
        # Of ended sessions too: a lock ends its session, and must still stop the jobs that were started from it.
        sessions = tables.sessions.c
        own = exists().where(sessions.id == table.name, sessions.user == identity.name)
        wanted.append(query.where(table.target == str(LockTarget.SESSION), own))
    for one in wanted:
        for row in conn.execute(one):
            yield Lock(str(row.id), LockTarget(row.target), row.name, Interval(ends=row.ends), row.reason)
