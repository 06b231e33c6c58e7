"""Locks: who may lock may unlock, after a recent sign-in and with a reason, and sees what ends and what returns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from aizen_hub.accounts import command_handlers
from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.projects import leaving, lifecycle, profile
from aizen_hub.accounts.roles import access_requests, assignments
from aizen_hub.accounts.sessions import lock_previews, locks, server_sessions
from aizen_hub.accounts.users import registration
from aizen_hub.authorization import checks, lock_state
from aizen_hub.problems import BadInput, Denied, Escalation, LastHolder, NotFound, Stale
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness

RITA = (LockTarget.IDENTITY, "user:rita")


def is_locked(harness: AccountsHarness, target: LockTarget = LockTarget.IDENTITY, name: str = "user:rita") -> bool:
    with harness.read() as tx:
        return lock_state.is_locked(tx, target, name)


@pytest.mark.proves("R78", "R145")
@pytest.mark.parametrize("who", ["admin", "olga"])
def test_who_may_lock_may_unlock(sandbox: AccountsHarness, who: str) -> None:
    """An AIZEN_ADMIN holds no right in a project, and unlocks its members all the same."""
    sandbox.grant("AIZEN_ADMIN", SYSTEM, "olga")
    sandbox.execute("admin", locks.lock_target, *RITA, reason="lost the laptop")
    result = sandbox.execute(who, locks.unlock_target, *RITA, reason="found it")
    assert result.message == "unlocked identity `user:rita`"
    with sandbox.read() as tx:
        assert checks.decide_now(tx, Identity.user("rita"), "read:training", "p1").allowed
    tx = sandbox.outer_tx
    assert tx is not None
    (record,) = [record for record in tx._audit_records if record.event == "lock.removed"]
    assert record.details["reason"] == "found it"
    with pytest.raises(NotFound):
        sandbox.execute(who, locks.unlock_target, *RITA, reason="again")


@pytest.mark.proves("R78", "R77", "R145")
@pytest.mark.parametrize("channel", [Channel.KERNEL, Channel.CLI, Channel.SERVICE_ACCOUNT])
def test_a_program_unlocks_no_one(sandbox: AccountsHarness, channel: Channel) -> None:
    sandbox.execute("admin", locks.lock_target, *RITA, reason="x")
    for name in ("carl", "paul", "rita"):
        with pytest.raises(Denied):
            sandbox.execute(sandbox.actor(name, channel), locks.unlock_target, *RITA, reason="please")
    with pytest.raises(Denied, match="recent login"):
        sandbox.execute(sandbox.actor("admin", recent_login_until=None), locks.unlock_target, *RITA, reason="x")
    result = sandbox.execute(sandbox.actor("admin", channel), locks.unlock_target, *RITA, reason="found it")
    assert "unlock identity `user:rita`" in result.message
    assert is_locked(sandbox)
    sandbox.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
    assert not is_locked(sandbox)


@pytest.mark.proves("R78", "R145")
def test_a_lock_that_was_set_again_is_not_lifted_by_an_earlier_request(sandbox: AccountsHarness) -> None:
    sandbox.grant("AIZEN_ADMIN", SYSTEM, "olga")
    cli = sandbox.actor("admin", Channel.CLI)
    sandbox.execute("admin", locks.lock_target, *RITA, reason="late report")
    earlier = sandbox.execute(cli, locks.unlock_target, *RITA, reason="it came").pending_id
    sandbox.execute("olga", locks.lock_target, *RITA, reason="stolen laptop")
    with pytest.raises(Stale, match="locked again"):
        sandbox.execute("admin", command_handlers.confirm_pending_change, earlier)
    assert is_locked(sandbox)
    later = sandbox.execute(cli, locks.unlock_target, *RITA, reason="it came").pending_id
    assert later != earlier
    sandbox.execute("admin", command_handlers.confirm_pending_change, later)
    assert not is_locked(sandbox)


@pytest.mark.proves("R78", "R145")
def test_projects_and_sessions_are_unlocked_alike(sandbox: AccountsHarness) -> None:
    session = sandbox.execute(HUB, server_sessions.open_session, "rita", "rita", "", "p1", "a" * 64).session_id
    for target, name in ((LockTarget.SESSION, session), (LockTarget.PROJECT, "p1")):
        sandbox.execute("admin", locks.lock_target, target, name, reason="x")
        result = sandbox.execute(sandbox.actor("admin", Channel.CLI), locks.unlock_target, target, name, reason="over")
        assert is_locked(sandbox, target, name)
        sandbox.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
        assert not is_locked(sandbox, target, name)


@pytest.mark.proves("R78", "R145")
def test_a_reason_is_needed(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", locks.lock_target, *RITA, reason="x")
    with pytest.raises(BadInput, match="reason"):
        sandbox.execute("admin", locks.unlock_target, *RITA, reason=" ")


@pytest.mark.proves("R78", "R68", "R145")
def test_no_user_unlocks_themselves(sandbox: AccountsHarness) -> None:
    """Neither the account, nor a group that the actor is in."""
    sandbox.grant("AIZEN_ADMIN", SYSTEM, "tim")
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute(OPERATOR, membership.add_member, "crew", Identity.user("tim"))
    sandbox.grant("PROJECT_READER", "p1", Identity.group("crew"))
    for name in ("group:crew", "user:tim"):
        sandbox.execute("admin", locks.lock_target, LockTarget.IDENTITY, name, reason="x")
        with pytest.raises((Denied, Escalation)):
            sandbox.execute("tim", locks.unlock_target, LockTarget.IDENTITY, name, reason="me again")
        sandbox.execute("admin", locks.unlock_target, LockTarget.IDENTITY, name, reason="over")


@pytest.mark.proves("R78", "R145")
def test_a_permanent_lock_can_get_an_end(sandbox: AccountsHarness) -> None:
    until = sandbox.now() + timedelta(days=2)
    sandbox.execute("admin", locks.lock_target, *RITA, reason="on leave")
    sandbox.execute("admin", locks.unlock_target, *RITA, reason="back then", ends=until)
    assert is_locked(sandbox)
    ((*_, ends, _, _, active),) = sandbox.execute("admin", locks.list_locks).rows
    assert (ends, active) == (until, True)
    with sandbox.read() as tx:
        rights = tx.rights(Identity.user("rita"))
        assert rights.active_lock("p1", None, until - timedelta(seconds=1)) is not None
        assert rights.active_lock("p1", None, until) is None
    for end in (until, until + timedelta(days=1), sandbox.now() - timedelta(days=1)):
        with pytest.raises(BadInput):
            sandbox.execute("admin", locks.unlock_target, *RITA, reason="x", ends=end)


@pytest.mark.proves("R78", "R145")
def test_an_unlock_is_reported(make_harness: Callable[..., AccountsHarness]) -> None:
    """Who was locked, and who locked, are alerted."""
    harness = make_harness(alerts={"webhook_url": "http://127.0.0.1:9/"})
    harness.register_users("olga", "rita")
    harness.grant("AIZEN_ADMIN", SYSTEM, "olga")
    harness.execute("olga", locks.lock_target, *RITA, reason="x")
    for name in ("olga", "rita"):
        harness.execute(
            OPERATOR, lambda tx, name=name: tx.conn.execute(
                tables.users.update().where(tables.users.c.name == name).values(phone="+1", alerts={"phone": True})
            )
        )  # fmt: skip
    harness.execute("admin", locks.unlock_target, *RITA, reason="found it")
    o = tables.outbox
    with harness.read() as tx:
        rows = tx.conn.execute(select(o.c.recipient, o.c.payload).where(o.c.event == "unlocked")).all()
    assert {row.recipient for row in rows} == {"*", "olga", "rita"}
    assert all(row.payload["reason"] == "found it" and row.payload["by"] == "admin" for row in rows)


@pytest.mark.proves("R78", "R145")
def test_what_a_lock_ends_is_shown_before(sandbox: AccountsHarness) -> None:
    sandbox.execute(HUB, server_sessions.open_session, "rita", "rita", "lab", "p1", "a" * 64)
    before = sandbox.state()
    (row,) = sandbox.execute("admin", lock_previews.list_what_ends, Identity.user("rita")).rows
    assert row[:4] == ("session", "rita", "lab", "p1")
    assert sandbox.state() == before
    with pytest.raises(LastHolder):
        sandbox.execute("admin", lock_previews.list_what_ends, Identity.user("admin"))
    for name in ("carl", "rita"):
        with pytest.raises(Denied):
            sandbox.execute(name, lock_previews.list_what_ends, Identity.user("rita"))


@pytest.mark.proves("R78", "R145")
def test_what_returns_is_shown_before(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", locks.lock_target, *RITA, reason="x")
    (row,) = sandbox.execute("admin", lock_previews.find_what_returns, *RITA).rows
    assert row == ("PROJECT_READER", "p1", "", None, None)
    sandbox.execute("admin", locks.lock_target, LockTarget.PROJECT, "p1", reason="x")
    rows = sandbox.execute("admin", lock_previews.find_what_returns, LockTarget.PROJECT, "p1").rows
    assert ("PROJECT_READER", "p1", "user:rita", None, None) in rows
    with pytest.raises(Denied):
        sandbox.execute("paul", lock_previews.find_what_returns, LockTarget.PROJECT, "p1")


def test_what_returns_through_a_directory_has_no_end(sandbox: AccountsHarness) -> None:
    confirmed_until = sandbox.add_directory_member("crew", Identity.user("rita"))
    sandbox.grant("PROJECT_EXECUTOR", "p1", Identity.group("crew"))
    sandbox.execute("admin", locks.lock_target, *RITA, reason="x")
    rows = sandbox.execute("admin", lock_previews.find_what_returns, *RITA).rows
    assert ("PROJECT_EXECUTOR", "p1", "group:crew", None, confirmed_until) in rows


ARCHIVE = (LockTarget.ARCHIVE, "p1")


def archive(harness: AccountsHarness) -> None:
    harness.execute("admin", locks.lock_target, *ARCHIVE, reason="the study ended")


@pytest.mark.proves("R78", "R93")
def test_an_archived_project_is_read_and_not_changed(sandbox: AccountsHarness) -> None:
    def may(user: str, permission: str) -> Decision:
        with sandbox.read() as tx:
            return checks.decide_now(tx, Identity.user(user), permission, "p1")

    assert may("paul", "write:training").allowed
    archive(sandbox)
    for user in ("paul", "emma", "rita"):
        assert may(user, "read:training").allowed
        assert may(user, "write:training").reason is Reason.ARCHIVED
    assert may("paul", "grant:roles").sentence == (
        "the project `p1` is archived and can only be read: the study ended; AIZEN_ADMIN can restore it"
    )
    for change in (
        lambda tx: assignments.grant_roles(tx, ["PROJECT_READER"], "p1", Identity.user("zoe")),
        lambda tx: assignments.revoke_roles(tx, ["PROJECT_READER"], "p1", Identity.user("rita")),
    ):
        for actor in ("paul", "admin"):
            with pytest.raises(Escalation, match="`p1` is archived"):
                sandbox.execute(actor, change)
    for actor, change in (
        ("rita", lambda tx: leaving.leave_project(tx, "p1")),
        ("paul", lambda tx: profile.update_profile(tx, "p1", description="new", listed=None)),
        ("rita", lambda tx: access_requests.request_access(tx, "PROJECT_EXECUTOR", "p1")),
        ("paul", lambda tx: lifecycle.delete_project(tx, "p1")),
    ):
        with pytest.raises(Denied, match="`p1` is archived"):
            sandbox.execute(actor, change)
    assert sandbox.roles_of("rita", "p1") == {"PROJECT_READER"}
    # Someone without a role there learns nothing of it (R72).
    with pytest.raises(NotFound, match="there is no project `p1`"):
        sandbox.execute("zoe", access_requests.request_access, "PROJECT_READER", "p1")
    result = sandbox.execute("admin", locks.unlock_target, *ARCHIVE, reason="more data came")
    assert result.message == "restored the project `p1`"
    assert may("paul", "write:training").allowed
    assert sandbox.outer_tx is not None
    events = [record.event for record in sandbox.outer_tx._audit_records if record.project == "p1"]
    assert events.count("project.archived") == events.count("project.restored") == 1


def test_servers_of_an_archived_project_go_on_and_none_starts(harness: AccountsHarness) -> None:
    session = harness.execute(HUB, server_sessions.open_session, "rita", "rita", "", "p1", "a" * 64).session_id
    archive(harness)
    with harness.read() as tx:
        assert server_sessions.find_live_session(tx, session) is not None
    assert harness.execute(HUB, server_sessions.renew_session, "a" * 64).project == "p1"
    with pytest.raises(Denied, match="can only be read"):
        harness.execute(HUB, server_sessions.open_session, "emma", "emma", "", "p1", "b" * 64)
    harness.create_project("p2", "emma")
    other = harness.execute(HUB, server_sessions.open_session, "emma", "emma", "", "p2", "b" * 64).session_id
    harness.execute(HUB, server_sessions.set_session_project, other, "p1")  # where it is allowed, to read


@pytest.mark.proves("R60", "R77")
def test_who_archives_and_who_restores(sandbox: AccountsHarness) -> None:
    for user in ("paul", "rita", "carl"):
        with pytest.raises(Denied):
            sandbox.execute(user, locks.lock_target, *ARCHIVE, reason="mine")
    with pytest.raises(BadInput, match="no end"):
        sandbox.execute("admin", locks.lock_target, *ARCHIVE, reason="x", ends=sandbox.now() + timedelta(days=1))
    with pytest.raises(NotFound, match="is not archived"):
        sandbox.execute("admin", locks.unlock_target, *ARCHIVE, reason="x")
    archive(sandbox)
    waiting = sandbox.execute(sandbox.actor("admin", Channel.CLI), locks.unlock_target, *ARCHIVE, reason="needed")
    assert "restore the archived project `p1`" in waiting.message
    assert is_locked(sandbox, *ARCHIVE)
    sandbox.execute("admin", command_handlers.confirm_pending_change, waiting.pending_id)
    assert not is_locked(sandbox, *ARCHIVE)


def test_who_has_a_role_in_an_archived_project_can_still_be_deleted(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_ADMIN", "p1", "emma")
    archive(sandbox)
    sandbox.execute("admin", registration.delete_users, ["emma"])
    assert sandbox.roles_of("emma", "p1") == set()
