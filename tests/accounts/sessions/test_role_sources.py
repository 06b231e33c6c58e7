"""Where the roles of a session come from, in sentences."""

from __future__ import annotations

from datetime import timedelta

from aizen_hub.accounts.sessions.role_sources import describe_roles
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from tests.accounts.harness import AccountsHarness


def test_each_source(harness: AccountsHarness) -> None:
    harness.create_project("p2", "carl")
    with harness.read() as tx:
        ends = tx.now + timedelta(days=2)
    harness.grant("PROJECT_READER", "p2", "rita", interval=Interval(None, ends))
    harness.grant("PROJECT_EXECUTOR", "p2", "rita", mapped=True)
    with harness.read() as tx:
        sentences = describe_roles(tx, Identity.user("rita"), "p2")
        creator = describe_roles(tx, Identity.user("carl"), "p2")
        others = describe_roles(tx, Identity.user("rita"), "p9")
    assert f"PROJECT_READER from aizen-hub, until {ends:%Y-%m-%d %H:%M} UTC" in sentences
    assert "PROJECT_EXECUTOR from a directory rule, no end" in sentences
    assert any("from the creation of the project, no end" in sentence for sentence in creator)
    assert not any("p2" in sentence for sentence in others)


def test_a_role_through_a_directory_lasts_as_long_as_it_is_confirmed(sandbox: AccountsHarness) -> None:
    sandbox.add_directory_member("crew", Identity.user("tim"))
    sandbox.grant("PROJECT_READER", "p1", Identity.group("crew"))
    with sandbox.read() as tx:
        (sentence,) = describe_roles(tx, Identity.user("tim"), "p1")
    assert sentence == "PROJECT_READER from group crew, as long as the directory confirms it"
