"""Which changes are checked for all others in a transaction that has to be short."""

from __future__ import annotations

from datetime import UTC, datetime

from aizen_hub.accounts.roles.staged_assignments import AssignmentChange
from aizen_hub.policy.assignment_plan import combine_checks
from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.identity import Identity

EARLY, LATE = (datetime(year, 1, 1, tzinfo=UTC) for year in (2090, 2099))


def change(
    name: str, after: Interval | None, *, role: str = "PROJECT_READER", before: Interval | None = None
) -> AssignmentChange:
    return AssignmentChange("/assignments/0", role, "p1", Identity.user(name), None, before, after)


def test_of_plain_grants_the_first_to_end_is_checked_and_everything_else_by_itself() -> None:
    plain = [change("u1", ALWAYS), change("u2", Interval(None, LATE)), change("u3", Interval(None, EARLY))]
    plain += [change(f"v{number}", ALWAYS) for number in range(100)]
    others = [
        change("u4", ALWAYS, role="PROJECT_EXECUTOR"),
        change("u5", Interval(EARLY, LATE)),
        change("u6", Interval(None, EARLY), before=ALWAYS),
        change("u7", Interval(None, EARLY), before=ALWAYS),
        change("u8", None, before=ALWAYS),
    ]
    assert combine_checks([*plain, *others]) == (plain[2], *others)
