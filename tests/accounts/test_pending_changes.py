"""Protected roles are granted and revoked with confirmation, or after a recent login."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from aizen_hub.accounts import command_handlers, pending_changes
from aizen_hub.accounts.projects import lifecycle, members
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.problems import NotFound, Problem, Stale, TooManyRequests
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from tests.accounts.harness import OPERATOR, AccountsHarness


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


@pytest.mark.proves("R77", "T-48")
def test_the_members_of_a_new_project_wait_and_are_added_to_those_it_has(
    sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No project role of the catalog is protected, so the file is made to wait."""
    sandbox.grant("PROJECT_CREATOR", SYSTEM, "olga")
    with monkeypatch.context() as patch:
        patch.setattr(pending_changes, "requires_confirmation", lambda *_: True)
        text = json.dumps([{"id": "tim", "roles": ["PROJECT_READER"]}])
        result = sandbox.execute("olga", lifecycle.create_project, "fresh", config=text)
    assert result.message == "created project `fresh`; its members wait for confirmation in the panel"
    assert sandbox.roles_of("tim", "fresh") == set()
    with sandbox.read() as tx:
        payload = tx.conn.execute(
            select(tables.pending_changes.c.payload).where(
                tables.pending_changes.c.id == result.data["members_pending"]
            )
        ).scalar_one()
    sandbox.execute("olga", members.change_confirmed_members, payload["arguments"])
    assert (sandbox.roles_of("tim", "fresh"), sandbox.roles_of("olga", "fresh")) == (
        {"PROJECT_READER"},
        {"PROJECT_ADMIN"},
    )
    p = tables.projects
    sandbox.execute(OPERATOR, lambda tx: tx.conn.execute(update(p).values(version=p.c.version + 1)))
    with pytest.raises(Stale):
        sandbox.execute("olga", members.change_confirmed_members, payload["arguments"])


def test_confirmation_can_be_switched_off(make_harness: Callable[..., AccountsHarness]) -> None:
    harness = make_harness(confirm_protected=False)
    harness.register_users("tim")
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"]}])
    assert harness.run_command("admin", "alter users u", files={"u": text}, channel=Channel.KERNEL).pending_id is None
    assert harness.roles_of("tim") == {"AIZEN_ADMIN"}


@pytest.mark.proves("R72")
def test_only_the_whole_id_names_a_change(sandbox: AccountsHarness) -> None:
    change_id = _request_credential(sandbox)
    for decide in (command_handlers.confirm_pending_change, pending_changes.reject_change):
        for length in (4, 31):
            with pytest.raises(NotFound):
                sandbox.execute("admin", decide, change_id[:length])
    sandbox.execute("admin", command_handlers.confirm_pending_change, change_id)


def test_the_same_change_waits_once(sandbox: AccountsHarness) -> None:
    first = _request_credential(sandbox)
    assert _request_credential(sandbox) == first
    assert _request_credential(sandbox, seconds=600) != first
    sandbox.execute("admin", pending_changes.reject_change, first)
    assert _request_credential(sandbox) != first


def test_the_waiting_changes_of_a_requester_are_bounded(
    sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_changes, "MAX_PENDING_PER_REQUESTER", 2)
    first = _request_credential(sandbox)
    _request_credential(sandbox, seconds=600)
    with pytest.raises(TooManyRequests, match="2 of your changes"):
        _request_credential(sandbox, seconds=700)
    assert _request_credential(sandbox) == first
    sandbox.grant("AIZEN_ADMIN", SYSTEM, "olga")
    _request_credential(sandbox, "olga")
    sandbox.execute("admin", pending_changes.reject_change, first)
    _request_credential(sandbox, seconds=700)


def _request_credential(sandbox: AccountsHarness, who: str = "admin", seconds: int = 3_600) -> str:
    with sandbox.read() as tx:
        known = tx.conn.execute(tables.service_accounts.select().filter_by(name="robot")).first()
    if known is None:
        sandbox.execute("admin", accounts.create_service_account, "robot")
    actor, lifetime = sandbox.actor(who, Channel.CLI), timedelta(seconds=seconds)
    change_id: str = sandbox.execute(actor, credentials.issue_credential, "robot", lifetime).pending_id
    return change_id
