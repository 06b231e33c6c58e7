"""The loader of compiled rights: a few indexed queries, independent of the number of users and assignments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, select

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.rbac.assignment import Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.default_denials import DenialCache
from aizen_hub.rbac.group_closure import group_closure
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.limit import IdentityLimit
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, LimitKind, Role, ScopeKind
from aizen_hub.store import tables
from aizen_hub.store.raw_sql import fetch_raw, placeholders
from aizen_hub.store.rights.memberships import chunked, load_memberships
from aizen_hub.store.timestamps import from_microseconds


@dataclass(frozen=True, slots=True)
class CompiledRights:
    """Rights, and the names of everything that they were compiled from."""

    rights: Rights
    dependencies: frozenset[str]


class RightsLoader:
    """Reads the rights of one identity from the database.

    Parameters
    ----------
    catalog : Catalog
        Defines the built-in roles.
    group_max_age_seconds : int
        How long a directory membership counts after it was last seen (R63).
    """

    def __init__(self, catalog: Catalog, group_max_age_seconds: int) -> None:
        self._catalog = catalog
        self._max_age = timedelta(seconds=group_max_age_seconds)
        self._denials = DenialCache(catalog.roles, catalog.member_permissions)

    def roles(self, conn: Connection) -> Mapping[str, Role]:
        """Return the built-in and the custom roles by name; a custom role never replaces a built-in one (R75)."""
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

    def compile(self, conn: Connection, identity: Identity, roles: Mapping[str, Role], revision: int) -> CompiledRights:
        """Return the rights of ``identity`` in the transaction of ``conn``."""
        chains = group_closure(identity, load_memberships(conn, identity, self._max_age))
        groups = {group for chain in chains for group in chain.groups}
        holders = [str(identity), *sorted(map(str, groups))]
        assignments = tuple(_load_assignments(conn, holders))
        rights = compile_rights(
            identity,
            active=_is_active(conn, identity),
            paths=chains,
            assignments=assignments,
            roles=roles,
            locks=tuple(_load_locks(conn, identity, holders, {assignment.scope for assignment in assignments})),
            member_permissions=self._catalog.member_permissions,
            limits=tuple(_load_limits(conn, holders)),
            denials=self._denials_of(roles),
            revision=revision,
            archive_rule=self._catalog.archive_rule,
        )
        return CompiledRights(rights, rights.dependencies.union(holders))

    def _denials_of(self, roles: Mapping[str, Role]) -> DenialCache:
        if self._denials.roles is roles:
            return self._denials
        denials = self._denials = DenialCache(roles, self._catalog.member_permissions)
        return denials


def _is_active(conn: Connection, identity: Identity) -> bool:
    # A group is active as long as it exists.
    rows = fetch_raw(conn, _ACTIVE_QUERIES[identity.kind], (identity.name,))
    return bool(rows) and bool(rows[0][0])


_ACTIVE_QUERIES = {
    IdentityKind.USER: "SELECT active FROM users WHERE name = ?",
    IdentityKind.SERVICE_ACCOUNT: "SELECT active FROM service_accounts WHERE name = ?",
    IdentityKind.GROUP: "SELECT 1 FROM groups WHERE name = ?",
}


def _load_assignments(conn: Connection, holders: list[str]) -> Iterable[Assignment]:
    for chunk in chunked(holders):
        for assignment_id, role, scope, identity, starts, ends, creator in fetch_raw(
            conn, _ASSIGNMENTS.format(placeholders(chunk), in_effect=tables.IN_EFFECT), chunk
        ):
            interval = Interval(_optional_time(starts), _optional_time(ends))
            yield Assignment(str(assignment_id), role, scope, Identity.parse(identity), interval, bool(creator))


_ASSIGNMENTS = (
    "SELECT id, role, scope, identity, starts, ends, creator FROM assignments"
    " WHERE identity IN ({}) AND {in_effect} ORDER BY id"
)


def _load_limits(conn: Connection, holders: list[str]) -> Iterable[IdentityLimit]:
    query = "SELECT identity, scope, kind, value FROM scope_limits WHERE identity IN ({})"
    for chunk in chunked(holders):
        for identity, scope, kind, value in fetch_raw(conn, query.format(placeholders(chunk)), chunk):
            yield IdentityLimit(Identity.parse(identity), scope, LimitKind(kind), value)


_PROJECT_LOCKS = (LockTarget.PROJECT.value, LockTarget.ARCHIVE.value)
_LOCKS = "SELECT id, target, name, ends, reason FROM locks WHERE "


def _load_locks(conn: Connection, identity: Identity, holders: list[str], scopes: set[str]) -> Iterable[Lock]:
    conditions: list[tuple[str, Sequence[Any]]] = []
    for chunk in chunked(holders):
        conditions.append((f"target = ? AND name IN ({placeholders(chunk)})", (LockTarget.IDENTITY.value, *chunk)))
    if SYSTEM in scopes:  # a system-wide assignment applies to every project
        conditions.append((f"target IN ({placeholders(_PROJECT_LOCKS)})", _PROJECT_LOCKS))
    else:
        for chunk in chunked(sorted(scopes)):
            targets, names = placeholders(_PROJECT_LOCKS), placeholders(chunk)
            conditions.append((f"target IN ({targets}) AND name IN ({names})", (*_PROJECT_LOCKS, *chunk)))
    if identity.kind is IdentityKind.USER:
        # Of ended sessions too: a lock ends its session, and must still stop the jobs that were started from it.
        own_sessions = 'target = ? AND EXISTS (SELECT 1 FROM sessions s WHERE s.id = locks.name AND s."user" = ?)'
        conditions.append((own_sessions, (LockTarget.SESSION.value, identity.name)))
    for some in chunked(conditions, 4):
        text = " UNION ALL ".join(_LOCKS + condition for condition, _ in some)
        parameters = [value for _, values in some for value in values]
        for lock_id, target, name, ends, reason in fetch_raw(conn, text, parameters):
            yield Lock(str(lock_id), LockTarget(target), name, Interval(ends=_optional_time(ends)), reason)


def _optional_time(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)
