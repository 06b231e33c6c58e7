"""Logins: a registration belongs to one subject of one provider, and its groups come and go with the report."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.logins import logins
from aizen_hub.accounts.logins.logins import Outcome
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import users
from aizen_hub.problems import BadInput
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from tests.accounts.harness import HUB, OPERATOR, House


def login(house: House, subject: str, name: str, provider: str = "ldap", **more: object) -> logins.LoginAnswer:
    answer: logins.LoginAnswer = house.do(HUB, logins.report, provider, subject, name, **more)
    return answer


def test_a_registration_binds_its_first_subject(house: House) -> None:
    answer = login(house, "uid-1", "Rita@example.org", display_name="Rita R", email="rita@example.org")
    assert (answer.outcome, answer.user) == (Outcome.ADMITTED, "rita")
    with house.reading() as tx:
        row = users.row_of(tx, "rita")
    assert (row.subject, row.display_name, row.email) == ("uid-1", "Rita R", "rita@example.org")
    assert login(house, "uid-1", "renamed").user == "rita"  # the label has changed, the person has not


@pytest.mark.proves("R32", "T-16")
@pytest.mark.parametrize("name", ["rita", "RITA", "rita@other.example"])
def test_a_second_subject_of_the_same_short_name_is_refused_and_recorded(house: House, name: str) -> None:
    login(house, "uid-1", "rita")
    before = house.state()
    answer = login(house, "uid-2", name)
    assert (answer.outcome, answer.user) == (Outcome.NAME_TAKEN, None)
    assert house.state() == before
    assert house.events()[-1] == "login"


@pytest.mark.proves("R22", "R32", "T-16")
def test_a_registration_with_its_domain_waits_for_exactly_this_address(house: House) -> None:
    house.do(OPERATOR, users.register, "ursula@corp.example", provider="ldap")
    for stranger in ("ursula@elsewhere.example", "ursula", "ursula@sub.corp.example"):
        assert login(house, "uid-stranger", stranger).outcome is Outcome.NAME_TAKEN, stranger
    answer = login(house, "uid-ursula", "Ursula@CORP.example")
    assert (answer.outcome, answer.user) == (Outcome.ADMITTED, "ursula")


@pytest.mark.proves("R27", "T-15")
@pytest.mark.parametrize("name", ["\uff32ita", "rit\uff41", "ri\u0074\u00aa"])
def test_what_only_folding_makes_the_same_binds_no_registration(house: House, name: str) -> None:
    assert login(house, "uid-1", name).outcome in (Outcome.NAME_TAKEN, Outcome.NOT_REGISTERED)
    assert login(house, "uid-2", "rita").outcome is Outcome.ADMITTED


@pytest.mark.proves("R27")
def test_a_group_that_only_folding_makes_known_is_another_group(house: House) -> None:
    house.do(OPERATOR, groups.create, "platform-admins", provider="ldap")
    login(house, "uid-1", "rita", groups=["\uff50latform-admins"])
    with house.reading() as tx:
        assert not tx.rights(Identity.user("rita")).uses & {"group:platform-admins"}
    login(house, "uid-1", "rita", groups=["Platform-Admins"])
    with house.reading() as tx:
        assert "group:platform-admins" in tx.rights(Identity.user("rita")).uses


def test_another_provider_s_user_of_the_same_name_is_somebody_else(house: House) -> None:
    assert login(house, "rita", "rita", provider="local").outcome is Outcome.NAME_TAKEN
    with pytest.raises(BadInput):
        login(house, "rita", "rita", provider="nowhere")


@pytest.mark.parametrize("name", ["nobody", "system", "a b", "", "*", "x" * 200])
def test_who_is_not_registered_gets_nothing(house: House, name: str) -> None:
    before = house.state()
    answer = login(house, "uid-9", name)
    assert (answer.outcome, answer.user, answer.projection.groups) == (Outcome.NOT_REGISTERED, None, ())
    assert house.state() == before


def test_auto_registration_registers_without_any_role(make_house: object) -> None:
    house = make_house(auto_register=True)  # type: ignore[operator]
    assert login(house, "uid-9", "New.Person@example.org").user == "new.person"
    assert house.roles_of("new.person") == set()
    house.run("admin", "delete user new.person")
    assert login(house, "uid-9", "new.person").outcome is Outcome.NAME_TAKEN  # nobody inherits a name


@pytest.mark.proves("R78")
def test_who_is_locked_does_not_get_in(house: House) -> None:
    login(house, "uid-1", "rita")
    house.do("admin", locks.lock, LockTarget.IDENTITY, "user:rita", reason="x")
    assert login(house, "uid-1", "rita").outcome is Outcome.LOCKED


@pytest.mark.proves("R63")
def test_directory_groups_come_and_go_with_the_report(house: House) -> None:
    for name in ("ops", "dev"):
        house.do("admin", groups.create, name, provider="ldap")
        house.give("PROJECT_READER", "p1", Identity.group(name))
    house.do("admin", groups.create, "local-one")

    def member_of() -> set[str]:
        with house.reading() as tx:
            return {one.name for one in tx.rights(Identity.user("zoe")).groups}

    login(house, "uid-1", "zoe", groups=["OPS", "unknown", "local-one", "/x/dev"])
    assert member_of() == {"ops"}
    assert house.roles_of("zoe", "p1") == {"PROJECT_READER"}
    login(house, "uid-1", "zoe", groups=None)
    assert member_of() == {"ops"}
    login(house, "uid-1", "zoe", groups=["dev"])
    assert member_of() == {"dev"}
    login(house, "uid-1", "zoe", groups=[])
    assert member_of() == set()
    assert house.roles_of("zoe", "p1") == set()


def test_the_hub_hears_of_projects_and_of_the_admin_role_as_long_as_they_are_in_effect(house: House) -> None:
    house.do("admin", groups.create, "ops", provider="ldap")
    house.give("PROJECT_READER", "p1", Identity.group("ops"))
    house.do("admin", groups.create, "idle", provider="ldap")
    first = login(house, "uid-1", "zoe", groups=["ops", "idle"]).projection
    assert (first.groups, first.admin) == (("p1",), False)
    assert login(house, "uid-1", "zoe", groups=["idle"]).projection.groups == ()
    house.give("AIZEN_ADMIN", SYSTEM, Identity.user("zoe"))
    second = login(house, "uid-1", "zoe", refresh=True).projection
    assert (second.groups, second.admin) == ((), True), "the system is no project, and never all of them by name"
    house.do("admin", assignments.revoke, ["AIZEN_ADMIN"], SYSTEM, Identity.user("zoe"), in_file=True)
    assert login(house, "uid-1", "zoe", refresh=True).projection.admin is False


def test_a_refresh_is_no_login_and_is_recorded_where_it_changed_something(house: House) -> None:
    house.do("admin", groups.create, "ops", provider="ldap")
    login(house, "uid-1", "zoe", groups=[])
    before = house.events()
    login(house, "uid-1", "zoe", groups=[], refresh=True)
    assert house.events() == before
    login(house, "uid-1", "zoe", groups=["ops"], refresh=True)
    login(house, "uid-1", "zoe", groups=[], refresh=True)
    house.do("admin", locks.lock, LockTarget.IDENTITY, "user:zoe", reason="x")
    assert login(house, "uid-1", "zoe", groups=[], refresh=True).outcome is Outcome.LOCKED
    later = house.events()[len(before) :]
    assert later.count("login.refreshed") == 3
    assert "login" not in later


@pytest.mark.proves("R63", "T-50")
def test_a_directory_membership_that_was_not_seen_lately_gives_nothing(house: House) -> None:
    house.do("admin", groups.create, "ops", provider="ldap")
    house.give("PROJECT_READER", "p1", Identity.group("ops"))
    login(house, "uid-1", "zoe", groups=["ops"])
    assert [row[0] for row in house.run("zoe", "list projects").rows] == ["p1"]
    old = house.now() - timedelta(seconds=house.settings.group_max_age_seconds)

    def age(tx: object) -> None:
        tx.conn.execute(update(tables.memberships).values(seen_at=old))  # type: ignore[attr-defined]
        tx.change("test", {}, ["*"])  # type: ignore[attr-defined]

    house.do(OPERATOR, age)
    assert house.run("zoe", "list projects").rows == ()
    login(house, "uid-1", "zoe", groups=["ops"])
    assert [row[0] for row in house.run("zoe", "list projects").rows] == ["p1"]


@pytest.mark.parametrize("bad", ["", "x" * 300])
def test_a_subject_must_be_one(house: House, bad: str) -> None:
    with pytest.raises(BadInput):
        login(house, bad, "rita")
