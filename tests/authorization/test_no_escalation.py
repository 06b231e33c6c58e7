"""A search over a small model: no sequence of allowed operations widens what one user controls (R68).

Alice controls her own rights, those she inherits through groups, and those of a service account for which she has a
credential. The exceptions of the design are left out: `create project`, and an AIZEN_ADMIN who takes PROJECT_CREATOR. A
user whom an administrator registers counts as another person, even if only the administrator signs in as that user.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import access_requests, assignments, custom_roles
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.problems import Conflict, Problem
from aizen_hub.rbac import escalation
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.accounts.harness import OPERATOR, AccountsHarness
from tests.authorization.rbac_model import (
    ALICE,
    SCOPES,
    ModelState,
    Operation,
    count_puppet_roles,
    initial_states,
    operations,
)

pytestmark = pytest.mark.slow

MAX_PUPPET_ROLES = 1
"""States in which puppets have more roles are not expanded: every rule checks the roles of a puppet one by one, so a
set of roles is refused or allowed like its members."""
SAMPLES = 250


def reachable(
    begin: ModelState, all_operations: list[Operation], seen: set[object]
) -> Iterator[tuple[ModelState, Operation, ModelState]]:
    """Yield every step that is possible from ``begin`` on, except from the states in ``seen``."""
    front = [begin] if begin.key not in seen else []
    seen.add(begin.key)
    while front:
        state = front.pop()
        for operation in all_operations:
            after = state.after(operation)
            if after is None or after.key == state.key:
                continue
            yield state, operation, after
            if after.key not in seen and count_puppet_roles(after) <= MAX_PUPPET_ROLES:
                seen.add(after.key)
                front.append(after)


def allowed_in(begin: ModelState) -> dict[str, frozenset[Permission]]:
    allowed = begin.usable_by_alice
    if (ALICE, "AIZEN_ADMIN", SYSTEM) in begin.held:
        creator = begin.roles["PROJECT_CREATOR"].permissions
        allowed = {scope: permissions | creator for scope, permissions in allowed.items()}
    return allowed


def added_permissions(begin: ModelState, after: ModelState) -> list[tuple[str, str]]:
    allowed = allowed_in(begin)
    return [
        (scope, str(permission))
        for scope in SCOPES
        for permission in after.usable_by_alice[scope]
        if not any_covers(allowed[scope], permission)
    ]


def search() -> int:
    catalog, all_operations = load_catalog("aizen"), operations()
    visited = 0
    for states in initial_states(catalog):
        seen: set[object] = set()
        for begin in states:
            checked: set[object] = set()
            for state, operation, after in reachable(begin, all_operations, seen):
                if after.key in checked:
                    continue
                checked.add(after.key)
                assert not added_permissions(begin, after), (
                    begin.key,
                    state.key,
                    operation,
                    added_permissions(begin, after),
                )
        visited += len(seen)
    return visited


@pytest.mark.proves("R68", "R67", "T-04")
def test_no_sequence_of_operations_widens_the_rights_of_the_actor() -> None:
    assert search() > 1_000


@pytest.mark.parametrize("hole", ["_is_self_or_controlled", "missing_for_control", "missing_for_membership"])
def test_the_search_would_find_a_hole(monkeypatch: pytest.MonkeyPatch, hole: str) -> None:
    module = escalation if hole == "_is_self_or_controlled" else "tests.authorization.rbac_model"
    if isinstance(module, str):
        monkeypatch.setattr(f"{module}.{hole}", lambda *_, **__: ())
    else:
        monkeypatch.setattr(module, hole, lambda *_: False)
    with pytest.raises(AssertionError):
        search()


@pytest.fixture
def model_harness(shared_harness: AccountsHarness) -> Iterator[AccountsHarness]:
    with shared_harness.rolled_back() as trial:
        trial.register_users("alice")
        trial.execute(
            OPERATOR,
            custom_roles.create_role,
            "TRAINER",
            permissions=["execute:training"],
            scopes=["system", "project"],
        )
        trial.execute(OPERATOR, management.create_group, "crew")
        trial.execute(OPERATOR, accounts.create_service_account, "robot")
        trial.execute(
            OPERATOR, lambda tx: tx.conn.execute(tables.service_accounts.update().values(controller=str(ALICE)))
        )
        yield trial


@pytest.mark.proves("R68", "R67", "T-04")
def test_the_functions_allow_what_the_model_allows(model_harness: AccountsHarness) -> None:
    """Random states of the search, set up on a real database: the functions allow exactly what the model allows."""
    rng = random.Random(20260101)
    catalog, all_operations = model_harness.catalog, operations()
    begins = [begin for states in initial_states(catalog) for begin in states]
    cases = [(begin, operation) for begin in begins for operation in all_operations]
    steps = [step for begin in rng.sample(begins, 25) for step in reachable(begin, all_operations, set())]
    cases = rng.sample(cases, SAMPLES) + [(state, operation) for state, operation, _ in rng.sample(steps, SAMPLES)]
    allowed = 0
    for state, operation in cases:
        with model_harness.write(OPERATOR) as tx, _RolledBack(tx):
            set_up(model_harness, tx, state)
            expected = state.after(operation) is not None
            try:
                # What waits for a second user is not done.
                succeeded = getattr(execute(model_harness, operation), "pending_id", None) is None
            except Problem:
                succeeded = False
            assert succeeded == expected, (state.key, operation)
            allowed += succeeded
    assert allowed > SAMPLES / 2


def set_up(harness: AccountsHarness, tx: WriteTransaction, state: ModelState) -> None:
    for who, role, scope in state.held:
        if role != "MINE":
            harness.grant(role, scope, who)
    for member in state.members:
        harness.execute(OPERATOR, membership.add_member, "crew", member)
    if state.wide:
        harness.execute(OPERATOR, custom_roles.update_role, "TRAINER", permissions=["execute:training", "delete"])
    if state.cloned:
        harness.execute(OPERATOR, custom_roles.clone_role, "PROJECT_ADMIN", "MINE")
        for who, role, scope in state.held:
            if role == "MINE":
                harness.grant(role, scope, who)
    assert tx.roles


def execute(harness: AccountsHarness, operation: Operation) -> object:
    match operation:
        case ("grant", role, scope, to):
            return harness.execute("alice", assignments.grant_roles, [role], scope, to)
        case ("request", role, scope):
            return harness.execute("alice", _request_and_approve, role, scope)
        case ("revoke", role, scope, holder):
            return harness.execute("alice", assignments.revoke_roles, [role], scope, holder)
        case ("project file", str(scope)):
            # The existing members stay, with their roles.
            members = {"p1": ["paul", "PROJECT_ADMIN", "emma", "PROJECT_EXECUTOR", "rita", "PROJECT_READER"]}
            rest = members.get(scope, ["olga", "PROJECT_ADMIN"])
            with harness.read() as tx:
                columns = tables.assignments.c
                mine = list(
                    tx.conn.execute(
                        tables.assignments.select().where(columns.identity == str(ALICE), columns.scope == scope)
                    )
                )
            entries = [{"id": name, "roles": [role]} for name, role in zip(rest[::2], rest[1::2], strict=True)]
            entries.append({"id": "alice", "roles": sorted({"PROJECT_ADMIN", *(row.role for row in mine)})})
            return harness.run_command("alice", f"alter project {scope},config=m", files={"m": json.dumps(entries)})
        case ("users file", role):
            present = sorted(harness.roles_of("alice") | {str(role)})
            text = json.dumps([{"id": "alice", "roles": present}])
            return harness.run_command("alice", "alter users u", files={"u": text})
        case ("join", member):
            return harness.execute("alice", membership.add_member, "crew", member)
        case ("leave", member):
            return harness.execute("alice", membership.remove_member, "crew", member)
        case ("credential",):
            return harness.execute("alice", credentials.issue_credential, "robot")
        case ("widen",):
            return harness.execute(
                "alice", custom_roles.update_role, "TRAINER", permissions=["execute:training", "delete"]
            )
        case _:
            return harness.execute("alice", custom_roles.clone_role, "PROJECT_ADMIN", "MINE")


def _request_and_approve(tx: WriteTransaction, role: str, scope: str) -> object:
    try:
        request = access_requests.request_access(tx, role, scope)
    except Conflict:
        # The actor has the role, or can take it without a request.
        return assignments.grant_roles(tx, [role], scope, tx.actor.identity)
    return access_requests.approve_request(tx, request.data["request"])


class _RolledBack:
    """A nested transaction that is rolled back."""

    def __init__(self, tx: WriteTransaction) -> None:
        self.tx = tx

    def __enter__(self) -> None:
        self.savepoint = self.tx.conn.begin_nested()

    def __exit__(self, *error: object) -> None:
        self.savepoint.rollback()
        self.tx.record_change("rolled-back", {}, ["*"])
