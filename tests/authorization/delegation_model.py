"""A small model of administration: one user who manages users, groups, locks, roles or accounts, and their targets.

States are values, and the rules are those of the engine; `test_no_takeover` searches the model and compares it with the
real functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.rbac import escalation, protected_roles
from aizen_hub.rbac.assignment import Assignment, Lock, LockTarget
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.engine import decide, effective_permissions
from aizen_hub.rbac.group_closure import MembershipPath
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, permissions_of_role
from tests.authorization.rbac_model import NOW

ALICE, CREW = Identity.user("alice"), Identity.group("crew")
LENA, BOT = Identity.user("lena"), Identity.service_account("bot")
OTHERS = (CREW, LENA, BOT)
ADMIN_ROLES = {
    "DESK": "manage:users",
    "LOCKER": "manage:locks",
    "CREWS": "manage:groups",
    "BOTS": "manage:service-accounts",
    "KEEPER": "manage:roles",
}
MORE = Permission.parse("manage:users")
HELPER = ("HELPER", SYSTEM)
"""A clone of AIZEN_ADMIN."""
TARGET_GRANTS = (HELPER, ("AIZEN_ADMIN", SYSTEM), ("KEEPER", SYSTEM), ("PROJECT_READER", "p1"))
Held = tuple[Identity, str, str]
Operation = tuple[object, ...]


@dataclass(frozen=True)
class DelegationState:
    """One state.

    Attributes
    ----------
    members : frozenset
        Members of the group crew.
    locked : frozenset
        Identities that another user locked.
    link, recently_authenticated, used : bool
        Alice issued an activation link for lena that is open; it was issued so that it is valid for protected roles;
        alice redeemed one, so that she can use what lena holds.
    credential : bool
        Alice issued one for the bot, which she does not control otherwise.
    wide : bool
        KEEPER contains `manage:users` too.
    program : bool
        A program acts with alice's credentials, and no user confirms its pending changes.
    """

    catalog: Catalog
    held: frozenset[Held]
    members: frozenset[Identity] = frozenset()
    locked: frozenset[Identity] = frozenset()
    link: bool = False
    recently_authenticated: bool = False
    used: bool = False
    credential: bool = False
    wide: bool = False
    program: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        values = (
            self.held,
            self.members,
            self.locked,
            self.link,
            self.recently_authenticated,
            self.used,
            self.credential,
            self.wide,
        )
        return (*values, self.program)

    @cached_property
    def roles(self) -> dict[str, Role]:
        system = frozenset({ScopeKind.SYSTEM})
        custom = {
            name: Role(name, frozenset({Permission.parse(text)}), scopes=system) for name, text in ADMIN_ROLES.items()
        }
        if self.wide:
            custom["KEEPER"] = replace(custom["KEEPER"], permissions=custom["KEEPER"].permissions | {MORE})
        custom["HELPER"] = Role("HELPER", self.catalog.roles["AIZEN_ADMIN"].permissions, scopes=system)
        return {**self.catalog.roles, **custom}

    @cached_property
    def _compiled(self) -> dict[Identity, Rights]:
        return {
            identity: compile_rights(
                identity,
                active=True,
                paths=[MembershipPath((CREW,))] if identity in self.members else [],
                assignments=[Assignment(f"{who}{role}{scope}", role, scope, who) for who, role, scope in self.held],
                roles=self.roles,
                locks=[Lock(str(who), LockTarget.IDENTITY, str(who)) for who in self.locked],
                member_permissions=self.catalog.member_permissions,
            )
            for identity in (ALICE, *OTHERS)
        }

    def rights(self, identity: Identity) -> Rights:
        return self._compiled[identity]

    @cached_property
    def controlled(self) -> frozenset[Identity]:
        """Identities through which a grant by alice would come back to her."""
        mine = {ALICE, *([BOT] if self.credential else [])}
        return frozenset(mine | ({CREW} if mine & self.members else set()))

    def usable(self, scope: str, *identities: Identity) -> frozenset[Permission]:
        return frozenset(
            permission
            for identity in identities
            for permission in effective_permissions(self.rights(identity), scope, NOW)
        )

    def usable_by_alice(self, scope: str) -> frozenset[Permission]:
        """Permissions that alice can use as herself or as the bot."""
        return self.usable(scope, ALICE, *([BOT] if self.credential else []))

    def grantable(self, scope: str) -> frozenset[Permission]:
        """Permissions that alice could grant to a user whom she registers."""
        stranger, alice = Identity.user("stranger"), self.rights(ALICE)
        roles = (
            role
            for role in self.roles.values()
            if not escalation.missing_to_grant(alice, role, scope, stranger, NOW, in_file=True)
        )
        return frozenset(
            permission
            for role in roles
            for permission in permissions_of_role(role, scope, self.catalog.member_permissions)
        )

    def protected_roles_of(self, identity: Identity) -> frozenset[tuple[str, str]]:
        """Roles of an identity that are granted and revoked only with confirmation."""
        holders = {identity, *([CREW] if identity in self.members else [])}
        return frozenset(
            (role, scope)
            for who, role, scope in self.held
            if who in holders and self.requires_confirmation(role, scope)
        )

    def requires_confirmation(self, role: str, scope: str) -> bool:
        return protected_roles.role_requires_confirmation(
            self.roles[role], scope, self.roles, self.catalog.member_permissions
        )

    def may(self, permission: str) -> bool:
        return decide(self.rights(ALICE), AuthorizationRequest(Permission.parse(permission), SYSTEM), NOW).allowed

    def controls(self, target: Identity, *, include_grantable: bool = False) -> bool:
        sources = (target, *([CREW] if target in self.members else []))
        alice = self.rights(ALICE)
        return not any(
            escalation.missing_for_control(alice, self.rights(source), NOW, include_grantable=include_grantable)
            for source in sources
        )

    def is_pending(self, *identities: Identity) -> bool:
        return self.program and any(self.protected_roles_of(identity) for identity in identities)

    def after(self, operation: Operation) -> DelegationState | None:
        """Return the state after an operation by alice, or None if it is refused or pending."""
        match operation:
            case ("grant", str(role), str(scope), Identity() as to):
                alice, target_role = self.rights(ALICE), self.roles[role]
                if escalation.missing_to_grant(alice, target_role, scope, to, NOW, controlled=self.controlled):
                    return None
                if not (self.program and self.requires_confirmation(role, scope)):
                    return replace(self, held=self.held | {(to, role, scope)})
            case ("join", Identity() as member) if self.may("manage:groups"):
                alice, crew = self.rights(ALICE), self.rights(CREW)
                if escalation.missing_for_membership(alice, crew, member, NOW, controlled=self.controlled):
                    return None
                if member in self.members or not self.is_pending(CREW):
                    return replace(self, members=self.members | {member})
            case ("leave", Identity() as member) if self.may("manage:groups") and member in self.members:
                return None if self.is_pending(CREW) else replace(self, members=self.members - {member})
            case ("link",) if self.may("manage:users") and self.controls(LENA) and not self.is_pending(LENA):
                return replace(
                    self, link=True, recently_authenticated=not self.program or bool(self.protected_roles_of(LENA))
                )
            case ("redeem",) if self.link and self.may("manage:users") and self.controls(LENA, include_grantable=True):
                if self.recently_authenticated or not self.protected_roles_of(LENA):
                    return replace(self, link=False, recently_authenticated=False, used=True)
            case ("credential",) if self.may("manage:service-accounts") and self.controls(BOT):
                return None if self.program else replace(self, credential=True)
            case ("unlock", Identity() as target) if self.may("manage:locks") and target in self.locked:
                # A lock is no grant: a user who may lock may unlock, except what comes back to them.
                is_own = target in self.controlled and bool(self.rights(target).held_roles)
                if not is_own and not self.program:
                    return replace(self, locked=self.locked - {target})
            case ("widen",) if self.may("manage:roles"):
                holders = {who for who, role, _ in self.held if role == "KEEPER"}
                if self.wide or not holders:
                    return self  # a role without holders may be changed freely
                is_own = bool(holders & self.controlled)
                if (
                    any_covers(effective_permissions(self.rights(ALICE), SYSTEM, NOW), MORE)
                    and not is_own
                    and not self.program
                ):
                    return replace(self, wide=True)
        return None

    def promoted(self, role: str, scope: str) -> DelegationState:
        """Return the state after another user granted lena a role."""
        return replace(self, held=self.held | {(LENA, role, scope)})


def operations() -> list[Operation]:
    """Return every operation that alice can try."""
    out: list[Operation] = [("grant", role, scope, to) for role, scope in TARGET_GRANTS for to in (ALICE, *OTHERS)]
    out += [(verb, member) for verb in ("join", "leave") for member in (ALICE, LENA)]
    out += [("unlock", target) for target in OTHERS]
    # An AIZEN_ADMIN may grant it without holding it.
    out.append(("grant", "PROJECT_ADMIN", "p1", BOT))
    return [*out, ("link",), ("redeem",), ("credential",), ("widen",)]


def initial_states(catalog: Catalog, *, program: bool) -> Iterator[list[DelegationState]]:
    """Yield, for each set of alice's roles, the states in which one other identity has at most one role.

    States in which she can use least come first, so that the states they lead to need not be searched again.
    """
    grants = [HELPER, ("AIZEN_ADMIN", SYSTEM), *((name, SYSTEM) for name in ADMIN_ROLES)]
    pairs = list(combinations([(name, SYSTEM) for name in ADMIN_ROLES], 2))
    for chosen in [(), *((grant,) for grant in grants), *pairs]:
        mine = frozenset((ALICE, *grant) for grant in chosen)
        states = [DelegationState(catalog, mine, program=program)]
        for who in OTHERS:
            for grant in TARGET_GRANTS:
                state = DelegationState(catalog, mine | {(who, *grant)}, program=program)
                states += [state, replace(state, locked=frozenset({who}))]
        yield states + [
            replace(state, members=frozenset({ALICE}))
            for state in states
            if any(who == CREW for who, _, _ in state.held)
        ]


def count_roles_of_others(state: DelegationState) -> int:
    return sum(who != ALICE for who, _, _ in state.held)
