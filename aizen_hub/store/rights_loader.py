"""From rows to compiled rights: a few indexed queries, however many users and assignments there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, select

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.rbac.assignment import Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, LimitKind, Role, ScopeKind
from aizen_hub.store import tables
from aizen_hub.store.memberships import chunks, paths

if TYPE_CHECKING:
    from aizen_hub.rbac.rights import Rights


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

    def roles(self, conn: Connection) -> Mapping[str, Role]:
        """Return the built-in and the custom roles by name; a custom one never hides a built-in one (R75)."""
        table = tables.roles.c
        custom = {
            row.name: Role(
                row.name,
                permissions=frozenset(map(Permission.parse, row.permissions)),
                limits=MappingProxyType({LimitKind(kind): value for kind, value in row.limits.items()}),
                scopes=frozenset(map(ScopeKind, row.scopes)),
                description=row.description,
                category=row.category,
            )
            for row in conn.execute(
                select(table.name, table.permissions, table.limits, table.scopes, table.description, table.category)
            )
        }
        return MappingProxyType({**custom, **self._catalog.roles})

    def compile(self, conn: Connection, identity: Identity, roles: Mapping[str, Role], revision: int) -> Compiled:
        """Return the rights of ``identity`` as this connection sees them."""
        from aizen_hub.rbac.rights import compile_rights

        active = self._active(conn, identity)
        reached = paths(conn, identity, self._max_age)
        holders = [str(identity), *map(str, reached)]
        assignments = tuple(self._assignments(conn, holders))
        scopes = sorted({one.scope for one in assignments} - {SYSTEM})
        locks = tuple(self._locks(conn, identity, holders, scopes))
        rights = compile_rights(
            identity,
            active=active,
            paths=reached,
            assignments=assignments,
            roles=roles,
            locks=locks,
            member_permissions=self._catalog.member_permissions,
            revision=revision,
        )
        uses = {*holders, *(f"role:{one.role}" for one in assignments), *(f"project:{scope}" for scope in scopes)}
        return Compiled(rights, frozenset(uses) | rights.uses)

    def _active(self, conn: Connection, identity: Identity) -> bool | None:
        if identity.kind is Kind.GROUP:
            found = conn.execute(select(tables.groups.c.id).where(tables.groups.c.name == identity.name)).first()
            return None if found is None else True
        table: Table = tables.users if identity.kind is Kind.USER else tables.service_accounts
        active: bool | None = conn.execute(select(table.c.active).where(table.c.name == identity.name)).scalar()
        return active

    def _assignments(self, conn: Connection, holders: list[str]) -> Iterable[Assignment]:
        table = tables.assignments.c
        query = select(table.id, table.role, table.scope, table.identity, table.starts, table.ends, table.creator)
        for chunk in chunks(holders):
            for row in conn.execute(query.where(table.identity.in_(chunk)).order_by(table.id)):
                interval = Interval(row.starts, row.ends)
                yield Assignment(str(row.id), row.role, row.scope, Identity.parse(row.identity), interval, row.creator)

    def _locks(self, conn: Connection, identity: Identity, holders: list[str], scopes: list[str]) -> Iterable[Lock]:
        table = tables.locks.c
        query = select(table.id, table.target, table.name, table.ends, table.reason)
        for target, names in ((LockTarget.IDENTITY, holders), (LockTarget.PROJECT, scopes)):
            for chunk in chunks(names):
                for row in conn.execute(query.where(table.target == str(target), table.name.in_(chunk))):
                    yield Lock(str(row.id), target, row.name, Interval(ends=row.ends), row.reason)
        if identity.kind is Kind.USER:
            sessions = tables.sessions.c
            live = select(sessions.id).where(sessions.user == identity.name, sessions.ended.is_(None))
            for row in conn.execute(query.where(table.target == str(LockTarget.SESSION), table.name.in_(live))):
                yield Lock(str(row.id), LockTarget.SESSION, row.name, Interval(ends=row.ends), row.reason)
