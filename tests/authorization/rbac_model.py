"""A model small enough to search: one acting user, a group, a service account, two projects, and all operations.

States are values, and the rules are those of the engine; `test_no_escalation` searches the model and compares it with
the real functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import combinations
from types import MappingProxyType

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.rbac.assignment import Assignment
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.engine import decide, effective_permissions
from aizen_hub.rbac.escalation import missing_for_control, missing_for_membership, missing_to_grant, missing_to_revoke
from aizen_hub.rbac.group_closure import MembershipPath
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, Role

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ALICE, CREW, ROBOT = Identity.user("alice"), Identity.group("crew"), Identity.service_account("robot")
SCOPES = (SYSTEM, "p1", "p2")
TRAINING, DELETE = Permission.parse("execute:training"), Permission.parse("delete")
GRANTS = tuple(
    [("AIZEN_ADMIN", SYSTEM), ("PROJECT_CREATOR", SYSTEM)]
    + [
        (role, scope)
        for scope in ("p1", "p2")
        for role in ("PROJECT_ADMIN", "PROJECT_EXECUTOR", "PROJECT_READER", "TRAINER")
    ]
)
Held = tuple[Identity, str, str]
Operation = tuple[object, ...]


@dataclass(frozen=True)
class ModelState:
    """One state.

    Attributes
    ----------
    members : frozenset
        Members of the group crew.
    credential : bool
        Alice has one for the robot, so that she can use what it holds.
    wide : bool
        The custom role TRAINER contains `delete` too.
    cloned : bool
        The role MINE, a clone of PROJECT_ADMIN, exists.
    """

    catalog: Catalog
    held: frozenset[Held]
    members: frozenset[Identity] = frozenset()
    credential: bool = False
    wide: bool = False
    cloned: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        return (self.held, self.members, self.credential, self.wide, self.cloned)

    @cached_property
    def roles(self) -> MappingProxyType[str, Role]:
        custom = {"TRAINER": Role("TRAINER", frozenset({TRAINING, DELETE} if self.wide else {TRAINING}))}
        if self.cloned:
            admin = self.catalog.roles["PROJECT_ADMIN"]
            custom["MINE"] = Role("MINE", admin.permissions, scopes=admin.scopes)
        return MappingProxyType({**self.catalog.roles, **custom})

    @cached_property
    def _compiled(self) -> dict[Identity, Rights]:
        return {
            identity: compile_rights(
                identity,
                active=True,
                paths=[MembershipPath((CREW,))] if identity in self.members else [],
                assignments=[Assignment(f"{who}{role}{scope}", role, scope, who) for who, role, scope in self.held],
                roles=self.roles,
                member_permissions=self.catalog.member_permissions,
            )
            for identity in (ALICE, CREW, ROBOT)
        }

    def rights(self, identity: Identity) -> Rights:
        return self._compiled[identity]

    @cached_property
    def controlled(self) -> frozenset[Identity]:
        """Identities through which a grant by alice would come back to her."""
        return frozenset({ALICE, ROBOT, *([CREW] if self.members else [])})

    @cached_property
    def usable_by_alice(self) -> dict[str, frozenset[Permission]]:
        """Permissions that alice can use, by scope."""
        usable = [ALICE, *([ROBOT] if self.credential else [])]
        return {
            scope: frozenset(
                permission
                for identity in usable
                for permission in effective_permissions(self.rights(identity), scope, NOW)
            )
            for scope in SCOPES
        }

    def may(self, permission: str, scope: str = SYSTEM) -> bool:
        return decide(self.rights(ALICE), AuthorizationRequest(Permission.parse(permission), scope), NOW).allowed

    def can_grant(self, role: str, scope: str, to: Identity, *, in_file: bool = False) -> bool:
        target_role = self.roles.get(role)
        alice = self.rights(ALICE)
        return target_role is not None and not missing_to_grant(
            alice, target_role, scope, to, NOW, in_file=in_file, controlled=self.controlled
        )

    def has(self, role: str, scope: str) -> bool:
        """Return whether alice has the role already, herself or through the group; then she cannot request it."""
        holders = {ALICE, *([CREW] if ALICE in self.members else [])}
        return any((holder, role, scope) in self.held for holder in holders)

    def after(self, operation: Operation) -> ModelState | None:
        """Return the state after an operation by alice, or None if it is refused."""
        match operation:
            case ("grant", str(role), str(scope), Identity() as to) if self.can_grant(role, scope, to):
                return replace(self, held=self.held | {(to, role, scope)})
            case ("request", str(role), str(scope)) if self.can_grant(role, scope, ALICE) and not self.has(role, scope):
                return replace(self, held=self.held | {(ALICE, role, scope)})
            case ("revoke", str(role), str(scope), Identity() as holder) if (holder, role, scope) in self.held:
                alice, target_role = self.rights(ALICE), self.roles[role]
                if not missing_to_revoke(alice, target_role, scope, holder, NOW, controlled=self.controlled):
                    return replace(self, held=self.held - {(holder, role, scope)})
            case ("project file", str(scope)) if self.may("grant:project", scope):
                if (ALICE, "PROJECT_ADMIN", scope) in self.held or self.can_grant("PROJECT_ADMIN", scope, ALICE):
                    return replace(self, held=self.held | {(ALICE, "PROJECT_ADMIN", scope)})
            case ("users file", str(role)) if self.may("manage:users"):
                if (ALICE, role, SYSTEM) in self.held or self.can_grant(role, SYSTEM, ALICE, in_file=True):
                    return replace(self, held=self.held | {(ALICE, role, SYSTEM)})
            case ("join", Identity() as member) if self.may("manage:groups"):
                if not missing_for_membership(
                    self.rights(ALICE), self.rights(CREW), member, NOW, controlled=self.controlled
                ):
                    return replace(self, members=self.members | {member})
            case ("leave", Identity() as member) if self.may("manage:groups") and member in self.members:
                return replace(self, members=self.members - {member})
            case ("credential",):
                if not missing_for_control(self.rights(ALICE), self.rights(ROBOT), NOW):
                    return replace(self, credential=True)
            case ("widen",) if self.may("manage:roles"):
                scopes = {scope for _, role, scope in self.held if role == "TRAINER"}
                if all(any_covers(effective_permissions(self.rights(ALICE), scope, NOW), DELETE) for scope in scopes):
                    return replace(self, wide=True)
            case ("clone",) if self.may("manage:roles") and not self.cloned:
                return replace(self, cloned=True)
        return None


def operations() -> list[Operation]:
    """Return every operation that alice can try."""
    out: list[Operation] = []
    for role, scope in (*GRANTS, ("MINE", "p1"), ("MINE", "p2")):
        out += [("grant", role, scope, to) for to in (ALICE, CREW, ROBOT)]
        out += [("revoke", role, scope, holder) for holder in (CREW, ROBOT)]
        out.append(("request", role, scope))
    out += [("project file", "p1"), ("project file", "p2"), ("users file", "AIZEN_ADMIN")]
    out += [("users file", "PROJECT_CREATOR"), ("credential",), ("widen",), ("clone",)]
    out += [(verb, member) for verb in ("join", "leave") for member in (ALICE, ROBOT)]
    return out


def initial_states(catalog: Catalog, max_roles: int = 2) -> Iterator[list[ModelState]]:
    """Yield, for every set of at most ``max_roles`` roles of alice, the states in which a puppet has at most one.

    Of two sets that differ only by exchanging p1 and p2, one is used.
    """
    other = {"p1": "p2", "p2": "p1", SYSTEM: SYSTEM}
    seen: set[frozenset[tuple[str, str]]] = set()
    for count in range(max_roles + 1):
        for chosen in map(frozenset, combinations(GRANTS, count)):
            if chosen in seen:
                continue
            seen |= {chosen, frozenset((role, other[scope]) for role, scope in chosen)}
            mine = frozenset((ALICE, *grant) for grant in chosen)
            puppets = ((who, *grant) for who in (CREW, ROBOT) for grant in GRANTS)
            yield [ModelState(catalog, mine), *(ModelState(catalog, mine | {puppet}) for puppet in puppets)]


def count_puppet_roles(state: ModelState) -> int:
    return sum(who != ALICE for who, _, _ in state.held)
