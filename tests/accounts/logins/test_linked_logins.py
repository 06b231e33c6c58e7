"""Further logins: a road to somebody's rights, so only for those who hold them, and never two people as one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.logins import linked_logins as further_logins
from aizen_hub.accounts.logins import logins
from aizen_hub.accounts.logins.logins import Outcome
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import users
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, LastHolder, NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Road
from tests.accounts.harness import HUB, OPERATOR, House


def sign_in(house: House, subject: str, name: str = "whatever", provider: str = "idp") -> logins.LoginAnswer:
    answer: logins.LoginAnswer = house.do(HUB, logins.report, provider, subject, name)
    return answer


def numbers(house: House, name: str) -> list[int]:
    return [row[0] for row in house.do(OPERATOR, further_logins.list_of, name).rows if row[0] is not None]


@pytest.mark.proves("R66", "T-16")
def test_who_links_holds_every_right_of_the_person(house: House) -> None:
    before = house.state()
    with pytest.raises(Escalation, match="every right"):
        house.do("admin", further_logins.link, "rita", "idp", "s-1")  # rita reads p1, the admin does not
    with pytest.raises(Denied):
        house.do("paul", further_logins.link, "zoe", "idp", "s-1")
    assert house.state() == before
    house.do("admin", further_logins.link, "zoe", "idp", "s-1")
    assert sign_in(house, "s-1").user == "zoe"
    assert "login.linked" in house.events()


@pytest.mark.proves("R66", "R67")
def test_a_right_that_sleeps_in_a_directory_group_counts(house: House) -> None:
    house.do("admin", groups.create, "staff", provider="ldap")
    house.give("PROJECT_ADMIN", "p1", Identity.group("staff"))
    house.do(HUB, logins.report, "ldap", "id-zoe", "zoe", groups=["staff"])
    long_ago = house.now() - timedelta(days=9)

    def age(tx: Any) -> None:
        tx.conn.execute(update(tables.memberships).values(seen_at=long_ago))
        tx.change("test", {}, ["*"])

    house.do(OPERATOR, age)
    with pytest.raises(Escalation, match="every right"):
        house.do("admin", further_logins.link, "zoe", "idp", "s-1")


@pytest.mark.proves("R32", "T-16")
def test_one_login_belongs_to_one_person(house: House) -> None:
    house.do(OPERATOR, further_logins.link, "rita", "idp", "s-1")
    with pytest.raises(Conflict, match="somebody else"):
        house.do(OPERATOR, further_logins.link, "zoe", "idp", "s-1")
    with pytest.raises(Conflict, match="already"):
        house.do(OPERATOR, further_logins.link, "rita", "idp", "s-1")
    house.do(HUB, logins.report, "ldap", "id-zoe", "zoe")
    with pytest.raises(Conflict, match="somebody else"):
        house.do(OPERATOR, further_logins.link, "rita", "ldap", "id-zoe")
    house.run("admin", "delete user rita")
    assert sign_in(house, "s-1").outcome is Outcome.NOT_REGISTERED, "the link went with the person"


@pytest.mark.parametrize(
    ("user", "provider", "subject", "problem"),
    [
        ("nobody", "idp", "s-1", NotFound),
        ("zoe", "nowhere", "s-1", BadInput),
        ("zoe", "local", "zoe", BadInput),
        ("zoe", "idp", "", BadInput),
        ("zoe", "idp", "x" * 256, BadInput),
    ],
)
def test_what_cannot_be_linked(house: House, user: str, provider: str, subject: str, problem: type[Exception]) -> None:
    with pytest.raises(problem):
        house.do(OPERATOR, further_logins.link, user, provider, subject)


@pytest.mark.proves("R77")
def test_a_login_of_an_admin_waits_for_confirmation(house: House) -> None:
    house.people("anna")
    house.give("AIZEN_ADMIN", SYSTEM, "anna")
    held = house.do(house.actor("admin", Road.CLI), further_logins.link, "anna", "idp", "s-1")
    assert held.pending
    assert sign_in(house, "s-1").outcome is Outcome.NOT_REGISTERED
    stale = house.actor("admin", fresh_until=None)
    with pytest.raises(Denied, match="fresh"):
        house.do(stale, further_logins.link, "anna", "idp", "s-1")
    house.do("admin", carry_out.confirm, held.data["pending"])
    assert sign_in(house, "s-1").user == "anna"


def test_unlinking_ends_that_way_only(house: House) -> None:
    house.do(OPERATOR, further_logins.link, "rita", "idp", "s-1")
    house.do(OPERATOR, further_logins.link, "rita", "idp", "s-2")
    first, second = numbers(house, "rita")
    with pytest.raises(Denied):
        house.do("paul", further_logins.unlink, "rita", first)
    with pytest.raises(NotFound):
        house.do("admin", further_logins.unlink, "zoe", first)
    house.do("admin", further_logins.unlink, "rita", first)
    assert sign_in(house, "s-1").outcome is Outcome.NOT_REGISTERED
    assert sign_in(house, "s-2").user == "rita"
    assert numbers(house, "rita") == [second]


@pytest.mark.proves("R69")
def test_the_last_way_in_goes_only_if_it_is_said(house: House) -> None:
    house.do("admin", users.create, "lena", provider="local")  # never activated: no password, so no way in by it
    house.do(OPERATOR, further_logins.link, "lena", "idp", "s-1")
    (number,) = numbers(house, "lena")
    with pytest.raises(Conflict, match="last way in"):
        house.do("admin", further_logins.unlink, "lena", number)
    answer = house.do("admin", further_logins.unlink, "lena", number, last=True)
    assert "nobody can sign in" in answer.message
    assert sign_in(house, "s-1").outcome is Outcome.NOT_REGISTERED


@pytest.mark.proves("R69")
def test_the_last_admin_keeps_a_way_in_whatever_is_said(house: House) -> None:
    def to_nowhere(tx: Any) -> None:
        # The provider of the registration has gone from the settings since.
        tx.conn.execute(update(tables.users).where(tables.users.c.name == "admin").values(provider="gone"))
        tx.change("test", {}, ["*"])

    house.do(OPERATOR, to_nowhere)
    house.do(OPERATOR, further_logins.link, "admin", "idp", "s-1")
    (number,) = numbers(house, "admin")
    with pytest.raises(LastHolder, match="last AIZEN_ADMIN"):
        house.do(OPERATOR, further_logins.unlink, "admin", number, last=True)
    house.people("anna")
    house.give("AIZEN_ADMIN", SYSTEM, "anna")
    house.do(OPERATOR, further_logins.unlink, "admin", number, last=True)


def test_whose_logins_one_may_see(house: House) -> None:
    house.do(OPERATOR, further_logins.link, "rita", "idp", "s-1")
    own = house.do("rita", further_logins.list_of, "rita")
    assert [row[1:] for row in own.rows] == [
        ("ldap", None, "registration", True),
        ("idp", "s-1", "further", True),
    ]
    with pytest.raises(Denied):
        house.do("paul", further_logins.list_of, "rita")
    house.do("admin", further_logins.list_of, "rita")
    assert house.events()[-1] == "access.read"


def test_a_person_who_is_locked_takes_nothing(house: House) -> None:
    house.do("admin", locks.lock, LockTarget.IDENTITY, "user:zoe", reason="left")
    house.do("admin", further_logins.link, "zoe", "idp", "s-1")
    assert sign_in(house, "s-1").outcome is Outcome.LOCKED
    with house.reading() as tx:
        assert tx.conn.execute(select(tables.logins.c.subject)).scalars().all() == ["s-1"]
