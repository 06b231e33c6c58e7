"""A slow, obvious reference implementation of decisions, with random states."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from hypothesis import strategies as st

from aizen_hub.rbac.archive import ArchiveRule
from aizen_hub.rbac.assignment import Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.group_closure import Membership, group_closure
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, LimitKind, Role, ScopeKind

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
USERS = tuple(Identity.user(name) for name in "ab")
GROUPS = tuple(Identity.group(name) for name in "ab")  # the same names on purpose: other namespaces (R30)
PROJECTS = ("p1", "p2")
SCOPES = (SYSTEM, *PROJECTS)
MEMBER = frozenset({Permission("enter", "project")})
READING = (Permission("read"), Permission("enter"))
ROLE_NAMES = ("r1", "r2", "r3")
SESSION = "s1"


def hour(count: float) -> datetime:
    return EPOCH + timedelta(hours=count)


@dataclass(frozen=True)
class ReferenceModel:
    roles: MappingProxyType[str, Role]
    memberships: tuple[Membership, ...]
    assignments: tuple[Assignment, ...]
    locks: tuple[Lock, ...]

    def rights(self, identity: Identity, *, active: bool = True) -> Rights:
        return compile_rights(
            identity,
            active=active,
            paths=group_closure(identity, self.memberships),
            assignments=self.assignments,
            roles=self.roles,
            locks=self.locks,
            member_permissions=MEMBER,
            archive_rule=ArchiveRule(frozenset(READING), ("admin",)),
        )

    def groups_at(self, identity: Identity, now: datetime, *, skip_locked: bool) -> set[Identity]:
        """Every group that is reachable through memberships in force now."""
        groups: set[Identity] = set()
        frontier = [identity]
        while frontier:
            current = frontier.pop()
            for membership in self.memberships:
                passable = membership.interval.includes(now) and not (
                    skip_locked and self.is_locked(LockTarget.IDENTITY, str(membership.group), now)
                )
                if (
                    membership.member == current
                    and passable
                    and membership.group not in groups
                    and membership.group != identity
                ):
                    groups.add(membership.group)
                    frontier.append(membership.group)
        return groups

    def is_locked(self, target: LockTarget, name: str | None, now: datetime) -> bool:
        return any(lock.target is target and lock.name == name and lock.interval.includes(now) for lock in self.locks)

    def allows(
        self, identity: Identity, requested: Permission, scope: str, now: datetime, session: str | None = None
    ) -> bool:
        """The decision by definition: evaluates every assignment, compiles nothing."""
        if (
            self.is_locked(LockTarget.IDENTITY, str(identity), now)
            or self.is_locked(LockTarget.PROJECT, scope, now)
            or self.is_locked(LockTarget.SESSION, session, now)
        ):
            return False
        if self.is_locked(LockTarget.ARCHIVE, scope, now) and not any(part.covers(requested) for part in READING):
            return False
        holders = {identity} | self.groups_at(identity, now, skip_locked=True)
        for assignment in self.assignments:
            role = self.roles.get(assignment.role)
            kind = ScopeKind.SYSTEM if assignment.scope == SYSTEM else ScopeKind.PROJECT
            if (
                role is None
                or kind not in role.scopes
                or assignment.identity not in holders
                or not assignment.interval.includes(now)
            ):
                continue
            permissions = set(role.permissions)
            if permissions and assignment.scope != SYSTEM:
                permissions |= MEMBER
            if assignment.scope in (scope, SYSTEM) and any(permission.covers(requested) for permission in permissions):
                return True
        return False


# Few words, so that requests and permissions often match.
permissions = st.builds(Permission, st.sampled_from(("read", "write", "*")), st.sampled_from(("model", "*"))) | st.just(
    Permission("grant", "roles")
)
bounds = st.sampled_from([hour(count) for count in range(6)])
instants = st.sampled_from([hour(count / 2) for count in range(-1, 13)])
intervals = st.just(Interval()) | st.builds(Interval, st.none() | bounds, st.none() | bounds)
scopes_of_roles = st.sampled_from((frozenset(ScopeKind), frozenset({ScopeKind.PROJECT}), frozenset({ScopeKind.SYSTEM})))
holders = st.sampled_from(USERS + GROUPS)
assignments_ = st.tuples(st.sampled_from(ROLE_NAMES), st.sampled_from(SCOPES), holders, intervals)
targets = st.one_of(
    st.tuples(st.just(LockTarget.IDENTITY), st.sampled_from([str(identity) for identity in USERS + GROUPS])),
    st.tuples(st.just(LockTarget.PROJECT), st.sampled_from(PROJECTS)),
    st.tuples(st.just(LockTarget.ARCHIVE), st.sampled_from(PROJECTS)),
    st.tuples(st.just(LockTarget.SESSION), st.just(SESSION)),
)
limits = st.dictionaries(st.sampled_from(LimitKind), st.integers(0, 5).map(float), max_size=2)


@st.composite
def roles(draw: st.DrawFn, name: str) -> Role:
    return Role(
        name,
        permissions=frozenset(draw(st.lists(permissions, max_size=4))),
        limits=MappingProxyType(draw(limits)),
        scopes=draw(scopes_of_roles),
    )


@st.composite
def reference_models(draw: st.DrawFn) -> ReferenceModel:
    roles_by_name = {name: draw(roles(name)) for name in ROLE_NAMES[: draw(st.integers(2, len(ROLE_NAMES)))]}
    memberships = draw(st.lists(st.builds(Membership, holders, st.sampled_from(GROUPS), intervals), max_size=5))
    assignments = draw(st.lists(assignments_, min_size=3, max_size=8))
    locks = draw(st.lists(st.tuples(targets, intervals), max_size=2))
    return ReferenceModel(
        roles=MappingProxyType(roles_by_name),
        memberships=tuple(memberships),
        assignments=tuple(
            Assignment(f"a{index}", role, scope, identity, interval)
            for index, (role, scope, identity, interval) in enumerate(assignments)
        ),
        locks=tuple(
            Lock(f"l{index}", target, name, interval) for index, ((target, name), interval) in enumerate(locks)
        ),
    )
