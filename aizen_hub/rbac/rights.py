"""Compiled rights of one identity, own and through groups; compiled once per identity and revision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType

from aizen_hub.rbac.archive import NOTHING_ALLOWED, ArchiveRule
from aizen_hub.rbac.assignment import Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.default_denials import DenialCache
from aizen_hub.rbac.group_closure import MembershipPath
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.limit import EffectiveLimit, IdentityLimit
from aizen_hub.rbac.messages import MESSAGES, describe_path, describe_scope
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, Role, is_assignable_in, permissions_of_role

PermissionTable = Mapping[str, Mapping[str, Mapping[str, tuple["HeldRole", ...]]]]
LockTable = Mapping[tuple[LockTarget, str], tuple[Lock, ...]]


@dataclass(frozen=True, slots=True)
class HeldRole:
    """One assignment that an identity has, directly or through groups.

    Attributes
    ----------
    assignment_id : str
    via : tuple of Identity
        The groups it comes through, outermost last; empty for a direct assignment.
    interval : Interval
        When it is in force: the intersection of the assignment's interval and those of the memberships.
    granted_until : datetime or None
        The end that was set for the assignment.
    confirmed_until : datetime or None
        Until when the directory's last confirmation of a membership holds (R63). Each further one moves it, so that it
        is no end to tell readers; None without a membership of a directory.
    creator : bool
        The automatic role of a project's creator.
    group_locks : tuple of Lock
        Locks on the groups it comes through; while one of them is in force, the assignment has no effect.
    permanent : bool
        Neither interval nor lock: always in force.
    decision : Decision
        The decision on every request that it allows.
    """

    assignment_id: str
    role: str
    scope: str
    via: tuple[Identity, ...]
    interval: Interval
    granted_until: datetime | None
    confirmed_until: datetime | None
    creator: bool
    group_locks: tuple[Lock, ...]
    permanent: bool
    decision: Decision = field(repr=False)

    def is_effective(self, now: datetime) -> bool:
        """Return whether it is in force now."""
        return self.permanent or (self.interval.includes(now) and self.active_lock(now) is None)

    def active_lock(self, now: datetime) -> Lock | None:
        """Return the group lock that is in force now, if any."""
        return next((lock for lock in self.group_locks if lock.interval.includes(now)), None)


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights of one identity, with their time intervals.

    Attributes
    ----------
    active : bool
        False: not registered, deleted, or the account is not activated; every decision is a denial.
    held_roles : tuple of HeldRole
        All assignments of the identity whose role may be assigned in their scope; nearest first.
    table : mapping
        Scope to verb to noun to the held roles with that permission; ``*`` is a literal key.
    roles : mapping of str to Role
        All roles that exist, built-in ones first, from the least to the most powerful.
    locks : mapping
        The locks on this identity, on projects and on sessions, and the archived projects.
    groups : frozenset of Identity
        Every group it is in, at any time.
    dependencies : frozenset of str
        Names of everything these rights were compiled from: ``user:x``, ``group:y``, ``role:z``, ``project:p``. An
        assignment in the system scope depends on ``project:*``, because a lock on any project affects it.
    denials : DenialCache
        Denials without any near assignment, shared by all identities under these roles.
    repeated_denials : dict or None
        Those of this identity by scope, verb and noun; None where its roles change with time.
    archive_rule : ArchiveRule
        What archived projects still allow.
    """

    identity: Identity
    active: bool
    held_roles: tuple[HeldRole, ...]
    table: PermissionTable
    roles: Mapping[str, Role]
    limits: tuple[EffectiveLimit, ...]
    locks: LockTable
    groups: frozenset[Identity]
    member_permissions: frozenset[Permission]
    dependencies: frozenset[str]
    denials: DenialCache = field(compare=False, repr=False)
    repeated_denials: dict[tuple[str, str, str], Decision] | None = field(compare=False, repr=False)
    revision: int = 0
    archive_rule: ArchiveRule = NOTHING_ALLOWED

    def permissions_of(self, held_role: HeldRole) -> frozenset[Permission]:
        """Return the permissions of one held role in its scope."""
        return permissions_of_role(self.roles[held_role.role], held_role.scope, self.member_permissions)

    def matching(self, scope: str, permission: Permission) -> Iterator[HeldRole]:
        """Yield the held roles that cover ``permission`` in ``scope`` at any time, project before system."""
        for candidate_scope in (scope, SYSTEM) if scope != SYSTEM else (SYSTEM,):
            verbs = self.table.get(candidate_scope)
            if verbs:
                for covering in permission.covering():
                    yield from verbs.get(covering.verb, _EMPTY).get(covering.noun, ())

    def active_lock(self, scope: str | None, session_id: str | None, now: datetime) -> Lock | None:
        """Return the lock that stops this identity, the project ``scope`` or the session now; no archive."""
        targets = (
            (LockTarget.IDENTITY, str(self.identity)),
            (LockTarget.PROJECT, scope),
            (LockTarget.SESSION, session_id),
        )
        for kind, name in targets:
            for lock in self.locks.get((kind, name), ()) if name is not None else ():
                if lock.interval.includes(now):
                    return lock
        return None

    def active_archive(self, scope: str | None, now: datetime) -> Lock | None:
        """Return the archive of the project ``scope``, if it is archived: only what reads is allowed there."""
        archives = self.locks.get((LockTarget.ARCHIVE, scope), ()) if scope is not None else ()
        return next((lock for lock in archives if lock.interval.includes(now)), None)


