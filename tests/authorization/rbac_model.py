"""A world small enough to be searched: one who acts, a group, a service account, two projects, all operations.

Held in values, with the rules of the engine; `test_no_escalation` searches it, and holds it against the real functions.
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
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.default_denials import covers
from aizen_hub.rbac.engine import decide, effective
from aizen_hub.rbac.escalation import may_give, may_take, missing_to_control, missing_to_enrol
from aizen_hub.rbac.group_closure import Chain
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, Role

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ALICE, CREW, ROBOT = Identity.user("alice"), Identity.group("crew"), Identity.service_account("robot")
SCOPES = (SYSTEM, "p1", "p2")
TRAINING, DELETE = Permission.parse("execute:training"), Permission.parse("delete")
PLACES = tuple(
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
class World:
    """One state.

    Attributes
    ----------
    members : frozenset
        Of the crew.
    credential : bool
        Alice has one for the robot, so that what it holds is hers.
    wide : bool
        The custom role TRAINER gives `delete` too.
    cloned : bool
        There is MINE, a clone of PROJECT_ADMIN.
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
            one: compile_rights(
                one,
                active=True,
                paths=[Chain((CREW,))] if one in self.members else [],
                assignments=[Assignment(f"{who}{role}{scope}", role, scope, who) for who, role, scope in self.held],
                roles=self.roles,
                member_permissions=self.catalog.member_permissions,
            )
            for one in (ALICE, CREW, ROBOT)
        }

    def rights(self, identity: Identity) -> Rights:
        return self._compiled[identity]

    @cached_property
    def own(self) -> frozenset[Identity]:
        """Who counts as alice when she gives."""
        return frozenset({ALICE, ROBOT, *([CREW] if self.members else [])})

    @cached_property
    def hers(self) -> dict[str, frozenset[Permission]]:
        """What she can use, by scope."""
        usable = [ALICE, *([ROBOT] if self.credential else [])]
        return {
            scope: frozenset(permission for one in usable for permission in effective(self.rights(one), scope, NOW))
            for scope in SCOPES
        }

    def may(self, permission: str, scope: str = SYSTEM) -> bool:
        return decide(self.rights(ALICE), Request(Permission.parse(permission), scope), NOW).allowed

    def gives(self, role: str, scope: str, to: Identity, *, in_file: bool = False) -> bool:
        wanted = self.roles.get(role)
        alice = self.rights(ALICE)
        return wanted is not None and not may_give(alice, wanted, scope, to, NOW, in_file=in_file, own=self.own)

    def after(self, operation: Operation) -> World | None:
        """Return the state after an operation of alice's, or None where it is refused."""
        match operation:
            case ("grant", str(role), str(scope), Identity() as to) if self.gives(role, scope, to):
                return replace(self, held=self.held | {(to, role, scope)})
            case ("request", str(role), str(scope)) if self.gives(role, scope, ALICE):
                return replace(self, held=self.held | {(ALICE, role, scope)})
            case ("revoke", str(role), str(scope), Identity() as holder) if (holder, role, scope) in self.held:
                taker, wanted = self.rights(ALICE), self.roles[role]
                if not may_take(taker, wanted, scope, holder, NOW, own=self.own):
                    return replace(self, held=self.held - {(holder, role, scope)})
            case ("project file", str(scope)) if self.may("grant:project", scope):
                if (ALICE, "PROJECT_ADMIN", scope) in self.held or self.gives("PROJECT_ADMIN", scope, ALICE):
                    return replace(self, held=self.held | {(ALICE, "PROJECT_ADMIN", scope)})
            case ("users file", str(role)) if self.may("manage:users"):
                if (ALICE, role, SYSTEM) in self.held or self.gives(role, SYSTEM, ALICE, in_file=True):
                    return replace(self, held=self.held | {(ALICE, role, SYSTEM)})
            case ("join", Identity() as member) if self.may("manage:groups"):
                if not missing_to_enrol(self.rights(ALICE), self.rights(CREW), member, NOW, own=self.own):
                    return replace(self, members=self.members | {member})
            case ("leave", Identity() as member) if self.may("manage:groups") and member in self.members:
                return replace(self, members=self.members - {member})
            case ("credential",):
                if not missing_to_control(self.rights(ALICE), self.rights(ROBOT), NOW):
                    return replace(self, credential=True)
            case ("widen",) if self.may("manage:roles"):
                places = {scope for _, role, scope in self.held if role == "TRAINER"}
                if all(covers(effective(self.rights(ALICE), scope, NOW), DELETE) for scope in places):
                    return replace(self, wide=True)
            case ("clone",) if self.may("manage:roles") and not self.cloned:
                return replace(self, cloned=True)
        return None


def operations() -> list[Operation]:
    """Return everything alice can try."""
    out: list[Operation] = []
    for role, scope in (*PLACES, ("MINE", "p1"), ("MINE", "p2")):
        out += [("grant", role, scope, to) for to in (ALICE, CREW, ROBOT)]
        out += [("revoke", role, scope, holder) for holder in (CREW, ROBOT)]
        out.append(("request", role, scope))
    out += [("project file", "p1"), ("project file", "p2"), ("users file", "AIZEN_ADMIN")]
    out += [("users file", "PROJECT_CREATOR"), ("credential",), ("widen",), ("clone",)]
    out += [(verb, member) for verb in ("join", "leave") for member in (ALICE, ROBOT)]
    return out


def beginnings(catalog: Catalog, most: int = 2) -> Iterator[list[World]]:
    """Yield, for every set of at most ``most`` roles of alice, the worlds in which one puppet has at most one role.

    Of two sets that the exchange of p1 and p2 makes equal, one.
    """
    other = {"p1": "p2", "p2": "p1", SYSTEM: SYSTEM}
    seen: set[frozenset[tuple[str, str]]] = set()
    for number in range(most + 1):
        for chosen in map(frozenset, combinations(PLACES, number)):
            if chosen in seen:
                continue
            seen |= {chosen, frozenset((role, other[scope]) for role, scope in chosen)}
            mine = frozenset((ALICE, *place) for place in chosen)
            puppets = ((who, *place) for who in (CREW, ROBOT) for place in PLACES)
            yield [World(catalog, mine), *(World(catalog, mine | {puppet}) for puppet in puppets)]


def puppet_roles(world: World) -> int:
    return sum(who != ALICE for who, _, _ in world.held)
