"""What taking an assignment away would change: the preview says exactly what the revocation then does."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles.revocation_preview import RevocationPreview, preview_revocation
from aizen_hub.authorization.queries import role_coverage
from aizen_hub.rbac.engine import effective_permissions
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, ScopeKind
from tests.accounts.harness import OPERATOR, AccountsHarness

RITA, CREW = Identity.user("rita"), Identity.group("crew")


def preview(sandbox: AccountsHarness, role: str, holder: Identity, scope: str = "p1") -> RevocationPreview:
    with sandbox.read() as tx:
        row: Any = assignments.find_assignment(tx, role, scope, holder)
        return preview_revocation(tx, row.id, scope, holder)


def commands(sandbox: AccountsHarness, holder: Identity) -> set[str]:
    with sandbox.read() as tx:
        permissions = effective_permissions(tx.rights(holder), "p1", tx.now)
        return {entry.name for entry in role_coverage.allowed_commands(tx.catalog, permissions, ScopeKind.PROJECT)}


@pytest.mark.parametrize("others", [(), ("PROJECT_READER",), ("PROJECT_ADMIN",)])
def test_what_is_lost_is_what_the_revocation_takes(sandbox: AccountsHarness, others: tuple[str, ...]) -> None:
    sandbox.grant("PROJECT_EXECUTOR", "p1", "tim")
    for role in others:
        sandbox.grant(role, "p1", "tim")
    tim = Identity.user("tim")
    before = commands(sandbox, tim)
    expected = preview(sandbox, "PROJECT_EXECUTOR", tim)
    assert tuple(held.role for held in expected.remaining) == others
    sandbox.execute(OPERATOR, assignments.unauthorized_delete_assignment, "PROJECT_EXECUTOR", "p1", tim)
    assert before - commands(sandbox, tim) == set(expected.lost)


def test_a_role_through_a_group_remains(sandbox: AccountsHarness) -> None:
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute(OPERATOR, membership.add_member, "crew", RITA)
    sandbox.grant("PROJECT_READER", "p1", CREW)
    result = preview(sandbox, "PROJECT_READER", RITA)
    assert result.lost == ()
    assert [(held.role, held.via) for held in result.remaining] == [("PROJECT_READER", (CREW,))]
    of_group = preview(sandbox, "PROJECT_READER", CREW)
    assert of_group.members == 1
    assert "list trainings" in of_group.lost


def test_a_role_of_the_system(sandbox: AccountsHarness) -> None:
    result = preview(sandbox, "PROJECT_CREATOR", Identity.user("carl"), SYSTEM)
    assert "create project" in result.lost
    assert result.remaining == ()


@pytest.mark.parametrize(
    ("present", "other"), [("PROJECT_READER", "PROJECT_ADMIN"), ("PROJECT_ADMIN", "PROJECT_READER")]
)
def test_what_another_role_in_its_place_gives_and_takes(sandbox: AccountsHarness, present: str, other: str) -> None:
    tim = Identity.user("tim")
    sandbox.grant(present, "p1", "tim")
    before = commands(sandbox, tim)
    with sandbox.read() as tx:
        row: Any = assignments.find_assignment(tx, present, "p1", tim)
        expected = preview_revocation(tx, row.id, "p1", tim, replacement=tx.roles[other])
    sandbox.execute(OPERATOR, assignments.unauthorized_delete_assignment, present, "p1", tim)
    sandbox.grant(other, "p1", "tim")
    after = commands(sandbox, tim)
    assert (set(expected.gained), set(expected.lost)) == (after - before, before - after)
    assert after != before


def test_several_that_are_taken_away_together(sandbox: AccountsHarness) -> None:
    tim = Identity.user("tim")
    ids = []
    for role in ("PROJECT_READER", "PROJECT_EXECUTOR"):
        sandbox.grant(role, "p1", "tim")
        with sandbox.read() as tx:
            row: Any = assignments.find_assignment(tx, role, "p1", tim)
            ids.append(row.id)
    with sandbox.read() as tx:
        assert preview_revocation(tx, ids[0], "p1", tim).lost == ()
        together = preview_revocation(tx, ids[0], "p1", tim, besides=ids[1:])
    assert set(together.lost) == commands(sandbox, tim)
    assert together.remaining == ()
