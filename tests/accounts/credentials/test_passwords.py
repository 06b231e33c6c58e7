"""Passwords and activation links of local accounts, and how guessing is slowed down."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import func, select, update

from aizen_hub.accounts.credentials import activation, passwords
from aizen_hub.accounts.credentials import login_throttle as throttle
from aizen_hub.accounts.logins import logins
from aizen_hub.accounts.logins.logins import Outcome
from aizen_hub.accounts.users import users
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, NotAuthenticated
from aizen_hub.store import tables
from tests.accounts.harness import HUB, OPERATOR, House

GOOD = "correct horse battery"


def local(house: House, name: str = "lena") -> activation.Link:
    answer = house.do("admin", users.create, name, provider="local")
    link = answer.data["activation"]
    return activation.Link(link["token"], house.now())


def password(house: House, name: str, given: str, source: str | None = None) -> passwords.PasswordAnswer:
    attempt: passwords.Attempt = house.do(HUB, passwords.begin, "local", name, source)
    answer: passwords.PasswordAnswer = house.do(HUB, passwords.finish, attempt, attempt.verify(given))
    return answer


def test_an_activation_link_works_once(house: House) -> None:
    link = local(house)
    assert password(house, "lena", GOOD).outcome == "refused"
    assert house.do(HUB, logins.report, "local", "lena", "lena").outcome is Outcome.NOT_ACTIVE
    assert house.do(HUB, activation.redeem, link.token, GOOD) == "lena"
    assert password(house, "LENA", GOOD).subject == "lena"
    assert house.do(HUB, logins.report, "local", "lena", "lena").outcome is Outcome.ADMITTED
    with pytest.raises(NotAuthenticated):
        house.do(HUB, activation.redeem, link.token, GOOD + "2")
    assert password(house, "lena", GOOD).outcome == "verified"


@pytest.mark.proves("R31")
@pytest.mark.parametrize("how", ["reissued", "expired", "deleted", "unknown"])
def test_a_void_link_is_void(house: House, how: str) -> None:
    link = local(house)
    match how:
        case "reissued":
            house.do("admin", activation.issue, "lena")
        case "expired":
            house.do(OPERATOR, lambda tx: tx.conn.execute(update(tables.activations).values(expires=tx.now)))
        case "deleted":
            house.run("admin", "delete user lena")
        case "unknown":
            link = activation.Link("x" * 43, house.now())
    with pytest.raises(NotAuthenticated):
        house.do(HUB, activation.redeem, link.token, GOOD)


def test_only_the_hash_of_a_link_is_stored(house: House) -> None:
    link = local(house)
    assert link.token not in repr(house.state())
    with house.reading() as tx:
        assert link.token not in repr(tx.conn.execute(tables.changes.select()).all())
        assert link.token not in repr(tx.conn.execute(select(tables.audit.c.body)).all())


@pytest.mark.proves("R67")
def test_the_link_of_somebody_with_more_rights_is_not_issued(house: House) -> None:
    link = local(house)
    house.do(HUB, activation.redeem, link.token, GOOD)
    house.give("PROJECT_ADMIN", "p1", "lena")
    with pytest.raises(Escalation, match="every right"):
        house.do("admin", activation.issue, "lena")
    with pytest.raises(Denied):
        house.do("paul", activation.issue, "lena")
    with pytest.raises(Conflict):
        house.do("admin", activation.issue, "rita")


@pytest.mark.parametrize("bad", ["", "short", "a" * 40, "x" * 2000, "nul\0nul\0nulnul", "lena-lena-lena-1"])
def test_a_weak_password_is_refused_and_the_link_stays_good(house: House, bad: str) -> None:
    link = local(house)
    with pytest.raises(BadInput):
        house.do(HUB, activation.redeem, link.token, bad)
    assert house.do(HUB, activation.redeem, link.token, GOOD) == "lena"


@pytest.mark.proves("R123")
def test_guessing_is_throttled_and_a_success_forgives(house: House) -> None:
    house.do("admin", users.create, "lena", provider="local", password=GOOD)
    for _ in range(throttle.FREE_TRIES - 1):
        assert password(house, "lena", "wrong").outcome == "refused"
    assert password(house, "lena", GOOD).outcome == "verified"
    for _ in range(throttle.FREE_TRIES):
        password(house, "lena", "wrong")
    answer = password(house, "lena", GOOD)
    assert answer.outcome == "throttled"
    assert answer.retry_after is not None
    assert answer.retry_after >= 1
    assert password(house, "ghost", "wrong").outcome == "refused"  # others go on


@pytest.mark.proves("R123")
def test_the_wait_grows_and_is_bounded(house: House) -> None:
    waits = []
    for _ in range(throttle.FREE_TRIES + 14):
        house.do(HUB, passwords.begin, "local", "ghost")
        with house.reading() as tx:
            waits.append(tx.conn.execute(select(func.max(tables.throttles.c.until))).scalar_one() - tx.now)
        house.do(
            OPERATOR, lambda tx: tx.conn.execute(update(tables.throttles).values(until=tx.now - timedelta(minutes=1)))
        )
    assert all(later >= earlier - timedelta(seconds=1) for earlier, later in pairwise(waits))
    assert timedelta(minutes=14) < waits[-1] <= throttle.LONGEST_WAIT


def test_attempts_in_parallel_are_counted_before_they_are_judged(house: House) -> None:
    attempts = [house.do(HUB, passwords.begin, "local", "ghost") for _ in range(throttle.FREE_TRIES + 3)]
    assert [one.retry_after is None for one in attempts] == [True] * throttle.FREE_TRIES + [False] * 3


@pytest.mark.proves("T-35", "R124")
class TestThrottle:
    HERE, THERE = "192.0.2.7", "198.51.100.9"

    @staticmethod
    def fail(house: House, name: str, source: str, times: int = 1) -> list[int | None]:
        return [house.do(HUB, throttle.enter, "ldap", name, source) for _ in range(times)]

    @staticmethod
    def later(house: House) -> None:
        """Let every wait be over, without anything being forgotten."""
        t = tables.throttles
        past = timedelta(minutes=1)
        house.do(OPERATOR, lambda tx: tx.conn.execute(update(t).where(t.c.failures > 0).values(until=tx.now - past)))

    def test_guessing_here_does_not_keep_the_owner_out_there(self, town: House) -> None:
        assert self.fail(town, "boss", self.HERE, 12)[-1] is not None
        assert self.fail(town, "boss", self.THERE) == [None]

    def test_a_name_in_another_spelling_is_the_same_name(self, town: House) -> None:
        self.fail(town, "boss", self.HERE, throttle.FREE_TRIES)
        assert self.fail(town, "BOSS", self.HERE)[0] is not None

    @pytest.mark.proves("R33")
    @pytest.mark.parametrize("form", ["boss|{}", "boss\n{}", 'boss", "{}', "boss:{}", "boss\x00{}"])
    def test_no_other_name_passes_for_a_name_at_its_place(self, town: House, form: str) -> None:
        name = form.format(self.HERE)
        for number in range(throttle.FREE_OF_NAME):
            assert self.fail(town, name, f"203.0.113.{number}") == [None]
        assert self.fail(town, name, self.THERE)[0] is not None
        assert self.fail(town, "boss", self.HERE) == [None]
        town.do(HUB, throttle.forgive, "ldap", name, self.THERE)

    def test_a_name_that_nobody_has_never_counts_for_one_that_somebody_has(self, town: House) -> None:
        for number in range(throttle.FREE_OF_NAME + 1):
            self.fail(town, "o`brien", f"203.0.113.{number}")
        assert self.fail(town, "o'brien", self.HERE) == [None]

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("2001:db8::1", "2001:db8::ffff:0:0:2", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
            ("::ffff:192.0.2.7", "192.0.2.7", True),
            ("::ffff:192.0.2.7", "::ffff:192.0.2.8", False),
            ("192.0.2.7", "192.0.2.8", False),
            ("fe80::1%eth0", "fe80::2%eth1", True),
        ],
    )
    def test_an_ipv6_customer_is_one_place(self, town: House, one: str, other: str, same: bool) -> None:
        self.fail(town, "boss", one, throttle.FREE_TRIES)
        assert (self.fail(town, "boss", other)[0] is not None) is same

    def test_many_names_from_one_source_wait_and_others_do_not(self, town: House) -> None:
        waits = [self.fail(town, f"name{number}", self.HERE)[0] for number in range(throttle.FREE_OF_SOURCE + 1)]
        assert waits[-2:] == [None, 1]
        assert self.fail(town, "tim", self.THERE) == [None]

    def test_one_name_from_everywhere_waits_but_not_where_it_is_known(self, town: House) -> None:
        town.do(HUB, throttle.forgive, "ldap", "boss", self.HERE)
        for number in range(throttle.FREE_OF_NAME):
            assert self.fail(town, "boss", f"203.0.113.{number}") == [None]
        assert self.fail(town, "boss", self.THERE)[0] is not None
        assert self.fail(town, "boss", self.HERE) == [None]

    def test_whoever_is_known_here_does_not_wait_for_the_neighbours(self, town: House) -> None:
        town.do(HUB, throttle.forgive, "ldap", "boss", self.HERE)
        for number in range(throttle.FREE_OF_SOURCE):
            self.fail(town, f"name{number}", self.HERE)
        assert self.fail(town, "name-x", self.HERE)[0] is not None
        assert self.fail(town, "boss", self.HERE) == [None]

    def test_at_most_a_hundred_guesses_at_one_name_in_a_quarter_of_a_day(self, town: House) -> None:
        """From as many places as it likes: once the total waits, it waits longer each time."""
        made, spent = 0, timedelta()
        while spent < timedelta(hours=6):
            wait = self.fail(town, "boss", f"2001:db8:0:{made:x}::1")[0]
            if wait is None:
                made += 1
                continue
            spent += timedelta(seconds=wait)
            self.later(town)
        assert made <= 100

    def test_an_attempt_that_nobody_judged_counts_for_nothing(self, town: House) -> None:
        for _ in range(3 * throttle.FREE_OF_SOURCE):
            assert self.fail(town, "boss", self.HERE) == [None]
            town.do(HUB, throttle.void, "ldap", "boss", self.HERE)

    def test_what_is_over_is_forgotten_and_who_is_known_is_not(self, town: House) -> None:
        town.do(HUB, throttle.forgive, "ldap", "boss", self.HERE)
        self.fail(town, "boss", self.THERE, 3)
        t = tables.throttles
        old = throttle.FORGET_AFTER + timedelta(seconds=1)
        town.do(OPERATOR, lambda tx: tx.conn.execute(update(t).where(t.c.failures > 0).values(until=tx.now - old)))
        town.do(OPERATOR, throttle.forget_old)
        with town.reading() as tx:
            assert [row.subject.partition(":")[0] for row in tx.conn.execute(t.select())] == ["known"]


@pytest.mark.proves("T-35", "R124")
def test_an_unknown_name_takes_as_long_as_a_known_one(house: House) -> None:
    house.do("admin", users.create, "lena", provider="local", password=GOOD)
    known = house.do(HUB, passwords.begin, "local", "lena")
    unknown = house.do(HUB, passwords.begin, "local", "ghost")
    assert known.user == "lena"
    assert unknown.user is None
    times: dict[str | None, list[float]] = {"lena": [], None: []}
    for _ in range(15):
        for attempt in (known, unknown):
            start = time.perf_counter()
            assert not attempt.verify("wrong password")
            times[attempt.user].append(time.perf_counter() - start)
    ratio = statistics.median(times["lena"]) / statistics.median(times[None])
    assert 0.6 < ratio < 1.6  # both compute one hash with the same parameters; the rest is noise of the machine


def test_a_password_is_for_local_accounts_only(house: House) -> None:
    with pytest.raises(BadInput):
        house.do("admin", users.create, "ada", provider="ldap", password=GOOD)
    assert password(house, "rita", GOOD).outcome == "refused"


def test_the_hash_of_nobody_takes_as_long_as_that_of_somebody() -> None:
    assert not passwords._HASHER.check_needs_rehash(passwords._NOBODY)


@pytest.mark.proves("R123")
@pytest.mark.parametrize(
    "text", ["my name is lena, always", "short", "aaaaaaaaaaaaaaaa", "nul \0 in the middle of it", "x" * 2_000]
)
def test_a_password_hashed_beforehand_is_judged_as_any_other(house: House, text: str) -> None:
    link = local(house)
    new = passwords.NewPassword.of(text)
    with pytest.raises(BadInput):
        house.do(HUB, activation.redeem, link.token, new)
    assert text not in repr(new)
    house.do(HUB, activation.redeem, link.token, passwords.NewPassword.of(GOOD))
    assert password(house, "lena", GOOD).outcome == "verified"
