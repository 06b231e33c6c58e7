"""Unused roles and dormant accounts (R132): what counts, and what does not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from aizen_hub.accounts.reviews import unused_access
from aizen_hub.accounts.reviews.assignment_uses import unauthorized_record_uses
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.authorization.decisions.use_counter import AssignmentUse
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness
from tests.accounts.reviews.test_assignment_uses import assignment_id

DAY = timedelta(days=1)


def age(harness: AccountsHarness, table: Any, days: float, **where: Any) -> datetime:
    """Set the times of rows back; returns the store's time."""
    column = "granted" if table is tables.assignment_rows else "created"

    def change(tx: Any) -> datetime:
        conditions = [table.c[name] == value for name, value in where.items()]
        tx.conn.execute(update(table).where(*conditions).values({column: tx.now - days * DAY}))
        now: datetime = tx.now
        return now

    return harness.execute(OPERATOR, change)


def unused(harness: AccountsHarness, *scopes: str) -> set[tuple[str, str]]:
    with harness.read() as tx:
        return {(row.identity, row.role) for row in unused_access.find_unused_roles(tx, scopes or None)}


@pytest.mark.proves("R132")
@pytest.mark.parametrize(
    ("granted_days", "used_days", "is_unused"),
    [(44, None, False), (46, None, True), (46, 44, False), (90, 46, True), (46, 0, False)],
)
def test_a_role_is_unused_after_45_days(
    sandbox: AccountsHarness, granted_days: float, used_days: float | None, is_unused: bool
) -> None:
    emma = assignment_id(sandbox, "emma", "PROJECT_EXECUTOR")
    now = age(sandbox, tables.assignment_rows, granted_days, id=emma)
    if used_days is not None:
        used = now - used_days * DAY
        sandbox.execute(OPERATOR, unauthorized_record_uses, [AssignmentUse(emma, used, used, 1)])
    assert (("user:emma", "PROJECT_EXECUTOR") in unused(sandbox, "p1")) == is_unused
    assert ("user:emma", "PROJECT_EXECUTOR") not in unused(sandbox, "p2")


@pytest.mark.parametrize(("seen_days", "is_dormant"), [(None, True), (46, True), (44, False)])
@pytest.mark.proves("R132")
def test_an_account_is_dormant_after_45_days(
    sandbox: AccountsHarness, seen_days: float | None, is_dormant: bool
) -> None:
    age(sandbox, tables.users, 60, name="emma")

    def see(tx: Any) -> None:
        seen = None if seen_days is None else tx.now - seen_days * DAY
        tx.conn.execute(update(tables.users).where(tables.users.c.name == "emma").values(last_seen=seen))

    sandbox.execute(OPERATOR, see)
    with sandbox.read() as tx:
        names = {account.identity for account in unused_access.find_dormant_accounts(tx)}
        summary = unused_access.summarize_unused(tx, limit=1)
    assert ("user:emma" in names) == is_dormant
    assert summary.account_count == len(names)


def test_a_service_account_without_a_valid_credential_is_not_dormant(sandbox: AccountsHarness) -> None:
    sandbox.execute(OPERATOR, accounts.create_service_account, "idle")
    sandbox.execute(OPERATOR, accounts.create_service_account, "empty")
    sandbox.execute(OPERATOR, credentials.issue_credential, "idle")
    age(sandbox, tables.service_accounts, 60)
    age(sandbox, tables.credentials, 60)
    with sandbox.read() as tx:
        names = {account.identity for account in unused_access.find_dormant_accounts(tx)}
    assert "service-account:idle" in names
    assert "service-account:empty" not in names


def test_the_summary_counts_all_and_shows_the_first(sandbox: AccountsHarness) -> None:
    age(sandbox, tables.assignment_rows, 60)
    with sandbox.read() as tx:
        summary = unused_access.summarize_unused(tx, limit=2)
        everything = unused_access.find_unused_roles(tx, limit=1_000)
    assert len(summary.roles) == 2
    assert summary.role_count == len(everything) > 2
