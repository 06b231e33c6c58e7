"""Sessions: opened on every road by the same rules, ended for good, renewed only while alive."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256

import pytest
from sqlalchemy import update

from aizen_hub.accounts.logins import logins
from aizen_hub.accounts.sessions import heartbeat, locks, sessions
from aizen_hub.accounts.sessions import spawn_options as choices
from aizen_hub.problems import BadInput, Conflict, Denied, NotAuthenticated, NotFound, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Road
from tests.accounts.harness import HUB, OPERATOR, House


def credential(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def opened(house: House, user: str, project: str | None, token: str = "t", server: str = "") -> sessions.Opened:
    return house.do(HUB, sessions.open, user, user, server, project, credential(token))


@pytest.mark.proves("R34")
@pytest.mark.parametrize("user", ["paul", "emma", "rita", "carl", "admin"])
def test_whoever_may_enter_a_project_gets_a_session(house: House, user: str) -> None:
    answer = opened(house, user, "P1")
    assert (answer.user, answer.project) == (user, "p1")
    assert set(answer.roles) == house.roles_of(user) | house.roles_of(user, "p1")


@pytest.mark.proves("R34", "R72", "T-23")
@pytest.mark.parametrize("project", ["p1", "p9", "../p1", "p1\n", "p\u200b1", "system", "x" * 300])
def test_a_stranger_cannot_tell_a_project_from_none(house: House, project: str) -> None:
    with pytest.raises(NotFound, match="no project"):
        opened(house, "zoe", project)
    assert house.store.catalog  # the refusal is a plain answer, the store goes on


@pytest.mark.proves("R34")
def test_an_ex_member_gets_no_session(house: House) -> None:
    opened(house, "rita", "p1")
    house.run("paul", "revoke role PROJECT_READER from rita", project="p1")
    with pytest.raises(NotFound):
        opened(house, "rita", "p1", "u")


def test_a_system_session_needs_a_system_role(house: House) -> None:
    assert opened(house, "admin", None).project is None
    assert opened(house, "carl", "", "u").project is None
    with pytest.raises(Denied, match="system role"):
        opened(house, "paul", None, "v")


@pytest.mark.proves("T-24")
def test_nobody_starts_the_server_of_somebody_else(house: House) -> None:
    with pytest.raises(Denied, match="cannot start the server"):
        house.do(HUB, sessions.open, "rita", "paul", "", "p1", credential("t"))


@pytest.mark.parametrize("bad", ["", "x", "A" * 64, "g" * 64, "a" * 63, "a" * 65])
def test_the_credential_must_be_a_hash(house: House, bad: str) -> None:
    with pytest.raises(BadInput):
        house.do(HUB, sessions.open, "paul", "paul", "", "p1", bad)


def test_a_new_start_ends_the_earlier_session_of_that_server(house: House) -> None:
    first = opened(house, "paul", "p1", "a")
    other = opened(house, "paul", "p1", "b", server="second")
    second = opened(house, "paul", "p1", "c")
    with house.reading() as tx:
        assert sessions.live(tx, first.session_id) is None
        assert sessions.live(tx, other.session_id) is not None
        assert sessions.live(tx, second.session_id) is not None
        assert sessions.was_credential(tx, credential("a"))
    with pytest.raises(NotAuthenticated):
        house.do(HUB, sessions.renew, credential("a"))


def test_a_resumed_server_keeps_its_token_and_gets_a_new_session(house: House) -> None:
    first = opened(house, "paul", "p1", "a")
    second = opened(house, "paul", "p1", "a")
    assert house.do(HUB, sessions.renew, credential("a")).session_id == second.session_id != first.session_id


@pytest.mark.proves("R50", "T-09")
def test_the_credential_of_another_server_is_refused(house: House) -> None:
    opened(house, "paul", "p1", "a")
    for user, server in (("rita", ""), ("paul", "second")):
        with pytest.raises(Conflict):
            opened(house, user, "p1", "a", server=server)
    with pytest.raises(NotAuthenticated):
        house.do(HUB, sessions.renew, credential("unknown"))


@pytest.mark.proves("R46", "R78")
@pytest.mark.parametrize("how", ["stop", "identity", "project", "session", "delete", "project deleted"])
def test_after_the_end_there_is_no_renewal(house: House, how: str) -> None:
    session = opened(house, "emma", "p1")
    house.do(HUB, sessions.renew, credential("t"))
    match how:
        case "stop":
            house.do(HUB, sessions.end, "emma", "", "stopped")
        case "identity":
            house.do("admin", locks.lock, LockTarget.IDENTITY, "user:emma", reason="x")
        case "project":
            house.do("admin", locks.lock, LockTarget.PROJECT, "p1", reason="x")
        case "session":
            house.do("admin", locks.lock, LockTarget.SESSION, session.session_id, reason="x")
        case "delete":
            house.run("admin", "delete user emma")
        case "project deleted":
            house.run("paul", "delete project p1")
    with pytest.raises(NotAuthenticated):
        house.do(HUB, sessions.renew, credential("t"))
    with house.reading() as tx:
        assert sessions.live(tx, session.session_id) is None


@pytest.mark.proves("R46")
def test_a_server_that_the_hub_does_not_name_is_not_renewed(house: House) -> None:
    session = opened(house, "emma", "p1")
    house.do(HUB, heartbeat.take, [("emma", "")])
    long_ago = house.now() - timedelta(minutes=12)

    def age(tx: object) -> None:
        tx.conn.execute(update(tables.sessions).values(started=long_ago, heard=long_ago + timedelta(seconds=1)))  # type: ignore[attr-defined]

    house.do(OPERATOR, age)
    with pytest.raises(NotAuthenticated, match="not named"):
        house.do(HUB, sessions.renew, credential("t"))
    house.do(HUB, heartbeat.take, [("emma", "")])
    assert house.do(HUB, sessions.renew, credential("t")).session_id == session.session_id


@pytest.mark.proves("R46", "T-22")
def test_whose_provider_is_silent_for_too_long_is_not_renewed(house: House) -> None:
    session = opened(house, "emma", "p1")
    age = timedelta(seconds=house.settings.group_max_age_seconds)
    start = house.now()

    def at(*, provider: str, started: datetime, checked: datetime | None) -> None:
        def work(tx: object) -> None:
            tx.conn.execute(update(tables.sessions).values(started=started, heard=house.now()))  # type: ignore[attr-defined]
            values = {"provider": provider, "last_seen": checked}
            tx.conn.execute(update(tables.users).where(tables.users.c.name == "emma").values(values))  # type: ignore[attr-defined]

        house.do(OPERATOR, work)

    def renewed() -> bool:
        try:
            found = house.do(HUB, sessions.renew, credential("t"))
        except NotAuthenticated as error:
            return str(error.more["code"]) != "not-checked"
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
    house.do(HUB, logins.report, "ldap", "uid-emma", "emma", refresh=True)
    assert renewed(), "the provider answers again"


def test_the_heartbeat_ends_what_is_gone_and_names_what_must_stop(house: House) -> None:
    opened(house, "emma", "p1", "a")
    opened(house, "rita", "p1", "b")
    opened(house, "paul", "p1", "c")
    house.do(HUB, sessions.end, "paul", None, "role-lost")
    everything = [("emma", ""), ("rita", ""), ("paul", "")]
    heard = house.do(HUB, heartbeat.take, everything)
    assert (heard.ended, heard.stop, heard.without) == ((), (("paul", ""),), ())
    heard = house.do(HUB, heartbeat.take, [("emma", "")])
    assert (heard.ended, heard.stop) == ((("rita", ""),), ())
    house.do("admin", locks.lock, LockTarget.IDENTITY, "user:emma", reason="x")
    assert house.do(HUB, heartbeat.take, [("emma", "")]).stop == (("emma", ""),)


def test_a_server_that_is_still_starting_is_left_alone(house: House) -> None:
    session = opened(house, "emma", "p1")
    assert house.do(HUB, heartbeat.take, []).ended == ()
    with house.reading() as tx:
        assert sessions.live(tx, session.session_id) is not None


def test_set_project_changes_the_session_where_it_is_allowed(house: House, make_house: object) -> None:
    session = opened(house, "carl", None)
    answer = house.run("carl", "set project P1", session=session.session_id, road=Road.KERNEL)
    assert answer.data == {"renew": True, "project": "p1"}
    assert house.do(HUB, sessions.renew, credential("t")).project == "p1"
    assert house.refused("zoe", "set project p1", session=session.session_id).slug == "not-found"
    assert house.do(HUB, sessions.renew, credential("t"), "p1").project == "p1"


def test_set_project_can_be_switched_off(make_house: object) -> None:
    house = make_house(session={"allow_set_project": False})  # type: ignore[operator]
    house.people("carl")
    house.give("PROJECT_CREATOR", SYSTEM, "carl")
    house.run("carl", "create project p1")
    session = opened(house, "carl", None)
    with pytest.raises(Problem, match="cannot be changed here"):
        house.run("carl", "set project p1", session=session.session_id)


def test_the_choices_are_what_open_accepts(house: House) -> None:
    house.project("p2", "emma")
    for user in ("admin", "carl", "paul", "emma", "rita", "zoe", "nobody", "a\nb"):
        with house.reading() as tx:
            found = choices.of(tx, user)
        offered = {one.name for one in found.projects}
        for number, project in enumerate(["p1", "p2", "p3", None]):
            try:
                opened(house, user, project, f"{user}{number}")
                accepted = True
            except Problem:
                accepted = False
            assert accepted == (found.system_session if project is None else project in offered), (user, project)
        assert (found.notice is None) == bool(offered or found.system_session)


@pytest.mark.proves("R78")
def test_a_locked_person_is_offered_nothing_they_could_open(house: House) -> None:
    house.do("admin", locks.lock, LockTarget.IDENTITY, "user:rita", reason="x")
    with pytest.raises(Denied):
        opened(house, "rita", "p1")
    house.do(OPERATOR, locks.unlock, LockTarget.IDENTITY, "user:rita")
    assert opened(house, "rita", "p1").project == "p1"


def test_a_server_of_before_is_left_running_and_named(house: House) -> None:
    """What ran when the hub began to use the service never had a session; nothing is lost, nothing is given."""
    listed = [("emma", "old"), ("stranger", "")]
    heard = house.do(HUB, heartbeat.take, listed)
    assert heard.stop == ()
    assert heard.without == (("emma", "old"), ("stranger", ""))
    house.do("admin", locks.lock, LockTarget.IDENTITY, "user:emma", reason="test")
    heard = house.do(HUB, heartbeat.take, listed)
    assert (heard.stop, heard.without) == ((("emma", "old"),), (("stranger", ""),))


@pytest.mark.proves("R70")
def test_one_s_own_session_is_ended_in_person(house: House) -> None:
    session = opened(house, "rita", "p1").session_id
    acted = house.actor("rita", acting=Identity.service_account("bot"))
    for actor in (acted, house.actor("emma")):
        with pytest.raises(Denied):
            house.do(actor, sessions.end_one, session, "x")
    with pytest.raises(NotFound):
        house.do("admin", sessions.end_one, "0" * 32, "x")
    with pytest.raises(Denied):
        house.do("emma", sessions.end_one, "0" * 32, "x")
    house.do("rita", sessions.end_one, session, "x")
    other = opened(house, "rita", "p1", "u").session_id
    house.do("admin", sessions.end_one, other, "x")
    with house.reading() as tx:
        assert sessions.live(tx, other) is None
