"""What a grant would change: the preview says exactly what the grant then does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments, grant_preview
from aizen_hub.accounts.roles.grant_preview import GrantEffect, GrantPreview
from aizen_hub.accounts.sessions import locks
from aizen_hub.problems import Escalation
from aizen_hub.rbac.assignment import ALWAYS, Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, AccountsHarness

DAY = timedelta(days=1)


def preview(
    sandbox: AccountsHarness, actor: str, role: str, name: str, scope: str = "p1", interval: Interval = ALWAYS
) -> GrantPreview:
    with sandbox.write(sandbox.actor(actor)) as tx:
        return grant_preview.preview_grants(tx, tx.roles[role], scope, [Identity.user(name)], interval)[0]


def test_a_new_role(sandbox: AccountsHarness) -> None:
    result = preview(sandbox, "paul", "PROJECT_EXECUTOR", "rita")
    assert (result.kind, result.missing, result.active, result.changes_something) == (GrantEffect.NEW, (), True, True)
    assert "start training" in result.gained
    assert "list trainings" not in result.gained  # rita has it already
    assert result.may_then_grant == ()


@pytest.mark.parametrize(
    ("present", "wanted", "kind"),
    [
        (None, None, GrantEffect.SAME),
        (5, 5, GrantEffect.SAME),
        (5, 9, GrantEffect.LONGER),
        (5, None, GrantEffect.LONGER),
        (9, 5, GrantEffect.SHORTER),
        (None, 5, GrantEffect.SHORTER),
        (-1, 5, GrantEffect.NEW),
    ],
)
def test_a_role_that_is_held_already(
    sandbox: AccountsHarness, present: int | None, wanted: int | None, kind: GrantEffect
) -> None:
    now = sandbox.now()
    ends = [None if days is None else now + days * DAY for days in (present, wanted)]
    sandbox.grant("PROJECT_READER", "p1", "tim", interval=Interval(ends=ends[0]))
    result = preview(sandbox, "paul", "PROJECT_READER", "tim", interval=Interval(ends=ends[1]))
    assert result.kind is kind
    assert result.present_end == ends[0]


def test_a_role_that_a_group_gives_already(sandbox: AccountsHarness) -> None:
    crew = Identity.group("crew")
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute(OPERATOR, membership.add_member, "crew", Identity.user("tim"))
    sandbox.grant("PROJECT_READER", "p1", crew)
    result = preview(sandbox, "paul", "PROJECT_READER", "tim")
    assert (result.kind, result.through, result.gained) == (GrantEffect.NEW, (crew,), ())


@pytest.mark.proves("R66")
@pytest.mark.parametrize(
    ("actor", "role", "name", "scope"),
    [
        ("rita", "PROJECT_EXECUTOR", "tim", "p1"),
        ("paul", "PROJECT_ADMIN", "paul", "p1"),
        ("paul", "PROJECT_CREATOR", "tim", SYSTEM),
        ("carl", "PROJECT_EXECUTOR", "carl", "p1"),
        ("carl", "PROJECT_EXECUTOR", "tim", "p1"),
        ("admin", "PROJECT_READER", "tim", "p1"),
        ("admin", "PROJECT_ADMIN", "tim", "p1"),
    ],
)
def test_the_preview_refuses_what_the_grant_refuses(
    sandbox: AccountsHarness, actor: str, role: str, name: str, scope: str
) -> None:
    result = preview(sandbox, actor, role, name, scope)
    refusal: Any = None
    try:
        sandbox.execute(actor, assignments.grant_roles, [role], scope, Identity.user(name))
    except Escalation as error:
        refusal = error
    assert (result.kind is GrantEffect.REFUSED) is (refusal is not None)
    if refusal is not None:
        assert list(result.missing) == refusal.extensions["missing"]
        assert list(result.grantors) == refusal.extensions["who_can_grant"]


def test_what_the_holder_may_give(sandbox: AccountsHarness) -> None:
    result = preview(sandbox, "admin", "PROJECT_CREATOR", "tim", SYSTEM)
    assert result.may_then_grant == ("PROJECT_ADMIN", "PROJECT_EXECUTOR", "PROJECT_READER")
    assert "create project" in result.gained


def test_a_locked_account_is_named(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:tim", reason="left")
    assert not preview(sandbox, "paul", "PROJECT_READER", "tim").active


@pytest.mark.parametrize(
    ("actor", "scope", "roles"),
    [
        ("paul", "p1", ["PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN"]),
        ("paul", "p2", []),
        ("rita", "p1", []),
        ("carl", "p1", ["PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN"]),
        ("admin", "p1", ["PROJECT_ADMIN"]),
        ("admin", SYSTEM, ["PROJECT_CREATOR", "AIZEN_ADMIN"]),
        ("paul", SYSTEM, []),
    ],
)
def test_only_roles_that_the_actor_may_give_are_offered(
    sandbox: AccountsHarness, actor: str, scope: str, roles: list[str]
) -> None:
    with sandbox.write(sandbox.actor(actor)) as tx:
        assert [role.name for role in grant_preview.grantable_roles(tx, scope)] == roles


@pytest.mark.parametrize(("confirm", "expected"), [(True, True), (False, False)])
def test_sensitive_roles(make_harness: Any, confirm: bool, expected: bool) -> None:
    harness = make_harness(confirm_protected=confirm)
    with harness.read() as tx:
        assert grant_preview.is_sensitive(tx, "AIZEN_ADMIN", SYSTEM) is expected
        assert not grant_preview.is_sensitive(tx, "PROJECT_READER", "p1")
