"""The timeline: sentences that a reader would write, routine folded, equal refusals counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aizen_hub.audit.event_texts import EventKind
from aizen_hub.audit.timeline import RoutineStretch, TimelineEvent, build_timeline, describe, extend_timeline
from aizen_hub.store.timestamps import to_microseconds

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(event: str, *, minutes: int = 0, **fields: Any) -> dict[str, Any]:
    at = to_microseconds(NOON + timedelta(minutes=minutes))
    return {"id": f"{event}-{minutes}", "event": event, "at": at, "identity": "user:paul", **fields}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            record(
                "role.granted",
                channel="kernel",
                project="churn",
                details={
                    "target": "user:rita", "role": "PROJECT_EXECUTOR", "scope": "churn", "from": None,
                    "until": "2026-12-01T00:00:00+00:00", "reason": "for the demo",
                },
            ),
            "user:paul gave user:rita PROJECT_EXECUTOR in churn until 2026-12-01 00:00 UTC",
        ),
        (
            record("role.revoked", details={"target": "group:crew", "role": "PROJECT_READER", "scope": "system"}),
            "user:paul took PROJECT_READER in the whole system away from group:crew",
        ),
        (
            record("decision", command="start training churn", allowed=False, project="churn", sentence="no role"),
            "user:paul was refused start training churn in churn",
        ),
        (record("decision", command="list trainings", allowed=True), "user:paul ran list trainings"),
        (
            record("lock.set", details={"target": "identity", "name": "user:erin", "reason": "stolen", "until": None}),
            "user:paul stopped user:erin",
        ),
        (
            record("lock.set", details={"target": "project", "name": "churn", "reason": "x", "until": None}),
            "user:paul stopped project churn",
        ),
        (
            record(
                "limit.set",
                details={"identity": "user:rita", "scope": "churn", "limit": "jobs", "before": 4, "value": 6},
            ),
            "user:paul changed the limit of jobs for user:rita in churn from 4 to 6",
        ),
        (
            record(
                "limit.set",
                details={"identity": "user:rita", "scope": "churn", "limit": "memory", "before": None, "value": 2**33},
            ),
            "user:paul set the limit of memory for user:rita in churn to 8 GiB",
        ),
        (
            record("role.granted", details={"target": "user:rita", "role": "X", "scope": "churn", "creator": True}),
            "user:rita became X of churn, as its creator",
        ),
        (
            record("role.granted", details={"target": "user:rita", "role": "X", "scope": "churn", "mapped": True}),
            "user:rita got X in churn by a mapping rule",
        ),
        (record("login", details={"user": "rita", "provider": "ldap", "outcome": "admitted"}),
         "user:rita signed in by ldap"),
        (record("login", details={"user": "rita", "provider": "ldap", "outcome": "locked"}),
         "user:rita was not let in by ldap: stopped"),
        (record("project.listed", project="churn", details={"listed": False}),
         "user:paul hid churn from those without a role in it"),
        (record("change.submitted", details={"change-kind": "grant", "what": "grant AIZEN_ADMIN to `user:grace`"}),
         "user:paul asked for a change that waits for confirmation: grant AIZEN_ADMIN to grace"),
        (record("change.confirmed", details={"change-kind": "unlock", "asked-by": "user:rita"}),
         "user:paul confirmed a change of user:rita: lift a stop"),
        (record("operation.ended", identity=None, details={"kind": "policy-apply", "state": "failed"}),
         "the carrying out of a policy file ended: it failed"),
        (record("user.changed", details={"user": "rita", "fields": ["display_name", "email"]}),
         "user:paul changed the name, the mail address of user:rita"),
        (record("access.read", project="churn", details={"query": "members-file"}),
         "user:paul read the members as a file in churn"),
        (record("key.signing", identity=None, details={"purpose": "role"}),
         "the service put a key for the tokens of servers into use"),
        (record("catalog.adopted", details={"catalog": {"name": "aizen", "version": "1", "hash": "0"}}),
         "the catalog aizen 1 was put in force"),
        (record("group.member-added", details={"group": "crew", "member": "user:rita"}),
         "user:paul added user:rita to group:crew"),
        (record("user.created", details={"user": "rita", "provider": "ldap"}),
         "user:paul registered user:rita, who signs in by ldap"),
        (record("something.new"), "user:paul: something.new"),
        (record("role.granted", identity=None, details={}), "the service gave something something in something"),
        (record("role.granted", allowed=False, sentence="not yours"), "user:paul was refused: not yours"),
    ],
)  # fmt: skip
def test_an_event_is_a_sentence(row: dict[str, Any], text: str) -> None:
    assert describe(row).text == text


def test_a_change_keeps_what_was_written_for_people() -> None:
    event = describe(
        record("role.granted", channel="kernel", details={"reason": "for the demo", "target": "user:rita"})
    )
    assert (event.reason, event.channel, event.kind) == ("for the demo", "from a notebook", EventKind.CHANGE)
    refusal = describe(
        record("decision", command="x", allowed=False, reason="no-assignment", sentence="no role has it")
    )
    assert (refusal.reason, refusal.kind) == ("no role has it", EventKind.REFUSAL)
    allowed = describe(record("decision", command="x", allowed=True, reason="granted"))
    assert (allowed.reason, allowed.kind) == ("", EventKind.ROUTINE)


def test_routine_events_are_folded_per_stretch() -> None:
    rows = [
        record("access.read", minutes=5, details={"query": "users"}),
        record("decision", minutes=4, allowed=True, command="list trainings"),
        record("role.revoked", minutes=3, details={}),
        record("audit.read", minutes=2),
    ]
    first, change, second = build_timeline(rows)
    assert isinstance(first, RoutineStretch)
    assert isinstance(second, RoutineStretch)
    assert isinstance(change, TimelineEvent)
    assert (first.count, change.record["event"], second.count) == (2, "role.revoked", 1)
    assert all(isinstance(event, TimelineEvent) for event in build_timeline(rows, fold=False))


@pytest.mark.parametrize("fold", [True, False])
def test_a_timeline_read_in_parts_is_the_same(fold: bool) -> None:
    refusal = {"command": "start training churn", "allowed": False, "sentence": "no role"}
    events = ["audit.read", "decision", "decision", "role.granted", "audit.read", "audit.read", "decision"]
    rows = [record(event, minutes=-n, **(refusal if event == "decision" else {})) for n, event in enumerate(events)]
    for place in range(len(rows) + 1):
        timeline = build_timeline(rows[:place], fold=fold)
        extend_timeline(timeline, rows[place:], fold=fold)
        assert timeline == build_timeline(rows, fold=fold), place


def test_equal_refusals_in_a_row_are_one_line_with_their_number() -> None:
    def refused(minutes: int, **fields: Any) -> dict[str, Any]:
        fields = {"command": "start training", "sentence": "no role", **fields}
        return record("decision", minutes=minutes, allowed=False, **fields)

    rows = [refused(9), refused(8), refused(7), refused(6, command="delete training"), refused(5)]
    events = build_timeline(rows)
    assert [event.count for event in events] == [3, 1, 1]
    newest = events[0]
    assert isinstance(newest, TimelineEvent)
    assert (newest.id, newest.at, newest.since) == (
        "decision-9", NOON + timedelta(minutes=9), NOON + timedelta(minutes=7),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["<b>x</b>", "x\u202ey", "y" * 1000, "a\nb"])
@pytest.mark.proves("R99")
def test_hostile_names_stay_one_printable_line(name: str) -> None:
    event = describe(record("role.granted", details={"target": f"user:{name}", "role": name, "scope": name}))
    assert all(str(part.value).isprintable() for part in event.parts)
    assert max(len(str(part.value)) for part in event.parts) <= 300
