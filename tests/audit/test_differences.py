"""What an event changed: the values before and after that its record tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aizen_hub.accounts.roles import assignments, custom_roles, limits
from aizen_hub.audit.differences import ValueDifference, find_differences
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.audit.timeline import describe
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from tests.accounts.conftest import harness, populated_folder, template_folder
from tests.accounts.harness import OPERATOR, AccountsHarness

__all__ = ["harness", "populated_folder", "template_folder"]

RITA = Identity.user("rita")


def newest(harness: AccountsHarness, event: str) -> dict[str, Any]:
    """Return the record of the highest revision: several have the same time."""
    with harness.read() as tx:
        records = search_newest(tx.conn, AuditFilter(event=event), 100)
    return dict(max(records, key=lambda record: record["revision"]))


def differences(harness: AccountsHarness, event: str) -> list[tuple[str, Any, Any]]:
    return [(item.label, item.before, item.after) for item in find_differences(newest(harness, event))]


def test_the_end_of_a_role(harness: AccountsHarness) -> None:
    day = datetime(2030, 1, 31, tzinfo=UTC)
    for ends, expected in (
        (day, []),
        (day + timedelta(days=2), [("End", day, day + timedelta(days=2))]),
        (None, [("End", day + timedelta(days=2), None)]),
        (day, [("End", None, day)]),
    ):
        harness.execute(
            OPERATOR,
            assignments.unauthorized_write_assignment,
            "PROJECT_ADMIN",
            "p1",
            RITA,
            interval=Interval(ends=ends),
        )
        assert differences(harness, "role.granted") == expected
    text = describe(newest(harness, "role.granted")).text
    assert "changed the end of PROJECT_ADMIN for user:rita in p1 from no end to 2030-01-31 00:00 UTC" in text


def test_the_content_of_a_role(harness: AccountsHarness) -> None:
    harness.execute(
        OPERATOR,
        custom_roles.create_role,
        "LABELLER",
        permissions=["read:dataset", "write:dataset"],
        limits={"jobs": 4},
        description="Labels",
    )
    harness.execute(
        OPERATOR,
        custom_roles.update_role,
        "LABELLER",
        permissions=["read:dataset", "read:training"],
        limits={"memory": 2**33},
        description="Labels and looks",
    )
    assert differences(harness, "role.changed") == [
        ("Description", "Labels", "Labels and looks"),
        ("Limit of jobs", "4", None),
        ("Limit of memory", None, "8 GiB"),
        ("Permission", "write:dataset", None),
        ("Permission", None, "read:training"),
    ]


def test_a_limit(harness: AccountsHarness) -> None:
    for value, expected in ((2**33, (None, "8 GiB")), (2**34, ("8 GiB", "16 GiB")), (None, ("16 GiB", None))):
        harness.execute(OPERATOR, limits.set_limit, RITA, "p1", "memory", value)
        assert differences(harness, "limit.set") == [("Limit of memory", *expected)]


@pytest.mark.parametrize(
    "details",
    [None, {}, {"until": "2030-01-31T00:00:00+00:00"}, {"added": "no list"}, {"former-limits": 3, "limits": {}}],
)
def test_an_event_that_tells_nothing_of_before(details: Any) -> None:
    assert find_differences({"event": "role.granted", "details": details}) == ()


def test_a_time_that_is_none_is_shown_as_it_is_written() -> None:
    record = {"details": {"former-until": "soon", "until": None}}
    assert find_differences(record) == (ValueDifference("End", "soon", None),)
