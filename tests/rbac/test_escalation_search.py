"""A search for sequences of allowed operations that widen one's own rights (R68).

It starts with a user, a service account of the user, and either another user or a group, over two projects, and
performs every allowed operation in any order; the user and what the user controls must never gain rights.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import combinations, product

import pytest

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.assignment import Assignment
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.engine import effective_permissions
from aizen_hub.rbac.escalation import (
    GRANT_PERMISSION,
    missing_for_control,
    missing_for_membership,
    missing_to_grant,
    missing_to_revoke,
)
from aizen_hub.rbac.group_closure import Membership, group_closure
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind
from tests.rbac.reference_model import EPOCH

CATALOG: Catalog = load_catalog("aizen")
ME, OTHER = Identity.user("me"), Identity.user("other")
ROBOT, TEAM = Identity.service_account("robot"), Identity.group("team")
ADMIN, CREATOR, P_ADMIN, EXECUTOR, READER = (
    "AIZEN_ADMIN",
    "PROJECT_CREATOR",
    "PROJECT_ADMIN",
    "PROJECT_EXECUTOR",
    "PROJECT_READER",
)

LEAD = Role("LEAD", frozenset({Permission("read"), GRANT_PERMISSION}))
SEARCH_ROLES = {**CATALOG.roles, LEAD.name: LEAD}
ROLE_SCOPES = tuple(
    (role.name, scope)
    for role in SEARCH_ROLES.values()
    for scope in (SYSTEM, "p1", "p2")
    if (ScopeKind.SYSTEM if scope == SYSTEM else ScopeKind.PROJECT) in role.scopes
)
AssignmentFact = tuple[Identity, str, str]


@dataclass(frozen=True)
class State:
    facts: frozenset[AssignmentFact]
    members: frozenset[Identity]

    def rights(self, identity: Identity) -> Rights:
        return compile_rights(
            identity,
            active=True,
            paths=group_closure(identity, [Membership(member, TEAM) for member in self.members]),
            assignments=[
                Assignment(f"{holder}{role}{scope}", role, scope, holder) for holder, role, scope in self.facts
            ],
            roles=SEARCH_ROLES,
            member_permissions=CATALOG.member_permissions,
        )

    def successors(self, second: Identity, own_rights: Rights) -> set[State]:
        controlled = frozenset({ROBOT}) | self.rights(ROBOT).groups
        states = set()
        for recipient, (name, scope) in product((ME, ROBOT, second), ROLE_SCOPES):
            role, fact = SEARCH_ROLES[name], (recipient, name, scope)
            if recipient == ROBOT and self.is_covered(own_rights, role, scope):
                # What the user has anyway adds nothing, and the states would double with every such role.
                continue
            for in_file in (False, True) if scope == SYSTEM else (False,):
                if fact not in self.facts and not missing_to_grant(
                    own_rights, role, scope, recipient, EPOCH, in_file=in_file, controlled=controlled
                ):
                    states.add(State(self.facts | {fact}, self.members))
                if fact in self.facts and not missing_to_revoke(
                    own_rights, role, scope, recipient, EPOCH, in_file=in_file, controlled=controlled
                ):
                    states.add(State(self.facts - {fact}, self.members))
        if second == TEAM:
            team = self.rights(TEAM)
            for member in (ME, ROBOT):
                if member in self.members:
                    states.add(State(self.facts, self.members - {member}))
                elif not missing_for_membership(own_rights, team, member, EPOCH, controlled=controlled):
                    states.add(State(self.facts, self.members | {member}))
        return states

    @staticmethod
    def is_covered(own_rights: Rights, role: Role, scope: str) -> bool:
        own_permissions = effective_permissions(own_rights, scope, EPOCH)
        return all(any_covers(own_permissions, permission) for permission in role.permissions)

    def usable_permissions(self, second: Identity, own_rights: Rights) -> set[tuple[str, Permission]]:
        """What the user can do now: directly, with the service account, or with an identity that the user controls."""
        controlled_rights = [own_rights, self.rights(ROBOT)]
        if not missing_for_control(own_rights, other := self.rights(second), EPOCH):
            controlled_rights.append(other)
        return {
            (scope, permission)
            for rights in controlled_rights
            for scope in (SYSTEM, "p1", "p2")
            for permission in effective_permissions(rights, scope, EPOCH)
        }


MAX_STATES = 20_000


def explore(start: State, second: Identity, limit: int = MAX_STATES) -> tuple[set[tuple[str, Permission]], int]:
    """Everything that can be reached from ``start``, and the number of states."""
    seen, queue, permissions = {start}, deque([start]), set()
    while queue and len(seen) < limit:
        state = queue.popleft()
        own_rights = state.rights(ME)
        permissions |= state.usable_permissions(second, own_rights)
        new_states = state.successors(second, own_rights) - seen
        seen |= new_states
        queue.extend(new_states)
    assert not queue or limit < MAX_STATES, "the search was truncated"
    return permissions, len(seen)


START_GRANTS = [grant for grant in ROLE_SCOPES if grant[1] != "p2"]
STARTS = [(grant,) for grant in START_GRANTS] + [
    pair for pair in combinations(START_GRANTS, 2) if ADMIN not in {name for name, _ in pair}
]


@pytest.mark.proves("R68")
@pytest.mark.parametrize("second", [OTHER, TEAM], ids=str)
@pytest.mark.parametrize("start", STARTS, ids=lambda start: "+".join(f"{name}@{scope}" for name, scope in start))
def test_no_sequence_of_operations_widens_own_rights(start: tuple[tuple[str, str], ...], second: Identity) -> None:
    state = State(frozenset({(second, P_ADMIN, "p2"), *((ME, *grant) for grant in start)}), frozenset())
    before = state.usable_permissions(second, state.rights(ME))
    # The one exception: an admin grants PROJECT_CREATOR to itself or to what it controls.
    if (ADMIN, SYSTEM) in start:
        before |= {
            (scope, permission) for scope in (SYSTEM, "p1", "p2") for permission in CATALOG.roles[CREATOR].permissions
        }
    reached, state_count = explore(state, second)
    held = {scope: frozenset(permission for other, permission in before if other == scope) for scope, _ in before}
    gained = [(scope, right) for scope, right in reached if not any_covers(held.get(scope, frozenset()), right)]
    assert gained == [], sorted(map(str, gained))
    assert state_count > 1 or {name for name, _ in start} <= {EXECUTOR, READER}


def test_the_search_detects_a_seeded_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "aizen_hub.rbac.escalation._is_self_or_controlled",
        lambda grantor, identity, controlled: identity == grantor.identity,
    )
    state = State(frozenset({(ME, CREATOR, SYSTEM)}), frozenset())
    reached, _ = explore(state, TEAM, limit=200)
    assert not reached <= state.usable_permissions(TEAM, state.rights(ME))
