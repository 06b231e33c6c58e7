"""Protected roles are granted and revoked with confirmation, or after a recent login."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aizen_hub.accounts import command_handlers
from aizen_hub.problems import Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.actor import Channel
from tests.accounts.harness import AccountsHarness


@pytest.mark.parametrize("channel", [Channel.KERNEL, Channel.CLI])
@pytest.mark.proves("R77")
def test_a_protected_role_waits_for_confirmation(sandbox: AccountsHarness, channel: Channel) -> None:
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"], "username": "Tim"}])
    result = sandbox.run_command("admin", "alter users u", files={"u": text}, channel=channel)
    assert result.pending_id
    assert sandbox.roles_of("tim") == set()
    for user, options in (
        ("paul", {}),  # not entitled
        ("admin", {"channel": Channel.KERNEL}),  # not the panel
        ("admin", {"channel": Channel.CLI}),
        ("admin", {"recent_login_until": None}),  # no recent login
        ("admin", {"acting": Identity.user("zoe")}),
    ):
        with pytest.raises(Problem):
            sandbox.execute(sandbox.actor(user, **options), command_handlers.confirm_pending_change, result.pending_id)  # type: ignore[arg-type]
    assert sandbox.roles_of("tim") == set()
    sandbox.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
    assert sandbox.roles_of("tim") == {"AIZEN_ADMIN"}
    with pytest.raises(Problem, match="already confirmed"):
        sandbox.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
    assert "Tim" not in str(sandbox.state()["pending_changes"])


@pytest.mark.proves("R77")
def test_in_the_panel_a_protected_role_needs_a_recent_login(sandbox: AccountsHarness) -> None:
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"]}])
    problem = sandbox.expect_problem("admin", "alter users u", files={"u": text}, recent_login_until=None)
    assert problem.extensions["reason"] == "fresh-login-required"
    problem = sandbox.expect_problem("admin", "alter users u", files={"u": text}, recent_login_until=sandbox.now())
    assert problem.extensions["reason"] == "fresh-login-required"
    sandbox.run_command("admin", "alter users u", files={"u": text})
    assert sandbox.roles_of("tim") == {"AIZEN_ADMIN"}


def test_pending_changes_of_a_locked_or_deleted_requester_are_rejected(sandbox: AccountsHarness) -> None:
    sandbox.grant("AIZEN_ADMIN", SYSTEM, "olga")
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"]}])
    result = sandbox.run_command("olga", "alter users u", files={"u": text}, channel=Channel.KERNEL)
    removal = json.dumps([{"id": "olga", "roles": []}])
    sandbox.run_command("admin", "alter users u", files={"u": removal})
    with sandbox.read() as tx:
        assert tx.roles
    sandbox.grant("PROJECT_ADMIN", "p2", "tim")
    assert sandbox.run_command("admin", "delete user olga").data["deleted"] == ["olga"]
    with pytest.raises(Problem, match="already rejected"):
        sandbox.execute("admin", command_handlers.confirm_pending_change, result.pending_id)


def test_confirmation_can_be_switched_off(make_harness: Callable[..., AccountsHarness]) -> None:
    harness = make_harness(confirm_protected=False)
    harness.register_users("tim")
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"]}])
    assert harness.run_command("admin", "alter users u", files={"u": text}, channel=Channel.KERNEL).pending_id is None
    assert harness.roles_of("tim") == {"AIZEN_ADMIN"}
