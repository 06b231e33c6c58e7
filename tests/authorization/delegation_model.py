"""A small world of offices: one who manages users, groups, locks, roles or accounts, and those whom that reaches.

Held in values, with the rules of the engine; `test_no_takeover` searches it, and holds it against the real functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.rbac import escalation
from aizen_hub.rbac import protected_roles as guarded
from aizen_hub.rbac.assignment import Assignment, Lock, LockTarget
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.default_denials import covers
from aizen_hub.rbac.engine import decide, effective
from aizen_hub.rbac.group_closure import Chain
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, role_gives
from tests.authorization.rbac_model import NOW

ALICE, CREW = Identity.user("alice"), Identity.group("crew")
LENA, BOT = Identity.user("lena"), Identity.service_account("bot")
OTHERS = (CREW, LENA, BOT)
OFFICES = {
    "DESK": "manage:users",
    "LOCKER": "manage:locks",
    "CREWS": "manage:groups",
    "BOTS": "manage:service-accounts",
    "KEEPER": "manage:roles",
}
MORE = Permission.parse("manage:users")
HELPER = ("HELPER", SYSTEM)
"""A clone of AIZEN_ADMIN."""
WORTH = (HELPER, ("AIZEN_ADMIN", SYSTEM), ("KEEPER", SYSTEM), ("PROJECT_READER", "p1"))
Held = tuple[Identity, str, str]
Operation = tuple[object, ...]


@dataclass(frozen=True)
class Office:
    """One state.

    Attributes
    ----------
    members : frozenset
        Of the crew.
    locked : frozenset
        Whom somebody else locked.
    link, proven, used : bool
        Alice made an activation link for lena that is open; it was made so that it is good for roles that are
        confirmed; alice redeemed one, so that what lena holds is hers.
    credential : bool
        Alice made one for the bot, which is not hers otherwise.
    wide : bool
        KEEPER gives `manage:users` too.
    program : bool
        It is a program that acts in alice's name, and nobody confirms what it asks for.
    """

    catalog: Catalog
    held: frozenset[Held]
    members: frozenset[Identity] = frozenset()
    locked: frozenset[Identity] = frozenset()
    link: bool = False
    proven: bool = False
    used: bool = False
    credential: bool = False
    wide: bool = False
    program: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        state = (self.held, self.members, self.locked, self.link, self.proven, self.used, self.credential, self.wide)
        return (*state, self.program)

    @cached_property
    def roles(self) -> dict[str, Role]:
        system = frozenset({ScopeKind.SYSTEM})
        custom = {name: Role(name, frozenset({Permission.parse(one)}), scopes=system) for name, one in OFFICES.items()}
        if self.wide:
            custom["KEEPER"] = replace(custom["KEEPER"], permissions=custom["KEEPER"].permissions | {MORE})
        custom["HELPER"] = Role("HELPER", self.catalog.roles["AIZEN_ADMIN"].permissions, scopes=system)
        return {**self.catalog.roles, **custom}

    @cached_property
    def _compiled(self) -> dict[Identity, Rights]:
        return {
            one: compile_rights(
                one,
                active=True,
                paths=[Chain((CREW,))] if one in self.members else [],
                assignments=[Assignment(f"{who}{role}{scope}", role, scope, who) for who, role, scope in self.held],
                roles=self.roles,
                locks=[Lock(str(who), LockTarget.IDENTITY, str(who)) for who in self.locked],
                member_permissions=self.catalog.member_permissions,
            )
            for one in (ALICE, *OTHERS)
        }

    def rights(self, identity: Identity) -> Rights:
        return self._compiled[identity]

    @cached_property
    def own(self) -> frozenset[Identity]:
        """Who counts as alice when she gives."""
        mine = {ALICE, *([BOT] if self.credential else [])}
        return frozenset(mine | ({CREW} if mine & self.members else set()))

    def usable(self, scope: str, *whose: Identity) -> frozenset[Permission]:
        return frozenset(one for who in whose for one in effective(self.rights(who), scope, NOW))

    def hers(self, scope: str) -> frozenset[Permission]:
        """What she can use as herself or as the bot."""
        return self.usable(scope, ALICE, *([BOT] if self.credential else []))

    def giveable(self, scope: str) -> frozenset[Permission]:
        """What she could give to anybody whom she registers."""
        stranger, alice = Identity.user("stranger"), self.rights(ALICE)
        could = (
            one
            for one in self.roles.values()
            if not escalation.may_give(alice, one, scope, stranger, NOW, in_file=True)
        )
        return frozenset(p for one in could for p in role_gives(one, scope, self.catalog.member_permissions))

    def guarded_of(self, identity: Identity) -> frozenset[tuple[str, str]]:
        """Which roles reach an identity that change hands only with confirmation."""
        whose = {identity, *([CREW] if identity in self.members else [])}
        return frozenset((role, scope) for who, role, scope in self.held if who in whose and self.guarded(role, scope))

    def guarded(self, role: str, scope: str) -> bool:
        return guarded.is_guarded(self.roles[role], scope, self.roles, self.catalog.member_permissions)

    def may(self, permission: str) -> bool:
        return decide(self.rights(ALICE), Request(Permission.parse(permission), SYSTEM), NOW).allowed

    def controls(self, target: Identity, *, or_give: bool = False) -> bool:
        reached = (target, *([CREW] if target in self.members else []))
        alice = self.rights(ALICE)
        return not any(escalation.missing_to_control(alice, self.rights(one), NOW, or_give=or_give) for one in reached)

    def waits(self, *identities: Identity) -> bool:
        return self.program and any(self.guarded_of(one) for one in identities)

    def after(self, operation: Operation) -> Office | None:
        """Return the state after an operation of alice's, or None where it is refused or waits."""
        match operation:
            case ("grant", str(role), str(scope), Identity() as to):
                alice, wanted = self.rights(ALICE), self.roles[role]
                if escalation.may_give(alice, wanted, scope, to, NOW, own=self.own):
                    return None
                if not (self.program and self.guarded(role, scope)):
                    return replace(self, held=self.held | {(to, role, scope)})
            case ("join", Identity() as member) if self.may("manage:groups"):
                alice, crew = self.rights(ALICE), self.rights(CREW)
                if escalation.missing_to_enrol(alice, crew, member, NOW, own=self.own):
                    return None
                if member in self.members or not self.waits(CREW):
                    return replace(self, members=self.members | {member})
            case ("leave", Identity() as member) if self.may("manage:groups") and member in self.members:
                return None if self.waits(CREW) else replace(self, members=self.members - {member})
            case ("link",) if self.may("manage:users") and self.controls(LENA) and not self.waits(LENA):
                return replace(self, link=True, proven=not self.program or bool(self.guarded_of(LENA)))
            case ("redeem",) if self.link and self.may("manage:users") and self.controls(LENA, or_give=True):
                if self.proven or not self.guarded_of(LENA):
                    return replace(self, link=False, proven=False, used=True)
            case ("credential",) if self.may("manage:service-accounts") and self.controls(BOT):
                return None if self.program else replace(self, credential=True)
            case ("unlock", Identity() as target) if self.may("manage:locks") and target in self.locked:
                mine = target in self.own and bool(self.rights(target).held)
                if self.controls(target) and not mine and not self.waits(target):
                    return replace(self, locked=self.locked - {target})
            case ("widen",) if self.may("manage:roles"):
                holders = {who for who, role, _ in self.held if role == "KEEPER"}
                if self.wide or not holders:
                    return self  # what nobody has may become anything
                mine = bool(holders & self.own)
                if covers(effective(self.rights(ALICE), SYSTEM, NOW), MORE) and not mine and not self.program:
                    return replace(self, wide=True)
        return None

    def promoted(self, role: str, scope: str) -> Office:
        """Return the state after somebody else gave lena a role."""
        return replace(self, held=self.held | {(LENA, role, scope)})


