"""Passwords and activation links of local accounts, and the throttle for guessing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Literal

import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters
from sqlalchemy import func, select, update

from aizen_hub.accounts.credentials import activation, login_throttle, passwords
from aizen_hub.accounts.logins import login_report
from aizen_hub.accounts.users import registration
from aizen_hub.api_models.logins import LoginOutcome
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, NotAuthenticated
from aizen_hub.store import tables
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness

GOOD = "correct horse battery"


def local(harness: AccountsHarness, name: str = "lena") -> activation.ActivationLink:
    result = harness.execute("admin", registration.create_user, name, provider="local")
    link = result.data["activation"]
    return activation.ActivationLink(link["token"], harness.now())


def password(harness: AccountsHarness, name: str, text: str, source: str | None = None) -> passwords.PasswordResult:
    attempt: passwords.PasswordAttempt = harness.execute(HUB, passwords.start_check, "local", name, source)
    result: passwords.PasswordResult = harness.execute(HUB, passwords.finish_check, attempt, attempt.verify(text))
    return result


def test_an_activation_link_works_once(harness: AccountsHarness) -> None:
    link = local(harness)
    assert password(harness, "lena", GOOD).outcome == "refused"
    assert harness.execute(HUB, login_report.report_login, "local", "lena", "lena").outcome is LoginOutcome.NOT_ACTIVE
    assert harness.execute(HUB, activation.redeem_link, link.token, GOOD) == "lena"
    assert password(harness, "LENA", GOOD).subject == "lena"
    assert harness.execute(HUB, login_report.report_login, "local", "lena", "lena").outcome is LoginOutcome.ADMITTED
    with pytest.raises(NotAuthenticated):
        harness.execute(HUB, activation.redeem_link, link.token, GOOD + "2")
    assert password(harness, "lena", GOOD).outcome == "verified"


@pytest.mark.proves("R31")
@pytest.mark.parametrize("how", ["reissued", "expired", "deleted", "unknown"])
def test_a_void_link_is_void(harness: AccountsHarness, how: str) -> None:
    link = local(harness)
    match how:
        case "reissued":
            harness.execute("admin", activation.issue_link, "lena")
        case "expired":
            harness.execute(OPERATOR, lambda tx: tx.conn.execute(update(tables.activations).values(expires=tx.now)))
        case "deleted":
            harness.run_command("admin", "delete user lena")
        case "unknown":
            link = activation.ActivationLink("x" * 43, harness.now())
    with pytest.raises(NotAuthenticated):
        harness.execute(HUB, activation.redeem_link, link.token, GOOD)


def test_only_the_hash_of_a_link_is_stored(harness: AccountsHarness) -> None:
    link = local(harness)
    assert link.token not in repr(harness.state())
    with harness.read() as tx:
        assert link.token not in repr(tx.conn.execute(tables.changes.select()).all())
        assert link.token not in repr(tx.conn.execute(select(tables.audit.c.body)).all())


@pytest.mark.proves("R67")
def test_a_link_for_a_user_with_more_rights_is_not_issued(harness: AccountsHarness) -> None:
    link = local(harness)
    harness.execute(HUB, activation.redeem_link, link.token, GOOD)
    harness.grant("PROJECT_ADMIN", "p1", "lena")
    with pytest.raises(Escalation, match="every right"):
        harness.execute("admin", activation.issue_link, "lena")
    with pytest.raises(Denied):
        harness.execute("paul", activation.issue_link, "lena")
    with pytest.raises(Conflict):
        harness.execute("admin", activation.issue_link, "rita")


@pytest.mark.parametrize("bad", ["", "short", "a" * 40, "x" * 2000, "nul\0nul\0nulnul", "lena-lena-lena-1"])
def test_a_weak_password_is_refused_and_the_link_stays_good(harness: AccountsHarness, bad: str) -> None:
    link = local(harness)
    with pytest.raises(BadInput):
        harness.execute(HUB, activation.redeem_link, link.token, bad)
    assert harness.execute(HUB, activation.redeem_link, link.token, GOOD) == "lena"


@pytest.mark.proves("R123")
def test_guessing_is_throttled_and_a_success_resets_the_count(harness: AccountsHarness) -> None:
    harness.execute("admin", registration.create_user, "lena", provider="local", password=GOOD)
    for _ in range(login_throttle.FREE_ATTEMPTS - 1):
        assert password(harness, "lena", "wrong").outcome == "refused"
    assert password(harness, "lena", GOOD).outcome == "verified"
    for _ in range(login_throttle.FREE_ATTEMPTS):
        password(harness, "lena", "wrong")
    result = password(harness, "lena", GOOD)
    assert result.outcome == "throttled"
    assert result.retry_after is not None
    assert result.retry_after >= 1
    assert password(harness, "ghost", "wrong").outcome == "refused"  # others go on


@pytest.mark.proves("R123")
def test_the_wait_grows_and_is_bounded(harness: AccountsHarness) -> None:
    waits = []
    for _ in range(login_throttle.FREE_ATTEMPTS + 14):
        harness.execute(HUB, passwords.start_check, "local", "ghost")
        with harness.read() as tx:
            waits.append(tx.conn.execute(select(func.max(tables.attempt_counters.c.until))).scalar_one() - tx.now)
        harness.execute(
            OPERATOR,
            lambda tx: tx.conn.execute(update(tables.attempt_counters).values(until=tx.now - timedelta(minutes=1))),
        )
    assert all(later >= earlier - timedelta(seconds=1) for earlier, later in pairwise(waits))
    assert timedelta(minutes=14) < waits[-1] <= login_throttle.MAX_WAIT


def test_parallel_attempts_are_counted_before_they_are_checked(harness: AccountsHarness) -> None:
    attempts = [
        harness.execute(HUB, passwords.start_check, "local", "ghost") for _ in range(login_throttle.FREE_ATTEMPTS + 3)
    ]
    assert [attempt.retry_after is None for attempt in attempts] == [True] * login_throttle.FREE_ATTEMPTS + [False] * 3


@pytest.mark.proves("T-35", "R124")
class TestThrottle:
    HERE, THERE = "192.0.2.7", "198.51.100.9"

    @staticmethod
    def fail(harness: AccountsHarness, name: str, source: str, times: int = 1) -> list[int | None]:
        return [harness.execute(HUB, login_throttle.count_attempt, "ldap", name, source) for _ in range(times)]

    @staticmethod
    def later(harness: AccountsHarness) -> None:
        """Let every wait expire without pruning anything."""
        t = tables.attempt_counters
        past = timedelta(minutes=1)
        harness.execute(
            OPERATOR, lambda tx: tx.conn.execute(update(t).where(t.c.failures > 0).values(until=tx.now - past))
        )

    def test_guessing_from_one_source_does_not_lock_the_owner_out_elsewhere(self, sandbox: AccountsHarness) -> None:
        assert self.fail(sandbox, "boss", self.HERE, 12)[-1] is not None
        assert self.fail(sandbox, "boss", self.THERE) == [None]

    def test_a_name_in_another_spelling_is_the_same_name(self, sandbox: AccountsHarness) -> None:
        self.fail(sandbox, "boss", self.HERE, login_throttle.FREE_ATTEMPTS)
        assert self.fail(sandbox, "BOSS", self.HERE)[0] is not None

    @pytest.mark.proves("R33")
    @pytest.mark.parametrize("form", ["boss|{}", "boss\n{}", 'boss", "{}', "boss:{}", "boss\x00{}"])
    def test_no_other_name_counts_for_a_name_at_its_source(self, sandbox: AccountsHarness, form: str) -> None:
        name = form.format(self.HERE)
        for number in range(login_throttle.FREE_ATTEMPTS_PER_NAME):
            assert self.fail(sandbox, name, f"203.0.113.{number}") == [None]
        assert self.fail(sandbox, name, self.THERE)[0] is not None
        assert self.fail(sandbox, "boss", self.HERE) == [None]
        sandbox.execute(HUB, login_throttle.reset_failures, "ldap", name, self.THERE)

    def test_an_unregistered_name_never_counts_for_a_registered_one(self, sandbox: AccountsHarness) -> None:
        for number in range(login_throttle.FREE_ATTEMPTS_PER_NAME + 1):
            self.fail(sandbox, "o`brien", f"203.0.113.{number}")
        assert self.fail(sandbox, "o'brien", self.HERE) == [None]

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
    def test_an_ipv6_customer_is_one_source(self, sandbox: AccountsHarness, one: str, other: str, same: bool) -> None:
        self.fail(sandbox, "boss", one, login_throttle.FREE_ATTEMPTS)
        assert (self.fail(sandbox, "boss", other)[0] is not None) is same

    def test_many_names_from_one_source_wait_and_others_do_not(self, sandbox: AccountsHarness) -> None:
        waits = [
            self.fail(sandbox, f"name{number}", self.HERE)[0]
            for number in range(login_throttle.FREE_ATTEMPTS_PER_SOURCE + 1)
        ]
        assert waits[-2:] == [None, 1]
        assert self.fail(sandbox, "tim", self.THERE) == [None]

    def test_one_name_from_everywhere_waits_but_not_where_it_is_known(self, sandbox: AccountsHarness) -> None:
        sandbox.execute(HUB, login_throttle.reset_failures, "ldap", "boss", self.HERE)
        for number in range(login_throttle.FREE_ATTEMPTS_PER_NAME):
            assert self.fail(sandbox, "boss", f"203.0.113.{number}") == [None]
        assert self.fail(sandbox, "boss", self.THERE)[0] is not None
        assert self.fail(sandbox, "boss", self.HERE) == [None]

    def test_a_known_user_does_not_wait_for_others_at_the_same_source(self, sandbox: AccountsHarness) -> None:
        sandbox.execute(HUB, login_throttle.reset_failures, "ldap", "boss", self.HERE)
        for number in range(login_throttle.FREE_ATTEMPTS_PER_SOURCE):
            self.fail(sandbox, f"name{number}", self.HERE)
        assert self.fail(sandbox, "name-x", self.HERE)[0] is not None
        assert self.fail(sandbox, "boss", self.HERE) == [None]

    @pytest.mark.parametrize("outcome", [login_throttle.reset_failures, login_throttle.undo_attempt])
    def test_an_attempt_where_the_name_is_known_changes_no_wait_of_others(
        self, sandbox: AccountsHarness, outcome: Callable[..., None]
    ) -> None:
        """Else one's own account would end the wait of its source, and open the way to guess at others."""
        t = tables.attempt_counters
        sandbox.execute(HUB, login_throttle.reset_failures, "ldap", "boss", self.HERE)
        for number in range(login_throttle.FREE_ATTEMPTS_PER_SOURCE):
            self.fail(sandbox, f"name{number}", self.HERE)
        ends = sandbox.execute(OPERATOR, lambda tx: tx.now + login_throttle.MAX_WAIT)
        source = t.c.failures == login_throttle.FREE_ATTEMPTS_PER_SOURCE
        sandbox.execute(OPERATOR, lambda tx: tx.conn.execute(update(t).where(source).values(until=ends)))
        assert self.fail(sandbox, "boss", self.HERE) == [None]
        sandbox.execute(HUB, outcome, "ldap", "boss", self.HERE)
        with sandbox.read() as tx:
            assert tx.conn.execute(select(t.c.until).where(source)).scalar_one() == ends
        assert self.fail(sandbox, "name-x", self.HERE)[0] is not None

    def test_at_most_a_hundred_guesses_at_one_name_in_a_quarter_of_a_day(self, sandbox: AccountsHarness) -> None:
        """From any number of sources: each wait for the total is longer than the last."""
        made, spent = 0, timedelta()
        while spent < timedelta(hours=6):
            wait = self.fail(sandbox, "boss", f"2001:db8:0:{made:x}::1")[0]
            if wait is None:
                made += 1
                continue
            spent += timedelta(seconds=wait)
            self.later(sandbox)
        assert made <= 100

    def test_an_attempt_that_was_never_checked_does_not_count(self, sandbox: AccountsHarness) -> None:
        for _ in range(3 * login_throttle.FREE_ATTEMPTS_PER_SOURCE):
            assert self.fail(sandbox, "boss", self.HERE) == [None]
            sandbox.execute(HUB, login_throttle.undo_attempt, "ldap", "boss", self.HERE)

    def test_expired_failures_are_pruned_and_known_sources_are_kept(self, sandbox: AccountsHarness) -> None:
        sandbox.execute(HUB, login_throttle.reset_failures, "ldap", "boss", self.HERE)
        self.fail(sandbox, "boss", self.THERE, 3)
        t = tables.attempt_counters
        old = login_throttle.FAILURE_LIFETIME + timedelta(seconds=1)
        sandbox.execute(
            OPERATOR, lambda tx: tx.conn.execute(update(t).where(t.c.failures > 0).values(until=tx.now - old))
        )
        sandbox.execute(OPERATOR, login_throttle.prune_failures)
        with sandbox.read() as tx:
            assert [row.subject.partition(":")[0] for row in tx.conn.execute(t.select())] == ["known"]


