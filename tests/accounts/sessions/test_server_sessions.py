"""Sessions: opened by the same rules on every channel, ended for good, renewed only while active."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

import pytest
from sqlalchemy import select, update

from aizen_hub.accounts.logins import login_report
from aizen_hub.accounts.sessions import heartbeat, locks, server_sessions, spawn_options
from aizen_hub.problems import BadInput, Conflict, Denied, NotAuthenticated, NotFound, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness


def credential(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def opened(
    harness: AccountsHarness, user: str, project: str | None, token: str = "t", server: str = ""
) -> server_sessions.OpenedSession:
    return harness.execute(HUB, server_sessions.open_session, user, user, server, project, credential(token))


@pytest.mark.proves("R34")
@pytest.mark.parametrize("user", ["paul", "emma", "rita", "carl", "admin"])
def test_a_user_who_may_enter_a_project_gets_a_session(harness: AccountsHarness, user: str) -> None:
    answer = opened(harness, user, "P1")
    assert (answer.user, answer.project) == (user, "p1")
    assert set(answer.roles) == harness.roles_of(user) | harness.roles_of(user, "p1")


@pytest.mark.proves("R34", "R72", "T-23")
@pytest.mark.parametrize("project", ["p1", "p9", "../p1", "p1\n", "p\u200b1", "system", "x" * 300])
def test_a_stranger_cannot_tell_a_project_from_none(harness: AccountsHarness, project: str) -> None:
    with pytest.raises(NotFound, match="no project"):
        opened(harness, "zoe", project)
    assert harness.store.catalog  # the denial does not break the store


@pytest.mark.proves("R34")
def test_an_ex_member_gets_no_session(harness: AccountsHarness) -> None:
    opened(harness, "rita", "p1")
    harness.run_command("paul", "revoke role PROJECT_READER from rita", project="p1")
    with pytest.raises(NotFound):
        opened(harness, "rita", "p1", "u")


def test_a_system_session_needs_a_system_role(harness: AccountsHarness) -> None:
    assert opened(harness, "admin", None).project is None
    assert opened(harness, "carl", "", "u").project is None
    with pytest.raises(Denied, match="system role"):
        opened(harness, "paul", None, "v")


@pytest.mark.proves("T-24")
def test_no_user_starts_the_server_of_another(harness: AccountsHarness) -> None:
    with pytest.raises(Denied, match="cannot start the server"):
        harness.execute(HUB, server_sessions.open_session, "rita", "paul", "", "p1", credential("t"))


@pytest.mark.parametrize("bad", ["", "x", "A" * 64, "g" * 64, "a" * 63, "a" * 65])
def test_the_credential_must_be_a_hash(harness: AccountsHarness, bad: str) -> None:
    with pytest.raises(BadInput):
        harness.execute(HUB, server_sessions.open_session, "paul", "paul", "", "p1", bad)


def test_a_new_start_ends_the_earlier_session_of_that_server(harness: AccountsHarness) -> None:
    first = opened(harness, "paul", "p1", "a")
    other = opened(harness, "paul", "p1", "b", server="second")
    second = opened(harness, "paul", "p1", "c")
    with harness.read() as tx:
        assert server_sessions.find_live_session(tx, first.session_id) is None
        assert server_sessions.find_live_session(tx, other.session_id) is not None
        assert server_sessions.find_live_session(tx, second.session_id) is not None
        assert server_sessions.is_session_credential(tx, credential("a"))
    with pytest.raises(NotAuthenticated):
        harness.execute(HUB, server_sessions.renew_session, credential("a"))


def test_a_resumed_server_keeps_its_token_and_gets_a_new_session(harness: AccountsHarness) -> None:
    first = opened(harness, "paul", "p1", "a")
    harness.execute(HUB, server_sessions.end_sessions, "paul", "", "stopped")
    second = opened(harness, "paul", "p1", "a")
    assert (
        harness.execute(HUB, server_sessions.renew_session, credential("a")).session_id
        == second.session_id
        != first.session_id
    )


@pytest.mark.proves("R103", "I4")
def test_a_request_that_the_hub_repeats_opens_one_session(harness: AccountsHarness) -> None:
    first = opened(harness, "paul", "p1", "a")
    assert opened(harness, "paul", "p1", "a") == first
    with harness.read() as tx:
        sessions = tx.conn.execute(select(tables.sessions.c.id, tables.sessions.c.ended)).all()
        rows = tx.conn.execute(select(tables.audit.c.id).where(tables.audit.c.event == "session.opened")).all()
    assert sessions == [(first.session_id, None)]
    assert len(rows) == 1
    long_ago = harness.now() - timedelta(minutes=2)

    def age(tx: object) -> None:
        tx.conn.execute(update(tables.sessions).values(started=long_ago))  # type: ignore[attr-defined]

    harness.execute(OPERATOR, age)
    assert opened(harness, "paul", "p1", "a").session_id != first.session_id, "later it is another start"


@pytest.mark.proves("R50", "T-09")
def test_the_credential_of_another_server_is_refused(harness: AccountsHarness) -> None:
    opened(harness, "paul", "p1", "a")
    for user, server in (("rita", ""), ("paul", "second")):
        with pytest.raises(Conflict):
            opened(harness, user, "p1", "a", server=server)
    with pytest.raises(NotAuthenticated):
        harness.execute(HUB, server_sessions.renew_session, credential("unknown"))


@pytest.mark.proves("R46", "R78")
@pytest.mark.parametrize("how", ["stop", "identity", "project", "session", "delete", "project deleted"])
def test_after_the_end_there_is_no_renewal(harness: AccountsHarness, how: str) -> None:
    session = opened(harness, "emma", "p1")
    harness.execute(HUB, server_sessions.renew_session, credential("t"))
    match how:
        case "stop":
            harness.execute(HUB, server_sessions.end_sessions, "emma", "", "stopped")
        case "identity":
            harness.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:emma", reason="x")
        case "project":
            harness.execute("admin", locks.lock_target, LockTarget.PROJECT, "p1", reason="x")
        case "session":
            harness.execute("admin", locks.lock_target, LockTarget.SESSION, session.session_id, reason="x")
        case "delete":
            harness.run_command("admin", "delete user emma")
        case "project deleted":
            harness.run_command("paul", "delete project p1")
    with pytest.raises(NotAuthenticated):
        harness.execute(HUB, server_sessions.renew_session, credential("t"))
    with harness.read() as tx:
        assert server_sessions.find_live_session(tx, session.session_id) is None


@pytest.mark.proves("R46")
def test_a_server_that_the_hub_does_not_report_is_not_renewed(harness: AccountsHarness) -> None:
    session = opened(harness, "emma", "p1")
    harness.execute(HUB, heartbeat.process_heartbeat, [("emma", "")])
    long_ago = harness.now() - timedelta(minutes=12)

    def age(tx: object) -> None:
        tx.conn.execute(update(tables.sessions).values(started=long_ago, last_seen=long_ago + timedelta(seconds=1)))  # type: ignore[attr-defined]

    harness.execute(OPERATOR, age)
    with pytest.raises(NotAuthenticated, match="not reported"):
        harness.execute(HUB, server_sessions.renew_session, credential("t"))
    harness.execute(HUB, heartbeat.process_heartbeat, [("emma", "")])
    assert harness.execute(HUB, server_sessions.renew_session, credential("t")).session_id == session.session_id


@pytest.mark.proves("R46", "T-22")
def test_a_user_not_checked_at_their_provider_for_too_long_is_not_renewed(harness: AccountsHarness) -> None:
    session = opened(harness, "emma", "p1")
    age = timedelta(seconds=harness.settings.group_max_age_seconds)
    start = harness.now()

    def at(*, provider: str, started: datetime, checked: datetime | None) -> None:
        def work(tx: object) -> None:
            tx.conn.execute(update(tables.sessions).values(started=started, last_seen=harness.now()))  # type: ignore[attr-defined]
            values = {"provider": provider, "subject": "uid-emma", "last_seen": checked}
            tx.conn.execute(update(tables.users).where(tables.users.c.name == "emma").values(values))  # type: ignore[attr-defined]

        harness.execute(OPERATOR, work)

    def renewed() -> bool:
        try:
            found = harness.execute(HUB, server_sessions.renew_session, credential("t"))
        except NotAuthenticated as error:
            return str(error.extensions["code"]) != "not-checked"
        return bool(found.session_id == session.session_id)

    for provider, started, checked, good in (
        ("ldap", start, None, True),
        ("ldap", start - 2 * age, start, True),
        ("ldap", start, start - 2 * age, True),
        ("ldap", start - 2 * age, None, False),
        ("ldap", start - 2 * age, start - 2 * age, False),
        ("local", start - 2 * age, start - 2 * age, True),
    ):
        at(provider=provider, started=started, checked=checked)
        assert renewed() is good, (provider, started, checked)
    at(provider="ldap", started=start - 2 * age, checked=start - 2 * age)
    harness.execute(HUB, login_report.report_login, "ldap", "uid-emma", "emma", refresh=True)
    assert renewed(), "the provider answers again"


def test_the_heartbeat_ends_sessions_and_names_servers_to_stop(harness: AccountsHarness) -> None:
    opened(harness, "emma", "p1", "a")
    opened(harness, "rita", "p1", "b")
    opened(harness, "paul", "p1", "c")
    harness.execute(HUB, server_sessions.end_sessions, "paul", None, "role-lost")
    everything = [("emma", ""), ("rita", ""), ("paul", "")]
    heartbeat_result = harness.execute(HUB, heartbeat.process_heartbeat, everything)
    assert (heartbeat_result.ended, heartbeat_result.stop, heartbeat_result.without_session) == (
        (),
        (("paul", ""),),
        (),
    )
    heartbeat_result = harness.execute(HUB, heartbeat.process_heartbeat, [("emma", "")])
    assert (heartbeat_result.ended, heartbeat_result.stop) == ((("rita", ""),), ())
    harness.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:emma", reason="x")
    assert harness.execute(HUB, heartbeat.process_heartbeat, [("emma", "")]).stop == (("emma", ""),)


def test_a_server_that_is_still_starting_is_left_alone(harness: AccountsHarness) -> None:
    session = opened(harness, "emma", "p1")
    assert harness.execute(HUB, heartbeat.process_heartbeat, []).ended == ()
    with harness.read() as tx:
        assert server_sessions.find_live_session(tx, session.session_id) is not None


def test_set_project_changes_the_session_where_it_is_allowed(
    harness: AccountsHarness, make_harness: Callable[..., AccountsHarness]
) -> None:
    session = opened(harness, "carl", None)
    answer = harness.run_command("carl", "set project P1", session=session.session_id, channel=Channel.KERNEL)
    assert answer.data == {"renew": True, "project": "p1"}
    assert harness.execute(HUB, server_sessions.renew_session, credential("t")).project == "p1"
    assert harness.expect_problem("zoe", "set project p1", session=session.session_id).slug == "not-found"
    assert harness.execute(HUB, server_sessions.renew_session, credential("t"), "p1").project == "p1"


def test_set_project_can_be_switched_off(make_harness: Callable[..., AccountsHarness]) -> None:
    harness = make_harness(session={"allow_set_project": False})
    harness.register_users("carl")
    harness.grant("PROJECT_CREATOR", SYSTEM, "carl")
    harness.run_command("carl", "create project p1")
    session = opened(harness, "carl", None)
    with pytest.raises(Problem, match="cannot be changed here"):
        harness.run_command("carl", "set project p1", session=session.session_id)


def test_the_spawn_options_are_what_open_session_accepts(harness: AccountsHarness) -> None:
    harness.create_project("p2", "emma")
    for user in ("admin", "carl", "paul", "emma", "rita", "zoe", "unknown", "a\nb"):
        with harness.read() as tx:
            options = spawn_options.get_spawn_options(tx, user)
        offered = {option.name for option in options.projects}
        for number, project in enumerate(["p1", "p2", "p3", None]):
            try:
                opened(harness, user, project, f"{user}{number}")
                accepted = True
            except Problem:
                accepted = False
            assert accepted == (options.system_session if project is None else project in offered), (user, project)
        assert (options.notice is None) == bool(offered or options.system_session)


@pytest.mark.proves("R78")
def test_a_locked_user_is_offered_no_project(harness: AccountsHarness) -> None:
    harness.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:rita", reason="x")
    with pytest.raises(Denied):
        opened(harness, "rita", "p1")
    harness.execute(OPERATOR, locks.unlock_target, LockTarget.IDENTITY, "user:rita", reason="over")
    assert opened(harness, "rita", "p1").project == "p1"


def test_a_server_without_any_session_is_left_running_and_reported(harness: AccountsHarness) -> None:
    """Servers that ran when the hub began to use the service never had a session; they keep running without rights."""
    listed = [("emma", "old"), ("stranger", "")]
    heartbeat_result = harness.execute(HUB, heartbeat.process_heartbeat, listed)
    assert heartbeat_result.stop == ()
    assert heartbeat_result.without_session == (("emma", "old"), ("stranger", ""))
    harness.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:emma", reason="test")
    heartbeat_result = harness.execute(HUB, heartbeat.process_heartbeat, listed)
    assert (heartbeat_result.stop, heartbeat_result.without_session) == ((("emma", "old"),), (("stranger", ""),))


@pytest.mark.proves("R70")
def test_an_own_session_is_ended_in_person(harness: AccountsHarness) -> None:
    session = opened(harness, "rita", "p1").session_id
    acted = harness.actor("rita", acting=Identity.service_account("bot"))
    for actor in (acted, harness.actor("emma")):
        with pytest.raises(Denied):
            harness.execute(actor, server_sessions.end_session_by_id, session, "x")
    with pytest.raises(NotFound):
        harness.execute("admin", server_sessions.end_session_by_id, "0" * 32, "x")
    with pytest.raises(Denied):
        harness.execute("emma", server_sessions.end_session_by_id, "0" * 32, "x")
    harness.execute("rita", server_sessions.end_session_by_id, session, "x")
    other = opened(harness, "rita", "p1", "u").session_id
    harness.execute("admin", server_sessions.end_session_by_id, other, "x")
    with harness.read() as tx:
        assert server_sessions.find_live_session(tx, other) is None