_EMPTY: Mapping[str, tuple[HeldRole, ...]] = MappingProxyType({})


def is_assignable(role: Role, scope: str, identity: Identity) -> bool:
    """Return whether ``role`` may be assigned to ``identity`` in ``scope``."""
    return is_assignable_in(role, scope) and identity.kind in role.assignable_to


def compile_rights(
    identity: Identity,
    *,
    active: bool,
    paths: Iterable[MembershipPath],
    assignments: Iterable[Assignment],
    roles: Mapping[str, Role],
    locks: Iterable[Lock] = (),
    member_permissions: frozenset[Permission] = frozenset(),
    limits: Iterable[IdentityLimit] = (),
    denials: DenialCache | None = None,
    revision: int = 0,
    archive_rule: ArchiveRule = NOTHING_ALLOWED,
) -> Rights:
    """Compile the rights of one identity from one consistent snapshot.

    Parameters
    ----------
    active : bool
        Whether the identity is registered and its account activated.
    paths : iterable of MembershipPath
        The paths to all groups it is in, see `rbac.group_closure`.
    assignments, limits
        At least those of the identity and of its groups; others are ignored.
    roles : mapping of str to Role
        All roles, built-in ones first. An assignment of a role that is not among them has no effect.
    locks : iterable of Lock
        At least those on the identity, on its groups, on its sessions, and on projects, archives included.
    denials : DenialCache, optional
        A cache for these roles that several identities share.
    """
    all_paths = (MembershipPath(()), *paths)
    locks_by_target = _locks_by_target(locks)
    assignments_of: defaultdict[Identity, list[Assignment]] = defaultdict(list)
    for assignment in assignments:
        assignments_of[assignment.identity].append(assignment)
    limits_of: defaultdict[Identity, list[IdentityLimit]] = defaultdict(list)
    for limit in limits:
        limits_of[limit.identity].append(limit)

    held_roles: list[HeldRole] = []
    effective_limits: list[EffectiveLimit] = []
    dependencies = {str(identity)}
    for path in all_paths:
        holder = path.groups[-1] if path.groups else identity
        dependencies |= {str(group) for group in path.groups}
        for assignment in assignments_of[holder]:
            dependencies |= {
                f"role:{assignment.role}",
                f"project:{'*' if assignment.scope == SYSTEM else assignment.scope}",
            }
            role = roles.get(assignment.role)
            interval = assignment.interval.intersect(path.interval)
            if role is None or interval is None or not is_assignable(role, assignment.scope, identity):
                continue
            held_roles.append(_held_role(assignment, path, interval, locks_by_target))
            effective_limits += (
                EffectiveLimit(kind, value, role.name, assignment.scope, path.groups, interval)
                for kind, value in role.limits.items()
            )
        effective_limits += (
            EffectiveLimit(own.kind, own.value, None, own.scope, path.groups, path.interval)
            for own in limits_of[holder]
        )
    ordered = tuple(sorted(held_roles, key=_sort_key))
    return Rights(
        identity=identity,
        active=active,
        held_roles=ordered,
        table=_table(ordered, roles, member_permissions),
        roles=roles,
        limits=tuple(effective_limits),
        locks=locks_by_target,
        groups=frozenset(group for chain in all_paths for group in chain.groups),
        member_permissions=member_permissions,
        dependencies=frozenset(dependencies),
        denials=DenialCache(roles, member_permissions) if denials is None else denials,
        repeated_denials={} if all(held_role.permanent for held_role in ordered) else None,
        revision=revision,
        archive_rule=archive_rule,
    )


