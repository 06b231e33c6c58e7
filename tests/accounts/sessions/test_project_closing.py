"""Deleting or locking a project from one of its servers: that server goes on, the others stop after a grace."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from aizen_hub.accounts.sessions import heartbeat, locks, server_sessions
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness


def open_session(harness: AccountsHarness, user: str, server: str = "", project: str | None = "p1") -> str:
    credential = sha256(f"{user}/{server}".encode()).hexdigest()
    opened = harness.execute(HUB, server_sessions.open_session, user, user, server, project, credential)
    return str(opened.session_id)


def session_row(harness: AccountsHarness, session_id: str) -> tuple[str | None, str | None]:
    """Return the project and the end reason of a session."""
    with harness.read() as tx:
        row = tx.conn.execute(tables.sessions.select().where(tables.sessions.c.id == session_id)).one()
    return row.project, row.end_reason


def delete_project(harness: AccountsHarness, session_id: str | None, channel: Channel = Channel.KERNEL) -> str:
    return str(
        harness.run_command("paul", "delete project p1", project="p1", channel=channel, session=session_id).message
    )


def beat(harness: AccountsHarness, *servers: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    result = harness.execute(HUB, heartbeat.process_heartbeat, servers)
    assert isinstance(result, heartbeat.HeartbeatResult)
    return result.stop


@pytest.mark.proves("R48", "R144")
def test_the_server_where_it_is_typed_goes_on_without_the_project(harness: AccountsHarness) -> None:
    mine, mine_too, other = (open_session(harness, *names) for names in (("paul", ""), ("paul", "b"), ("emma", "")))
    result = harness.run_command("paul", "delete project p1", project="p1", channel=Channel.KERNEL, session=mine)
    assert "this server goes on without a project and without rights" in result.message
    assert (result.data["renew"], result.data["current_project"]) == (True, None)
    assert result.data["sessions_ended"] == 2
    assert session_row(harness, mine) == (None, None)
    assert session_row(harness, mine_too)[1] == session_row(harness, other)[1] == "project-deleted"
    renewed = harness.execute(HUB, server_sessions.renew_session, sha256(b"paul/").hexdigest())
    assert (renewed.session_id, renewed.project, renewed.roles) == (mine, None, ())


def test_its_owner_with_a_system_role_keeps_that(harness: AccountsHarness) -> None:
    harness.grant("PROJECT_CREATOR", SYSTEM, "paul")
    message = delete_project(harness, open_session(harness, "paul"))
    assert "this server goes on without a project, with your system roles" in message


@pytest.mark.parametrize("channel", [Channel.PANEL, Channel.CLI])
def test_only_a_command_line_may_run_in_a_server(harness: AccountsHarness, channel: Channel) -> None:
    session_id = open_session(harness, "paul")
    message = delete_project(harness, None, channel)
    in_server = channel is Channel.CLI
    assert ("your own servers of the project go on" in message) == in_server
    assert session_row(harness, session_id)[1] == (None if in_server else "project-deleted")


@pytest.mark.parametrize(("grace", "stops"), [(60, False), (0, True)])
@pytest.mark.proves("R48")
def test_other_servers_stop_after_the_grace(
    make_harness: Callable[..., AccountsHarness], grace: int, stops: bool
) -> None:
    harness = make_harness(session={"project_end_grace_seconds": grace})
    harness.register_users("paul", "emma")
    harness.create_project("p1", "paul")
    harness.grant("PROJECT_EXECUTOR", "p1", "emma")
    mine = open_session(harness, "paul")
    open_session(harness, "emma")
    servers = (("paul", ""), ("emma", ""))
    assert beat(harness, *servers) == ()
    delete_project(harness, mine)
    assert beat(harness, *servers) == ((("emma", ""),) if stops else ())
    harness.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, "user:emma", reason="x")
    assert beat(harness, *servers) == (("emma", ""),), "a locked user has no grace"


def test_a_session_that_ended_otherwise_has_no_grace(harness: AccountsHarness) -> None:
    session_id = open_session(harness, "emma")
    beat(harness, ("emma", ""))
    harness.execute(OPERATOR, server_sessions.end_session, session_id, "ended by an admin")
    assert beat(harness, ("emma", "")) == (("emma", ""),)


@pytest.mark.proves("R78")
def test_a_lock_on_the_own_project_does_the_same(harness: AccountsHarness) -> None:
    harness.grant("PROJECT_ADMIN", "p1", "admin")
    mine, other = open_session(harness, "admin"), open_session(harness, "emma")
    actor = harness.actor("admin", Channel.KERNEL, "p1", session=mine)
    result = harness.execute(actor, locks.lock_target, LockTarget.PROJECT, "p1", reason="an incident")
    assert "this server goes on without a project, with your system roles" in result.message
    assert session_row(harness, mine) == (None, None)
    assert session_row(harness, other)[1] == "project-locked"
    assert beat(harness, ("admin", ""), ("emma", "")) == ()
