"""Rights: everything one identity holds, own and through groups, compiled once per identity and revision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from aizen_hub.rbac.assignment import Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.default_denials import Denials
from aizen_hub.rbac.group_closure import Chain
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.limit import Limited, ScopeLimit
from aizen_hub.rbac.messages import SENTENCES, place, through
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, Role, fits, role_gives

Table = Mapping[str, Mapping[str, Mapping[str, tuple["Held", ...]]]]
Locks = Mapping[tuple[LockTarget, str], tuple[Lock, ...]]


@dataclass(frozen=True, slots=True)
class Held:
    """One assignment as it reaches the identity.

    Attributes
    ----------
    assignment : str
        Id of the assignment.
    via : tuple of Identity
        The groups it comes through, outermost last; empty if it is the identity's own.
    interval : Interval
        When it gives: the assignment's interval within that of the memberships.
    creator : bool
        The automatic role of a project's creator.
    locks : tuple of Lock
        Locks on the groups it comes through; while one of them holds, the assignment gives nothing.
    permanent : bool
        No interval and no lock: it gives at any time.
    decision : Decision
        The answer to every question that it answers.
    """

    assignment: str
    role: str
    scope: str
    via: tuple[Identity, ...]
    interval: Interval
    creator: bool
    locks: tuple[Lock, ...]
    permanent: bool
    decision: Decision = field(repr=False)

    def gives(self, now: datetime) -> bool:
        """Tell whether it gives its permissions now."""
        return self.permanent or (self.interval.holds(now) and self.lock(now) is None)

    def lock(self, now: datetime) -> Lock | None:
        """Return the lock that stops it now."""
        return next((lock for lock in self.locks if lock.interval.holds(now)), None)


@dataclass(frozen=True, slots=True)
class Rights:
    """What one identity holds, with the times at which it holds it.

    Attributes
    ----------
    active : bool
        False: not registered, deleted, or its account is not activated; every decision is a denial.
    held : tuple of Held
        All assignments that reach the identity and whose role may be assigned where they are; nearest first.
    table : mapping
        Scope to verb to noun to what gives that permission; ``*`` stands for itself.
    roles : mapping of str to Role
        All roles that exist, built-in ones first, from the least to the greatest.
    locks : mapping
        The locks on this identity, on projects and on sessions.
    groups : frozenset of Identity
        Every group it is in, at any time.
    uses : frozenset of str
        Names of all that these rights were made from: ``user:x``, ``group:y``, ``role:z``, ``project:p``. Who holds
        something at the system uses ``project:*`` too: a lock on any project concerns them.
    denials : Denials
        How those are denied whom nothing brings near; the same for everybody under these roles.
    """

    identity: Identity
    active: bool
    held: tuple[Held, ...]
    table: Table
    roles: Mapping[str, Role]
    limits: tuple[Limited, ...]
    locks: Locks
    groups: frozenset[Identity]
    member_permissions: frozenset[Permission]
    uses: frozenset[str]
    denials: Denials = field(compare=False, repr=False)
    revision: int = 0

    def permissions_of(self, held: Held) -> frozenset[Permission]:
        """Return what one assignment gives in its scope."""
        return role_gives(self.roles[held.role], held.scope, self.member_permissions)

    def answering(self, scope: str, permission: Permission) -> Iterator[Held]:
        """Yield what answers for ``permission`` in ``scope`` at some time: the scope's own first, then the system's."""
        for where in (scope, SYSTEM) if scope != SYSTEM else (SYSTEM,):
            verbs = self.table.get(where)
            if verbs:
                for covering in permission.coverers():
                    yield from verbs.get(covering.verb, _NONE).get(covering.noun, ())

    def lock_on(self, scope: str | None, session: str | None, now: datetime) -> Lock | None:
        """Return the lock that stops this identity, the project ``scope`` or the session now."""
        targets = (
            (LockTarget.IDENTITY, str(self.identity)),
            (LockTarget.PROJECT, scope),
            (LockTarget.SESSION, session),
        )
        for kind, name in targets:
            for lock in self.locks.get((kind, name), ()) if name is not None else ():
                if lock.interval.holds(now):
                    return lock
        return None


_NONE: Mapping[str, tuple[Held, ...]] = MappingProxyType({})


def reaches(role: Role, scope: str, identity: Identity) -> bool:
    """Tell whether ``role``, assigned in ``scope``, may give something to ``identity``."""
    return fits(role, scope) and identity.kind in role.holders


def compile_rights(
    identity: Identity,
    *,
    active: bool,
    paths: Iterable[Chain],
    assignments: Iterable[Assignment],
    roles: Mapping[str, Role],
    locks: Iterable[Lock] = (),
    member_permissions: frozenset[Permission] = frozenset(),
    limits: Iterable[ScopeLimit] = (),
    denials: Denials | None = None,
    revision: int = 0,
) -> Rights:
    """Compile the rights of one identity from one consistent snapshot.

    Parameters
    ----------
    active : bool
        Whether the identity is registered and its account activated.
    paths : iterable of Chain
        The chains to all groups it is in, see `rbac.reach`.
    assignments, limits
        At least those of the identity and of its groups; others are passed over.
    roles : mapping of str to Role
        All roles, built-in ones first. An assignment of a role that is not among them gives nothing.
    locks : iterable of Lock
        At least those on the identity, on its groups, on its sessions, and on projects.
    denials : Denials, optional
        Of these roles, where many share them.
    """
    chains = (Chain(()), *paths)
    by_name = _by_name(locks)
    of_identity: defaultdict[Identity, list[Assignment]] = defaultdict(list)
    for assignment in assignments:
        of_identity[assignment.identity].append(assignment)
    limits_of: defaultdict[Identity, list[ScopeLimit]] = defaultdict(list)
    for limit in limits:
        limits_of[limit.identity].append(limit)

    held: list[Held] = []
    limited: list[Limited] = []
    uses = {str(identity)}
    for chain in chains:
        reached = chain.groups[-1] if chain.groups else identity
        uses |= {str(group) for group in chain.groups}
        for assignment in of_identity[reached]:
            uses |= {f"role:{assignment.role}", f"project:{'*' if assignment.scope == SYSTEM else assignment.scope}"}
            role = roles.get(assignment.role)
            interval = assignment.interval.meet(chain.interval)
            if role is None or interval is None or not reaches(role, assignment.scope, identity):
                continue
            held.append(_held(assignment, chain, interval, by_name))
            limited += (
                Limited(kind, value, role.name, assignment.scope, chain.groups, interval)
                for kind, value in role.limits.items()
            )
        limited += (
            Limited(one.kind, one.value, None, one.scope, chain.groups, chain.interval) for one in limits_of[reached]
        )
    ordered = tuple(sorted(held, key=_nearest))
    return Rights(
        identity=identity,
        active=active,
        held=ordered,
        table=_table(ordered, roles, member_permissions),
        roles=roles,
        limits=tuple(limited),
        locks=by_name,
        groups=frozenset(group for chain in chains for group in chain.groups),
        member_permissions=member_permissions,
        uses=frozenset(uses),
        denials=Denials(roles, member_permissions) if denials is None else denials,
        revision=revision,
    )


def _held(assignment: Assignment, chain: Chain, interval: Interval, by_name: Locks) -> Held:
    stops = tuple(lock for group in chain.groups for lock in by_name.get((LockTarget.IDENTITY, str(group)), ()))
    sentence = SENTENCES[Reason.GRANTED].format(
        role=assignment.role, where=place(assignment.scope), via=through(chain.groups)
    )
    return Held(
        assignment=assignment.id,
        role=assignment.role,
        scope=assignment.scope,
        via=chain.groups,
        interval=interval,
        creator=assignment.creator,
        locks=stops,
        permanent=interval == Interval() and not stops,
        decision=Decision(True, Reason.GRANTED, sentence, assignment.id, assignment.role, chain.groups),
    )


def _nearest(held: Held) -> tuple[bool, int, str, str]:
    # What gives at any time comes first, so that an allowed question is answered by the first look-up.
    return (not held.permanent, len(held.via), held.assignment, str(held.via))


def _by_name(locks: Iterable[Lock]) -> Locks:
    out: defaultdict[tuple[LockTarget, str], tuple[Lock, ...]] = defaultdict(tuple)
    for lock in locks:
        out[lock.target, lock.name] += (lock,)
    return MappingProxyType(dict(out))


def _table(held: tuple[Held, ...], roles: Mapping[str, Role], member_permissions: frozenset[Permission]) -> Table:
    table: dict[str, dict[str, dict[str, tuple[Held, ...]]]] = {}
    for one in held:
        for permission in role_gives(roles[one.role], one.scope, member_permissions):
            nouns = table.setdefault(one.scope, {}).setdefault(permission.verb, {})
            nouns[permission.noun] = (*nouns.get(permission.noun, ()), one)
    return table