def _held_role(
    assignment: Assignment, path: MembershipPath, interval: Interval, locks_by_target: LockTable
) -> HeldRole:
    group_locks = tuple(
        lock for group in path.groups for lock in locks_by_target.get((LockTarget.IDENTITY, str(group)), ())
    )
    sentence = MESSAGES[Reason.GRANTED].format(
        role=assignment.role, where=describe_scope(assignment.scope), via=describe_path(path.groups)
    )
    return HeldRole(
        assignment_id=assignment.id,
        role=assignment.role,
        scope=assignment.scope,
        via=path.groups,
        interval=interval,
        granted_until=assignment.interval.ends,
        confirmed_until=path.interval.ends,
        creator=assignment.creator,
        group_locks=group_locks,
        permanent=interval == Interval() and not group_locks,
        decision=Decision(True, Reason.GRANTED, sentence, assignment.id, assignment.role, path.groups),
    )


def _sort_key(held_role: HeldRole) -> tuple[bool, int, str, str]:
    # Permanent assignments first, so that an allowed request is decided by the first lookup.
    return (not held_role.permanent, len(held_role.via), held_role.assignment_id, str(held_role.via))


def _locks_by_target(locks: Iterable[Lock]) -> LockTable:
    result: defaultdict[tuple[LockTarget, str], tuple[Lock, ...]] = defaultdict(tuple)
    for lock in locks:
        result[lock.target, lock.name] += (lock,)
    return MappingProxyType(dict(result))


def _table(
    held_roles: tuple[HeldRole, ...], roles: Mapping[str, Role], member_permissions: frozenset[Permission]
) -> PermissionTable:
    table: dict[str, dict[str, dict[str, tuple[HeldRole, ...]]]] = {}
    for held_role in held_roles:
        nouns_of = _nouns_by_verb(permissions_of_role(roles[held_role.role], held_role.scope, member_permissions))
        verbs = table.get(held_role.scope)
        if verbs is None:  # as in most projects: the only role there
            only = (held_role,)
            table[held_role.scope] = {verb: dict.fromkeys(nouns, only) for verb, nouns in nouns_of.items()}
            continue
        for verb, nouns in nouns_of.items():
            holders = verbs.setdefault(verb, {})
            for noun in nouns:
                holders[noun] = (*holders.get(noun, ()), held_role)
    return table


@lru_cache(maxsize=256)
def _nouns_by_verb(permissions: frozenset[Permission]) -> Mapping[str, tuple[str, ...]]:
    nouns: defaultdict[str, list[str]] = defaultdict(list)
    for permission in permissions:
        nouns[permission.verb].append(permission.noun)
    return MappingProxyType({verb: tuple(names) for verb, names in nouns.items()})
