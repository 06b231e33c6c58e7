"""Why an actor cannot revoke an assignment: not theirs, by a rule, the last one; and who may."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from aizen_hub.accounts.roles.revocability import find_obstacles
from aizen_hub.authorization.queries.effective_access import list_access
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness


def obstacles(harness: AccountsHarness, actor: str, holder: str) -> dict[str, str]:
    """Return the obstacle of each role that a user has in `p1`."""
    with harness.store.read_as(harness.actor(actor)) as tx:
        identity = Identity.user(holder)
        held_roles = [held for scope in list_access(tx, identity).scopes for held in scope.roles]
        found = find_obstacles(tx, identity, held_roles)
    return {held.role: found[held.assignment_id] for held in held_roles if held.scope == "p1" and not held.via}


@pytest.mark.parametrize(
    ("actor", "holder", "expected"),
    [
        ("paul", "rita", {"PROJECT_READER": ""}),
        ("admin", "rita", {"PROJECT_READER": "paul may"}),
        ("zoe", "rita", {"PROJECT_READER": "paul may"}),
        ("paul", "paul", {"PROJECT_ADMIN": "admin may"}),
    ],
)
def test_who_may_revoke_is_named(harness: AccountsHarness, actor: str, holder: str, expected: dict[str, str]) -> None:
    assert obstacles(harness, actor, holder) == expected


def test_the_last_holder_and_what_a_rule_gives_stay(harness: AccountsHarness) -> None:
    harness.grant("PROJECT_ADMIN", "p1", "zoe")
    with harness.write(OPERATOR) as tx:
        # As if the account of `paul` were not activated: `zoe` is the only one who counts.
        tx.conn.execute(update(tables.users).where(tables.users.c.name == "paul").values(active=False))
        tx.record_change("user", {"user": "paul"}, ["user:paul"])
    harness.grant("PROJECT_EXECUTOR", "p1", "rita", mapped=True)
    assert obstacles(harness, "admin", "zoe") == {"PROJECT_ADMIN": "the last one"}
    assert obstacles(harness, "zoe", "rita") == {"PROJECT_READER": "", "PROJECT_EXECUTOR": "by a rule"}
