"""Linked logins: linking needs every right of the user, and one login belongs to one user."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from aizen_hub.accounts import command_handlers
from aizen_hub.accounts.groups import management
from aizen_hub.accounts.logins import linked_logins, login_report
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.api_models.logins import LoginOutcome
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, LastHolder, NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness


def sign_in(
    harness: AccountsHarness, subject: str, name: str = "whatever", provider: str = "idp"
) -> login_report.LoginResult:
    result: login_report.LoginResult = harness.execute(HUB, login_report.report_login, provider, subject, name)
    return result


def numbers(harness: AccountsHarness, name: str) -> list[int]:
    return [row[0] for row in harness.execute(OPERATOR, linked_logins.list_logins, name).rows if row[0] is not None]


@pytest.mark.proves("R66", "T-16")
def test_who_links_holds_every_right_of_the_person(harness: AccountsHarness) -> None:
    before = harness.state()
    with pytest.raises(Escalation, match="every right"):
        harness.execute("admin", linked_logins.link_login, "rita", "idp", "s-1")  # rita reads p1, the admin does not
    with pytest.raises(Denied):
        harness.execute("paul", linked_logins.link_login, "zoe", "idp", "s-1")
    assert harness.state() == before
    harness.execute("admin", linked_logins.link_login, "zoe", "idp", "s-1")
    assert sign_in(harness, "s-1").user == "zoe"
    assert "login.linked" in harness.audit_events()


@pytest.mark.proves("R66", "R67")
def test_a_stale_directory_membership_counts_for_control(harness: AccountsHarness) -> None:
    harness.execute("admin", management.create_group, "staff", provider="ldap")
    harness.grant("PROJECT_ADMIN", "p1", Identity.group("staff"))
    harness.execute(HUB, login_report.report_login, "ldap", "id-zoe", "zoe", groups=["staff"])
    long_ago = harness.now() - timedelta(days=9)

    def age(tx: Any) -> None:
        tx.conn.execute(update(tables.memberships).values(seen_at=long_ago))
        tx.record_change("test", {}, ["*"])

    harness.execute(OPERATOR, age)
    with pytest.raises(Escalation, match="every right"):
        harness.execute("admin", linked_logins.link_login, "zoe", "idp", "s-1")


@pytest.mark.proves("R32", "T-16")
def test_one_login_belongs_to_one_person(harness: AccountsHarness) -> None:
    harness.execute(OPERATOR, linked_logins.link_login, "rita", "idp", "s-1")
    with pytest.raises(Conflict, match="another user"):
        harness.execute(OPERATOR, linked_logins.link_login, "zoe", "idp", "s-1")
    with pytest.raises(Conflict, match="already"):
        harness.execute(OPERATOR, linked_logins.link_login, "rita", "idp", "s-1")
    harness.execute(HUB, login_report.report_login, "ldap", "id-zoe", "zoe")
    with pytest.raises(Conflict, match="another user"):
        harness.execute(OPERATOR, linked_logins.link_login, "rita", "ldap", "id-zoe")
    harness.run_command("admin", "delete user rita")
    assert sign_in(harness, "s-1").outcome is LoginOutcome.NOT_REGISTERED, "the link went with the person"


@pytest.mark.parametrize(
    ("user", "provider", "subject", "problem"),
    [
        ("unknown", "idp", "s-1", NotFound),
        ("zoe", "nowhere", "s-1", BadInput),
        ("zoe", "local", "zoe", BadInput),
        ("zoe", "idp", "", BadInput),
        ("zoe", "idp", "x" * 256, BadInput),
    ],
)
def test_what_cannot_be_linked(
    harness: AccountsHarness, user: str, provider: str, subject: str, problem: type[Exception]
) -> None:
    with pytest.raises(problem):
        harness.execute(OPERATOR, linked_logins.link_login, user, provider, subject)


@pytest.mark.proves("R77")
def test_a_login_of_an_admin_waits_for_confirmation(harness: AccountsHarness) -> None:
    harness.register_users("anna")
    harness.grant("AIZEN_ADMIN", SYSTEM, "anna")
    held = harness.execute(harness.actor("admin", Channel.CLI), linked_logins.link_login, "anna", "idp", "s-1")
    assert held.pending_id
    assert sign_in(harness, "s-1").outcome is LoginOutcome.NOT_REGISTERED
    stale = harness.actor("admin", recent_login_until=None)
    with pytest.raises(Denied, match="recent login"):
        harness.execute(stale, linked_logins.link_login, "anna", "idp", "s-1")
    harness.execute("admin", command_handlers.confirm_pending_change, held.data["pending"])
    assert sign_in(harness, "s-1").user == "anna"


def test_unlinking_ends_that_way_only(harness: AccountsHarness) -> None:
    harness.execute(OPERATOR, linked_logins.link_login, "rita", "idp", "s-1")
    harness.execute(OPERATOR, linked_logins.link_login, "rita", "idp", "s-2")
    first, second = numbers(harness, "rita")
    with pytest.raises(Denied):
        harness.execute("paul", linked_logins.unlink_login, "rita", first)
    with pytest.raises(NotFound):
        harness.execute("admin", linked_logins.unlink_login, "zoe", first)
    harness.execute("admin", linked_logins.unlink_login, "rita", first)
    assert sign_in(harness, "s-1").outcome is LoginOutcome.NOT_REGISTERED
    assert sign_in(harness, "s-2").user == "rita"
    assert numbers(harness, "rita") == [second]


@pytest.mark.proves("R69")
def test_the_last_login_is_removed_only_if_confirmed(harness: AccountsHarness) -> None:
    harness.execute(
        "admin", registration.create_user, "lena", provider="local"
    )  # never activated: no password, so it cannot be used
    harness.execute(OPERATOR, linked_logins.link_login, "lena", "idp", "s-1")
    (login_id,) = numbers(harness, "lena")
    with pytest.raises(Conflict, match="last login"):
        harness.execute("admin", linked_logins.unlink_login, "lena", login_id)
    result = harness.execute("admin", linked_logins.unlink_login, "lena", login_id, last=True)
    assert "has no login left" in result.message
    assert sign_in(harness, "s-1").outcome is LoginOutcome.NOT_REGISTERED


@pytest.mark.proves("R69")
def test_the_last_admin_always_keeps_a_login(harness: AccountsHarness) -> None:
    def to_nowhere(tx: Any) -> None:
        # The provider of the registration is no longer configured.
        tx.conn.execute(update(tables.users).where(tables.users.c.name == "admin").values(provider="gone"))
        tx.record_change("test", {}, ["*"])

    harness.execute(OPERATOR, to_nowhere)
    harness.execute(OPERATOR, linked_logins.link_login, "admin", "idp", "s-1")
    (login_id,) = numbers(harness, "admin")
    with pytest.raises(LastHolder, match="last AIZEN_ADMIN"):
        harness.execute(OPERATOR, linked_logins.unlink_login, "admin", login_id, last=True)
    harness.register_users("anna")
    harness.grant("AIZEN_ADMIN", SYSTEM, "anna")
    harness.execute(OPERATOR, linked_logins.unlink_login, "admin", login_id, last=True)


def test_who_may_list_logins(harness: AccountsHarness) -> None:
    harness.execute(OPERATOR, linked_logins.link_login, "rita", "idp", "s-1")
    own = harness.execute("rita", linked_logins.list_logins, "rita")
    assert [row[1:] for row in own.rows] == [
        ("ldap", None, "registration", True),
        ("idp", "s-1", "further", True),
    ]
    with pytest.raises(Denied):
        harness.execute("paul", linked_logins.list_logins, "rita")
    harness.execute("admin", linked_logins.list_logins, "rita")
    assert harness.audit_events()[-1] == "access.read"


def test_a_locked_user_links_nothing(harness: AccountsHarness) -> None:
    harness.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:zoe", reason="left")
    harness.execute("admin", linked_logins.link_login, "zoe", "idp", "s-1")
    assert sign_in(harness, "s-1").outcome is LoginOutcome.LOCKED
    with harness.read() as tx:
        assert tx.conn.execute(select(tables.logins.c.subject)).scalars().all() == ["s-1"]
