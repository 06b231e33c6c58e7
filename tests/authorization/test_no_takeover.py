"""A search over a model of administration: no user takes over what they do not hold, and no program does it for them.

Besides grants the model has groups, custom roles (among them a clone of a protected one), activation links that outlive
a promotion, credentials of other accounts, and locks (R68).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert, select

from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.problems import Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness
from tests.authorization.delegation_model import (
    ADMIN_ROLES,
    ALICE,
    LENA,
    OTHERS,
    TARGET_GRANTS,
    DelegationState,
    Operation,
    count_roles_of_others,
    initial_states,
    operations,
)
from tests.authorization.rbac_model import NOW

pytestmark = pytest.mark.slow

SCOPES = (SYSTEM, "p1")
MAX_ROLES_OF_OTHERS = 1
"""States in which other identities have more roles are not expanded, since every rule checks role by role."""
SAMPLES = 300
PASSWORD = "quite long, 7 words of it, unguessed"
TOKEN = "t" * 43


def steps(begin: DelegationState, seen: set[object]) -> Iterator[tuple[Operation, DelegationState]]:
    """Yield every step from a state: those of alice and, until she redeems a link, those of users who promote lena."""
    front, all_operations = [begin] if begin.key not in seen else [], operations()
    seen.add(begin.key)
    while front:
        state = front.pop()
        results = [(operation, state.after(operation)) for operation in all_operations]
        if not state.used:
            results += [(("promoted", *grant), state.promoted(*grant)) for grant in TARGET_GRANTS]
        for operation, after in results:
            if after is None or after.key == state.key:
                continue
            yield operation, after
            if after.key not in seen and count_roles_of_others(after) <= MAX_ROLES_OF_OTHERS:
                seen.add(after.key)
                front.append(after)


def admin_roles_of(state: DelegationState, identity: Identity) -> frozenset[str]:
    """Return the roles of an identity that contain a right of AIZEN_ADMIN, computed independently of the model."""
    return frozenset(
        held.role
        for held in state.rights(identity).held_roles
        if any(permission.verb == "manage" for permission in state.roles[held.role].permissions)
    )


def limits_of(begin: DelegationState) -> dict[str, tuple[frozenset[Permission], frozenset[Permission]]]:
    """Return, by scope, what alice may come to use as herself, and as lena once she redeemed a link for her."""
    is_admin = any(held.role == "AIZEN_ADMIN" and held.is_effective(NOW) for held in begin.rights(ALICE).held_roles)
    creator = begin.roles["PROJECT_CREATOR"].permissions if is_admin else frozenset()
    own = {scope: begin.usable_by_alice(scope) | creator for scope in SCOPES}
    return {scope: (own[scope], own[scope] | begin.grantable(scope)) for scope in SCOPES}


def violations(
    begin: DelegationState,
    limits: dict[str, tuple[frozenset[Permission], frozenset[Permission]]],
    after: DelegationState,
) -> list[str]:
    """Return the violations in a reached state, as text."""
    problems = []
    for scope, (own, as_lena) in limits.items():
        problems += [
            f"{permission} in {scope}" for permission in after.usable_by_alice(scope) if not any_covers(own, permission)
        ]
        if after.used:
            problems += [
                f"lena's {permission} in {scope}"
                for permission in after.usable(scope, LENA)
                if not any_covers(as_lena, permission)
            ]
    if begin.program:
        if after.used and admin_roles_of(after, LENA):
            problems.append("the account of an administrator")
        for who in (ALICE, *OTHERS):
            if who != LENA and admin_roles_of(after, who) - admin_roles_of(begin, who):
                problems.append(f"{who} administers more")
        problems += [f"{who} was unlocked" for who in begin.locked - after.locked if admin_roles_of(begin, who)]
    return problems


def search(*, program: bool) -> int:
    visited = 0
    for states in initial_states(load_catalog("aizen"), program=program):
        seen: set[object] = set()
        for begin in states:
            limits, checked = limits_of(begin), set[object]()
            for operation, after in steps(begin, seen):
                if after.key not in checked:
                    checked.add(after.key)
                    problems = violations(begin, limits, after)
                    assert not problems, (begin.key, operation, after.key, problems)
        visited += len(seen)
    return visited


@pytest.mark.proves("R68", "R66", "R67", "R77", "T-04")
@pytest.mark.parametrize("program", [False, True])
def test_no_user_takes_over_what_they_do_not_hold(program: bool) -> None:
    assert search(program=program) > 1_000


@pytest.mark.parametrize(
    ("name", "patched", "program"),
    [
        ("controls", lambda *_, **__: True, False),
        ("controlled", frozenset({ALICE}), False),
        ("is_pending", lambda *_: False, True),
        ("requires_confirmation", lambda self, role, _: self.roles[role].requires_confirmation, True),
    ],
)
def test_the_search_would_find_a_hole(monkeypatch: pytest.MonkeyPatch, name: str, patched: Any, program: bool) -> None:
    monkeypatch.setattr(DelegationState, name, patched)
    with pytest.raises(AssertionError):
        search(program=program)


@pytest.fixture
def model_harness(shared_harness: AccountsHarness) -> Iterator[AccountsHarness]:
    with shared_harness.rolled_back() as trial:
        trial.register_users("alice")
        trial.execute(OPERATOR, registration.create_user, "lena", provider="local", password=PASSWORD)
        trial.execute(OPERATOR, management.create_group, "crew")
        trial.execute(OPERATOR, accounts.create_service_account, "bot")
        for name, permission in ADMIN_ROLES.items():
            trial.execute(OPERATOR, custom_roles.create_role, name, permissions=[permission], scopes=["system"])
        trial.execute(OPERATOR, custom_roles.clone_role, "AIZEN_ADMIN", "HELPER")
        yield trial


@pytest.mark.proves("R68", "R66", "R67", "R77", "T-04")
@pytest.mark.parametrize("program", [False, True])
def test_the_functions_allow_what_the_model_allows(model_harness: AccountsHarness, program: bool) -> None:
    """Random states of the search, set up on a real database: the functions allow exactly what the model allows."""
    rng = random.Random(20260102)
    all_operations = operations()
    begins = [state for states in initial_states(model_harness.catalog, program=program) for state in states]
    reached = [step for begin in rng.sample(begins, 12) for step in steps(begin, set())]
    states = rng.sample(begins, 60) + [after for _, after in rng.sample(reached, 60)]
    cases = [(state, operation) for state in states for operation in all_operations]
    likely = [case for case in cases if case[0].after(case[1]) is not None]
    allowed = 0
    for state, operation in rng.sample(cases, SAMPLES) + rng.sample(likely, min(SAMPLES, len(likely))):
        expected = state.after(operation) is not None
        with model_harness.write(OPERATOR) as tx:
            savepoint = tx.conn.begin_nested()
            set_up(model_harness, state)
            try:
                succeeded = not getattr(execute(model_harness, state, operation), "pending_id", None)
            except Problem:
                succeeded = False
            assert succeeded == expected, (state.key, operation)
            allowed += succeeded
            savepoint.rollback()
            tx.record_change("rolled-back", {}, ["*"])
    assert allowed > SAMPLES / 4


def set_up(harness: AccountsHarness, state: DelegationState) -> None:
    for member in state.members:
        harness.execute(OPERATOR, membership.add_member, "crew", member)
    for who, role, scope in state.held:
        harness.grant(role, scope, who)
    if state.wide:
        harness.execute(OPERATOR, custom_roles.update_role, "KEEPER", permissions=["manage:roles", "manage:users"])
    for who in state.locked:
        harness.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, str(who), reason="x")
    if state.link:
        harness.execute(OPERATOR, _link, state.recently_authenticated)
    if state.credential:
        harness.execute(OPERATOR, _credential)


def _link(tx: Any, recently_authenticated: bool) -> None:
    user_id = tx.conn.execute(select(tables.users.c.id).where(tables.users.c.name == "lena")).scalar_one()
    values = {
        "expires": tx.now + activation.LINK_LIFETIME,
        "issued_by": str(ALICE),
        "with_recent_login": recently_authenticated,
    }
    token = activation._hash(TOKEN)
    tx.conn.execute(insert(tables.activations).values(user_id=user_id, token_hash=token, **values))
    tx.record_change("activation", {}, [])


def _credential(tx: Any) -> None:
    account_id = tx.conn.execute(
        select(tables.service_accounts.c.id).where(tables.service_accounts.c.name == "bot")
    ).scalar()
    values = {"created": tx.now, "expires": tx.now + credentials.DEFAULT_LIFETIME, "issued_by": str(ALICE)}
    tx.conn.execute(insert(tables.credentials).values(service_account_id=account_id, hash="x" * 64, **values))
    tx.record_change("credential", {}, [])


def execute(harness: AccountsHarness, state: DelegationState, operation: Operation) -> Any:
    alice = harness.actor("alice", Channel.KERNEL if state.program else Channel.PANEL)
    match operation:
        case ("grant", role, scope, to):
            return harness.execute(alice, assignments.grant_roles, [role], scope, to)
        case ("join", member):
            return harness.execute(alice, membership.add_member, "crew", member)
        case ("leave", member):
            return harness.execute(alice, membership.remove_member, "crew", member)
        case ("unlock", target):
            return harness.execute(alice, locks.unlock_target, LockTarget.IDENTITY, str(target), reason="over")
        case ("link",):
            return harness.execute(alice, activation.reissue_link, "lena")
        case ("redeem",):
            return harness.execute(HUB, activation.redeem_link, TOKEN, PASSWORD + " more")
        case ("credential",):
            return harness.execute(alice, credentials.issue_credential, "bot")
        case _:
            return harness.execute(
                alice, custom_roles.update_role, "KEEPER", permissions=["manage:roles", "manage:users"]
            )
