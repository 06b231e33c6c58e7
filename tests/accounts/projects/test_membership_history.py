"""Who joined and left the groups of a project between two times."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from aizen_hub.accounts.groups import management, membership
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
        membership.add_member(tx, "crew", Identity.group("inner"))
        membership.add_member(tx, "crew", Identity.user("rita"))

    with harness.write(OPERATOR) as tx:
        make(tx)
    harness.grant("PROJECT_READER", "p1", Identity.group("crew"))
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


def test_too_many_changes_are_not_compared(groups: AccountsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership_history, "MAX_EVENTS", 1)
    with pytest.raises(BadInput, match="more than 1"):
        changes(groups, groups.now() - DAY)