def operations() -> list[Operation]:
    """Return everything alice can try."""
    out: list[Operation] = [("grant", role, scope, to) for role, scope in WORTH for to in (ALICE, *OTHERS)]
    out += [(verb, member) for verb in ("join", "leave") for member in (ALICE, LENA)]
    out += [("unlock", target) for target in OTHERS]
    # What an AIZEN_ADMIN may give without holding it.
    out.append(("grant", "PROJECT_ADMIN", "p1", BOT))
    return [*out, ("link",), ("redeem",), ("credential",), ("widen",)]


def beginnings(catalog: Catalog, *, program: bool) -> Iterator[list[Office]]:
    """Yield, for alice's offices, the states in which one other has at most one role, free or locked.

    Those in which she can use least come first: what they lead to need not be looked at again.
    """
    places = [HELPER, ("AIZEN_ADMIN", SYSTEM), *((name, SYSTEM) for name in OFFICES)]
    pairs = list(combinations([(name, SYSTEM) for name in OFFICES], 2))
    for chosen in [(), *((one,) for one in places), *pairs]:
        mine = frozenset((ALICE, *place) for place in chosen)
        worlds = [Office(catalog, mine, program=program)]
        for who in OTHERS:
            for place in WORTH:
                world = Office(catalog, mine | {(who, *place)}, program=program)
                worlds += [world, replace(world, locked=frozenset({who}))]
        yield worlds + [
            replace(one, members=frozenset({ALICE})) for one in worlds if any(who == CREW for who, _, _ in one.held)
        ]


def of_others(world: Office) -> int:
    return sum(who != ALICE for who, _, _ in world.held)
