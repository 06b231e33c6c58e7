"""Users whom their provider does not know any more."""

from __future__ import annotations

from sqlalchemy import select

from aizen_hub.accounts.logins import departures, linked_logins, login_report
from aizen_hub.store import tables
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness


def is_gone(harness: AccountsHarness, user: str = "rita") -> bool:
    with harness.read() as tx:
        return tx.conn.execute(select(tables.users.c.gone_at).where(tables.users.c.name == user)).scalar() is not None


def test_a_departure_is_recorded_once_until_the_next_sign_in(harness: AccountsHarness) -> None:
    harness.execute(HUB, login_report.report_login, "ldap", "uid-1", "rita")
    revision = harness.state()
    assert harness.execute(HUB, departures.record_departure, "ldap", "uid-1") == "rita"
    assert is_gone(harness)
    assert harness.audit_events()[-1] == "login.gone"
    events = len(harness.audit_events())
    assert harness.execute(HUB, departures.record_departure, "ldap", "uid-1") is None
    assert len(harness.audit_events()) == events
    assert harness.state()["assignments"] == revision["assignments"], "it decides nothing"
    harness.execute(HUB, login_report.report_login, "ldap", "uid-1", "rita", refresh=True)
    assert not is_gone(harness)


def test_another_login_of_the_user_or_an_unknown_one_changes_nothing(harness: AccountsHarness) -> None:
    harness.execute(HUB, login_report.report_login, "ldap", "uid-1", "rita")
    harness.execute(OPERATOR, linked_logins.link_login, "rita", "idp", "sub-1")
    for provider, subject in (("idp", "sub-1"), ("ldap", "uid-2")):
        assert harness.execute(HUB, departures.record_departure, provider, subject) is None
    assert not is_gone(harness)
    harness.execute(HUB, departures.record_departure, "ldap", "uid-1")
    harness.execute(HUB, login_report.report_login, "idp", "sub-1", "rita")
    assert is_gone(harness), "signing in by another provider does not bring the user back to this one"
