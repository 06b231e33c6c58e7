"""Who joined and left the groups of a project between two times."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from aizen_hub.accounts.groups import management, mapping_sync, membership
from aizen_hub.accounts.projects import membership_history
from aizen_hub.problems import BadInput
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.transaction import WriteTransaction
from tests.accounts.harness import OPERATOR, AccountsHarness

DAY = timedelta(days=1)


def changes(harness: AccountsHarness, since: datetime) -> list[tuple[bool, str, str, tuple[str, ...]]]:
    with harness.read() as tx:
        rows = membership_history.membership_changes(tx, "p1", since, tx.now + DAY)
    return [(row.joined, row.member.name, row.group.name, row.roles) for row in rows]


@pytest.fixture
def groups(harness: AccountsHarness) -> AccountsHarness:
    """A group with a role in p1, a group inside it, and one without a role there."""

    def make(tx: WriteTransaction) -> None:
        for name in ("crew", "inner", "other"):
            management.create_group(tx, name)

    def fill(tx: WriteTransaction) -> None:
        membership.add_member(tx, "crew", Identity.group("inner"))
        membership.add_member(tx, "crew", Identity.user("rita"))

    with harness.write(OPERATOR) as tx:
        make(tx)
    harness.grant("PROJECT_READER", "p1", Identity.group("crew"))
    with harness.write(OPERATOR) as tx:
        fill(tx)
    return harness


def test_only_the_difference_counts_in_groups_with_a_role(groups: AccountsHarness) -> None:
    since = groups.now()
    with groups.write(OPERATOR) as tx:
        membership.add_member(tx, "inner", Identity.user("emma"))
        membership.add_member(tx, "other", Identity.user("emma"))
        membership.remove_member(tx, "crew", Identity.user("rita"))
        membership.add_member(tx, "crew", Identity.user("paul"))
        membership.remove_member(tx, "crew", Identity.user("paul"))
    assert changes(groups, since) == [
        (False, "rita", "crew", ("PROJECT_READER",)),
        (True, "emma", "inner", ("PROJECT_READER",)),
    ]
    assert (True, "inner", "crew", ("PROJECT_READER",)) in changes(groups, since - DAY)


@pytest.mark.proves("R63")
def test_what_a_directory_reports_differs_too(harness: AccountsHarness) -> None:
    with harness.write(OPERATOR) as tx:
        for name in ("staff", "elsewhere"):
            management.create_group(tx, name, provider="ldap")
    harness.register_users("tim", "olga")
    harness.grant("PROJECT_READER", "p1", Identity.group("staff"))

    def report(user: str, *groups: str) -> None:
        with harness.write(OPERATOR) as tx:
            mapping_sync.sync_groups(tx, user, "ldap", groups)

    report("olga", "staff")
    since = harness.now()
    report("tim", "staff", "elsewhere")
    report("tim", "staff")
    report("olga")
    with harness.read() as tx:
        rows = membership_history.membership_changes(tx, "p1", since, tx.now + DAY)
    assert [(row.joined, row.member.name, row.group.name, row.provider, row.by) for row in rows] == [
        (False, "olga", "staff", "ldap", None),
        (True, "tim", "staff", "ldap", None),
    ]
    report("olga", "staff")
    assert [name for _, name, _, _ in changes(harness, since)] == ["tim"], "olga is in it as before"


def test_changes_outside_the_days_do_not_count(groups: AccountsHarness) -> None:
    now = groups.now()
    with groups.read() as tx:
        assert membership_history.membership_changes(tx, "p1", now + DAY, now + 2 * DAY) == []
        assert membership_history.membership_changes(tx, "p1", now - 2 * DAY, now - DAY) == []
        made = membership_history.membership_changes(tx, "p1", now - DAY, now + DAY)
    assert [row.member.name for row in made] == ["inner", "rita"]
    assert {row.provider for row in made} == {None}


@pytest.mark.proves("R72")
def test_what_happened_before_the_group_had_a_role_is_not_told(groups: AccountsHarness) -> None:
    since = groups.now()
    with groups.write(OPERATOR) as tx:
        membership.add_member(tx, "other", Identity.user("emma"))
    groups.grant("PROJECT_READER", "p1", Identity.group("other"))
    with groups.write(OPERATOR) as tx:
        membership.add_member(tx, "other", Identity.user("paul"))
    groups.grant("PROJECT_EXECUTOR", "p1", Identity.group("other"))
    roles = ("PROJECT_EXECUTOR", "PROJECT_READER")
    assert changes(groups, since) == [(True, "paul", "other", roles)], "not emma, and paul since the first role"


@pytest.mark.parametrize(("bound", "value"), [("MAX_EVENTS", 1), ("MAX_EXAMINED", 0)])
def test_too_many_changes_are_not_compared(
    groups: AccountsHarness, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(membership_history, bound, value)
    with pytest.raises(BadInput, match=f"more than {value}"):
        changes(groups, groups.now() - DAY)
