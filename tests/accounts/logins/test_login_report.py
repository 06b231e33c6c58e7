"""Login reports: a registration belongs to one subject of one provider, and its groups follow the reports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from aizen_hub.accounts import identities
from aizen_hub.accounts.groups import management
from aizen_hub.accounts.logins import departures, login_report
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.api_models.logins import LoginOutcome
from aizen_hub.problems import BadInput
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness


def login(
    harness: AccountsHarness, subject: str, name: str, provider: str = "ldap", **more: object
) -> login_report.LoginResult:
    result: login_report.LoginResult = harness.execute(HUB, login_report.report_login, provider, subject, name, **more)
    return result


def test_a_registration_binds_its_first_subject(harness: AccountsHarness) -> None:
    result = login(harness, "uid-1", "Rita@example.org", display_name="Rita R", email="rita@example.org")
    assert (result.outcome, result.user) == (LoginOutcome.ADMITTED, "rita")
    with harness.read() as tx:
        row = identities.get_user(tx, "rita")
    assert (row.subject, row.display_name, row.email) == ("uid-1", "Rita R", "rita@example.org")
    assert login(harness, "uid-1", "renamed").user == "rita"  # the label has changed, the user has not


@pytest.mark.proves("R32", "T-16")
@pytest.mark.parametrize("name", ["rita", "RITA", "rita@other.example"])
def test_a_second_subject_of_the_same_short_name_is_refused_and_recorded(harness: AccountsHarness, name: str) -> None:
    login(harness, "uid-1", "rita")
    before = harness.state()
    result = login(harness, "uid-2", name)
    assert (result.outcome, result.user) == (LoginOutcome.NAME_TAKEN, None)
    assert harness.state() == before
    assert harness.audit_events()[-1] == "login"


@pytest.mark.proves("R22", "R32", "T-16")
def test_a_registration_with_its_domain_waits_for_exactly_this_address(harness: AccountsHarness) -> None:
    harness.execute(OPERATOR, registration.unauthorized_register_user, "ursula@corp.example", provider="ldap")
    for stranger in ("ursula@elsewhere.example", "ursula", "ursula@sub.corp.example"):
        assert login(harness, "uid-stranger", stranger).outcome is LoginOutcome.NAME_TAKEN, stranger
    result = login(harness, "uid-ursula", "Ursula@CORP.example")
    assert (result.outcome, result.user) == (LoginOutcome.ADMITTED, "ursula")


@pytest.mark.proves("R27", "T-15")
@pytest.mark.parametrize("name", ["\uff32ita", "rit\uff41", "ri\u0074\u00aa"])
def test_what_only_folding_makes_the_same_binds_no_registration(harness: AccountsHarness, name: str) -> None:
    assert login(harness, "uid-1", name).outcome in (LoginOutcome.NAME_TAKEN, LoginOutcome.NOT_REGISTERED)
    assert login(harness, "uid-2", "rita").outcome is LoginOutcome.ADMITTED


@pytest.mark.proves("R27")
def test_a_group_that_only_folding_makes_known_is_another_group(harness: AccountsHarness) -> None:
    harness.execute(OPERATOR, management.create_group, "platform-admins", provider="ldap")
    login(harness, "uid-1", "rita", groups=["\uff50latform-admins"])
    with harness.read() as tx:
        assert not tx.rights(Identity.user("rita")).dependencies & {"group:platform-admins"}
    login(harness, "uid-1", "rita", groups=["Platform-Admins"])
    with harness.read() as tx:
        assert "group:platform-admins" in tx.rights(Identity.user("rita")).dependencies


def test_another_provider_s_user_of_the_same_name_is_another_user(harness: AccountsHarness) -> None:
    assert login(harness, "rita", "rita", provider="local").outcome is LoginOutcome.NAME_TAKEN
    with pytest.raises(BadInput):
        login(harness, "rita", "rita", provider="nowhere")


@pytest.mark.parametrize("name", ["unknown", "system", "a b", "", "*", "x" * 200])
def test_who_is_not_registered_gets_nothing(harness: AccountsHarness, name: str) -> None:
    before = harness.state()
    result = login(harness, "uid-9", name)
    assert (result.outcome, result.user, result.hub_user.groups) == (LoginOutcome.NOT_REGISTERED, None, ())
    assert harness.state() == before


def test_auto_registration_registers_without_any_role(make_harness: Callable[..., AccountsHarness]) -> None:
    harness = make_harness(auto_register=True)
    assert login(harness, "uid-9", "New.Person@example.org").user == "new.person"
    assert harness.roles_of("new.person") == set()
    harness.run_command("admin", "delete user new.person")
    assert login(harness, "uid-9", "new.person").outcome is LoginOutcome.NAME_TAKEN  # no user inherits a name


@pytest.mark.proves("R78")
def test_who_is_locked_does_not_get_in(harness: AccountsHarness) -> None:
    login(harness, "uid-1", "rita")
    harness.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:rita", reason="x")
    assert login(harness, "uid-1", "rita").outcome is LoginOutcome.LOCKED


@pytest.mark.proves("R63")
def test_directory_groups_come_and_go_with_the_report(harness: AccountsHarness) -> None:
    for name in ("ops", "dev"):
        harness.execute("admin", management.create_group, name, provider="ldap")
        harness.grant("PROJECT_READER", "p1", Identity.group(name))
    harness.execute("admin", management.create_group, "local-one")

    def member_of() -> set[str]:
        with harness.read() as tx:
            return {one.name for one in tx.rights(Identity.user("zoe")).groups}

    login(harness, "uid-1", "zoe", groups=["OPS", "unknown", "local-one", "/x/dev"])
    assert member_of() == {"ops"}
    assert harness.roles_of("zoe", "p1") == {"PROJECT_READER"}
    login(harness, "uid-1", "zoe", groups=None)
    assert member_of() == {"ops"}
    login(harness, "uid-1", "zoe", groups=["dev"])
    assert member_of() == {"dev"}
    login(harness, "uid-1", "zoe", groups=[])
    assert member_of() == set()
    assert harness.roles_of("zoe", "p1") == set()


def test_the_hub_is_told_of_projects_and_the_admin_role_while_they_are_in_effect(
    harness: AccountsHarness,
) -> None:
    harness.execute("admin", management.create_group, "ops", provider="ldap")
    harness.grant("PROJECT_READER", "p1", Identity.group("ops"))
    harness.execute("admin", management.create_group, "idle", provider="ldap")
    first = login(harness, "uid-1", "zoe", groups=["ops", "idle"]).hub_user
    assert (first.groups, first.admin) == (("p1",), False)
    assert login(harness, "uid-1", "zoe", groups=["idle"]).hub_user.groups == ()
    harness.grant("AIZEN_ADMIN", SYSTEM, Identity.user("zoe"))
    second = login(harness, "uid-1", "zoe", refresh=True).hub_user
    assert (second.groups, second.admin) == ((), True), "the system is no project, and never all of them by name"
    harness.execute("admin", assignments.revoke_roles, ["AIZEN_ADMIN"], SYSTEM, Identity.user("zoe"), in_file=True)
    assert login(harness, "uid-1", "zoe", refresh=True).hub_user.admin is False


def test_a_refresh_is_no_login_and_is_recorded_where_it_changed_something(harness: AccountsHarness) -> None:
    harness.execute("admin", management.create_group, "ops", provider="ldap")
    login(harness, "uid-1", "zoe", groups=[])
    before = harness.audit_events()
    login(harness, "uid-1", "zoe", groups=[], refresh=True)
    assert harness.audit_events() == before
    login(harness, "uid-1", "zoe", groups=["ops"], refresh=True)
    login(harness, "uid-1", "zoe", groups=[], refresh=True)
    harness.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:zoe", reason="x")
    assert login(harness, "uid-1", "zoe", groups=[], refresh=True).outcome is LoginOutcome.LOCKED
    later = harness.audit_events()[len(before) :]
    assert later.count("login.refreshed") == 3
    assert "login" not in later


@pytest.mark.proves("R132")
def test_a_reading_of_the_directory_is_no_use_of_the_account(harness: AccountsHarness) -> None:
    login(harness, "uid-1", "zoe")
    with harness.read() as tx:
        seen = identities.get_user(tx, "zoe").last_seen
    harness.execute(HUB, departures.record_departure, "ldap", "uid-1")
    assert login(harness, "uid-1", "zoe", refresh=True, unattended=True).outcome is LoginOutcome.ADMITTED
    with harness.read() as tx:
        row = identities.get_user(tx, "zoe")
    assert (row.last_seen, row.gone_at) == (seen, None)
    login(harness, "uid-1", "zoe", refresh=True)
    with harness.read() as tx:
        assert identities.get_user(tx, "zoe").last_seen > seen


@pytest.mark.proves("R32", "T-16")
@pytest.mark.parametrize("name", ["rita", "new.person"])
def test_a_refresh_binds_and_registers_no_one(make_harness: Callable[..., AccountsHarness], name: str) -> None:
    harness = make_harness(auto_register=True)
    before = harness.state()
    assert login(harness, "uid-9", name, refresh=True).outcome is LoginOutcome.NOT_REGISTERED
    assert harness.state() == before
    assert login(harness, "uid-9", name).outcome is LoginOutcome.ADMITTED


@pytest.mark.proves("R63", "T-50")
def test_a_directory_membership_that_was_not_seen_lately_gives_nothing(harness: AccountsHarness) -> None:
    harness.execute("admin", management.create_group, "ops", provider="ldap")
    harness.grant("PROJECT_READER", "p1", Identity.group("ops"))
    login(harness, "uid-1", "zoe", groups=["ops"])
    assert [row[0] for row in harness.run_command("zoe", "list projects").rows] == ["p1"]
    old = harness.now() - timedelta(seconds=harness.settings.group_max_age_seconds)

    def age(tx: object) -> None:
        tx.conn.execute(update(tables.memberships).values(seen_at=old))  # type: ignore[attr-defined]
        tx.record_change("test", {}, ["*"])  # type: ignore[attr-defined]

    harness.execute(OPERATOR, age)
    assert harness.run_command("zoe", "list projects").rows == ()
    login(harness, "uid-1", "zoe", groups=["ops"])
    assert [row[0] for row in harness.run_command("zoe", "list projects").rows] == ["p1"]


@pytest.mark.parametrize("bad", ["", "x" * 300])
def test_a_subject_must_be_one(harness: AccountsHarness, bad: str) -> None:
    with pytest.raises(BadInput):
        login(harness, bad, "rita")
