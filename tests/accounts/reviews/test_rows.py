"""The rows of a review: who gave what, when it was used, and what keeps a reader from deciding."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.reviews import lifecycle, rows
from aizen_hub.accounts.reviews.assignment_uses import unauthorized_record_uses
from aizen_hub.accounts.reviews.lifecycle import AccessReview
from aizen_hub.accounts.reviews.rows import ReviewRow, RowFilter
from aizen_hub.authorization.decisions.use_counter import AssignmentUse
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.accounts.harness import OPERATOR, AccountsHarness
from tests.accounts.reviews.test_assignment_uses import assignment_id
from tests.accounts.reviews.test_unused_access import age

CREW = Identity.group("crew")


@pytest.fixture
def review(sandbox: AccountsHarness) -> AccessReview:
    """Of p1, with a group that has a role, and members of different age and use."""
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.grant("PROJECT_READER", "p1", CREW)
    sandbox.grant("PROJECT_READER", "p1", "tim", interval=Interval(None, sandbox.now() + timedelta(days=9)))
    emma, rita = assignment_id(sandbox, "emma", "PROJECT_EXECUTOR"), assignment_id(sandbox, "rita", "PROJECT_READER")
    now = age(sandbox, tables.assignment_rows, 200, id=emma)
    age(sandbox, tables.assignment_rows, 60, id=rita)
    used = now - timedelta(days=1)
    sandbox.execute(OPERATOR, unauthorized_record_uses, [AssignmentUse(emma, used, used, 7)])
    started: AccessReview = sandbox.execute("paul", lifecycle.start_review, "p1")
    return started


def names(found: list[ReviewRow]) -> list[str]:
    return [row.identity for row in found]


@pytest.mark.parametrize(
    ("show", "expected"),
    [
        (RowFilter.ALL, ["group:crew", "user:emma", "user:paul", "user:rita", "user:tim"]),
        (RowFilter.UNDECIDED, ["group:crew", "user:emma", "user:rita", "user:tim"]),
        (RowFilter.DECIDED, []),
        (RowFilter.NEVER_USED, ["group:crew", "user:paul", "user:rita", "user:tim"]),
        (RowFilter.UNUSED_LONG, ["group:crew", "user:paul", "user:rita", "user:tim"]),
        (RowFilter.USED_RECENTLY, ["user:emma"]),
        (RowFilter.ENDLESS, ["group:crew", "user:emma", "user:paul", "user:rita"]),
        (RowFilter.GROUPS, ["group:crew"]),
    ],
)
@pytest.mark.proves("R131")
def test_the_rows_of_a_filter(
    sandbox: AccountsHarness, review: AccessReview, show: RowFilter, expected: list[str]
) -> None:
    assert names(sandbox.execute("paul", rows.list_rows, review, show)) == expected
    assert sandbox.execute("paul", rows.count_rows, review, show) == len(expected)


def test_a_row_names_grantor_age_and_use(sandbox: AccountsHarness, review: AccessReview) -> None:
    (emma,) = sandbox.execute("paul", rows.list_rows, review, text="EMM")
    assert emma.granted_by == str(OPERATOR.identity)
    assert emma.uses == 7
    assert emma.last_used == sandbox.now() - timedelta(days=1)
    assert emma.granted <= sandbox.now() - timedelta(days=200)


def test_pages_have_every_row_once(sandbox: AccountsHarness, review: AccessReview) -> None:
    found: list[ReviewRow] = []
    while page := sandbox.execute(
        "paul", rows.list_rows, review, after=(found[-1].identity, found[-1].role) if found else None, limit=2
    ):
        found += page
    assert found == sandbox.execute("paul", rows.list_rows, review)
    assert names(sandbox.execute("paul", rows.list_rows, review, role="PROJECT_EXECUTOR")) == ["user:emma"]


def test_a_wildcard_in_the_search_is_text(sandbox: AccountsHarness, review: AccessReview) -> None:
    assert sandbox.execute("paul", rows.list_rows, review, text="%") == []
    assert sandbox.execute("paul", rows.list_rows, review, text="_mma") == []


@pytest.mark.parametrize(
    ("reader", "identity", "sentence"),
    [
        ("paul", "user:emma", None),
        ("paul", "group:crew", None),
        ("paul", "user:paul", "the creator of the project always keeps this"),
        ("admin", "user:paul", "the creator of the project always keeps this"),
        ("tom", "user:tom", "this is yours; `paul`"),
        ("tom", "user:emma", None),
        ("tom", "group:crew", "this is yours"),
    ],
)
def test_what_keeps_a_reader_from_deciding(
    sandbox: AccountsHarness, review: AccessReview, reader: str, identity: str, sentence: str | None
) -> None:
    sandbox.register_users("tom")
    sandbox.grant("PROJECT_ADMIN", "p1", "tom")
    sandbox.execute(OPERATOR, membership.add_member, "crew", Identity.user("tom"))

    def reason(tx: WriteTransaction) -> str | None:
        row = next(row for row in rows.list_rows(tx, review) if row.identity == identity)
        return rows.ReviewAuthority(tx, review).why_not(row)

    found = sandbox.execute(reader, reason)
    assert found == sentence if sentence is None else found.startswith(sentence)