@pytest.mark.proves("T-35", "R124")
def test_an_unknown_name_takes_as_long_as_a_known_one(
    harness: AccountsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both compute one hash with the same parameters, which takes all but microseconds of the time."""
    harness.execute("admin", registration.create_user, "lena", provider="local", password=GOOD)
    known = harness.execute(HUB, passwords.start_check, "local", "lena")
    unknown = harness.execute(HUB, passwords.start_check, "local", "ghost")
    assert known.user == "lena"
    assert unknown.user is None
    hashed: list[tuple[Parameters, str]] = []

    class CountingHasher(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            hashed.append((extract_parameters(str(hash)), str(password)))
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "_HASHER", CountingHasher())
    for attempt in (known, unknown):
        assert not attempt.verify("wrong password")
    assert hashed[0] == hashed[1]
    assert len(hashed) == 2


def test_a_password_is_for_local_accounts_only(harness: AccountsHarness) -> None:
    with pytest.raises(BadInput):
        harness.execute("admin", registration.create_user, "ada", provider="ldap", password=GOOD)
    assert password(harness, "rita", GOOD).outcome == "refused"


def test_the_dummy_hash_takes_as_long_as_a_real_one() -> None:
    assert not passwords._HASHER.check_needs_rehash(passwords._DUMMY_HASH)


@pytest.mark.proves("R123")
@pytest.mark.parametrize(
    "text", ["my name is lena, always", "short", "aaaaaaaaaaaaaaaa", "nul \0 in the middle of it", "x" * 2_000]
)
def test_a_prehashed_password_is_checked_like_any_other(harness: AccountsHarness, text: str) -> None:
    link = local(harness)
    new = passwords.NewPassword.from_text(text)
    with pytest.raises(BadInput):
        harness.execute(HUB, activation.redeem_link, link.token, new)
    assert text not in repr(new)
    harness.execute(HUB, activation.redeem_link, link.token, passwords.NewPassword.from_text(GOOD))
    assert password(harness, "lena", GOOD).outcome == "verified"
