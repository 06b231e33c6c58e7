"""Search for the timeline: complete over its pages, bounded in what one page reads, and filtered for its reader."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from aizen_hub.audit import timeline_search
from aizen_hub.audit.event_texts import EventKind
from aizen_hub.audit.search import AuditFilter
from aizen_hub.audit.timeline_search import TimelineCursor, TimelineQuery, mentions, read_timeline
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.audit_log.record import AuditRecord
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import make_audit_record
from tests.store.conftest import catalog, opened, settings, store  # noqa: F401 - fixtures

PAUL, RITA = (Actor(Identity.user(name), Channel.PANEL) for name in ("paul", "rita"))
EVERYTHING = TimelineQuery(AuditFilter())


@pytest.fixture
def filled(store: Store) -> Store:  # noqa: F811
    """A grant to rita, refusals of rita in two projects, and reads of paul; twenty minutes, one a minute."""
    with store.read() as tx:
        start = tx.now - timedelta(hours=1)
    records: list[AuditRecord] = []

    def add(actor: Actor, event: str, **fields: Any) -> None:
        records.append(make_audit_record(actor, event, start + timedelta(minutes=len(records)), **fields))

    add(PAUL, "role.granted", project="p1", details={"target": "user:rita", "role": "READER", "scope": "p1"})
    for number in range(6):
        project = "p1" if number % 2 else "p2"
        add(RITA, "decision", project=project, allowed=False, command="start training", sentence="no role")
    for _ in range(12):
        add(PAUL, "access.read", project="p1", details={"query": "users"})
    add(PAUL, "user.created", details={"user": "erin", "provider": "ldap"})
    store.append_audit(records)
    return store


def search(store: Store, query: TimelineQuery, **more: Any) -> list[dict[str, Any]]:  # noqa: F811
    with store.read() as tx:
        return list(read_timeline(tx.conn, query, **more).records)


@pytest.mark.parametrize(
    ("query", "events"),
    [
        (TimelineQuery(AuditFilter(), kind=EventKind.REFUSAL), ["decision"] * 6),
        (TimelineQuery(AuditFilter(project="p2"), kind=EventKind.REFUSAL), ["decision"] * 3),
        (TimelineQuery(AuditFilter(projects=frozenset({"p2"}))), ["decision"] * 3),
        (TimelineQuery(AuditFilter(), about="user:rita"), ["decision"] * 6 + ["role.granted"]),
        (TimelineQuery(AuditFilter(), about="user:erin"), ["user.created"]),
        (TimelineQuery(AuditFilter(), about="group:erin"), []),
        (TimelineQuery(AuditFilter(), text="START TRAINING"), ["decision"] * 6),
        (TimelineQuery(AuditFilter(), text="%"), []),
        (TimelineQuery(AuditFilter(), kind=EventKind.CHANGE, about="user:rita"), ["role.granted"]),
        (TimelineQuery(AuditFilter(project="p1"), kind=EventKind.ROUTINE), ["access.read"] * 12),
    ],
)
@pytest.mark.proves("R72")
def test_filters(filled: Store, query: TimelineQuery, events: list[str]) -> None:
    assert [record["event"] for record in search(filled, query)] == events


def test_pages_have_every_row_once_and_newest_first(filled: Store) -> None:
    everything = search(filled, EVERYTHING, limit=1_000)
    found: list[dict[str, Any]] = []
    place: TimelineCursor | None = None
    with filled.read() as tx:
        while True:
            page = read_timeline(tx.conn, EVERYTHING, place, limit=7)
            found += page.records
            if page.next is None:
                break
            place = TimelineCursor.parse(page.next.encode())
    assert found == everything
    assert [record["at"] for record in found] == sorted((record["at"] for record in found), reverse=True)


def test_a_later_page_reads_on_where_the_former_ended(filled: Store) -> None:
    statements: list[tuple[str, Any]] = []
    with filled.read() as tx:
        if tx.conn.dialect.name != "sqlite":
            pytest.skip("PostgreSQL chooses its plan by the sizes of tables")
        first = read_timeline(tx.conn, EVERYTHING, limit=7)
        event.listen(tx.conn, "before_cursor_execute", lambda *args: statements.append((args[2], args[3])))
        read_timeline(tx.conn, EVERYTHING, first.next, limit=7)
        text, values = statements[0]
        plan = [row[3] for row in tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
    assert "ix_audit_search (at<?)" in plan[0], plan
    # Only rows of the same microsecond are sorted; the wording depends on SQLite's version.
    assert plan[1:] in (
        ["USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"],
        ["USE TEMP B-TREE FOR LAST 2 TERMS OF ORDER BY"],
    )


def test_a_page_reads_a_bounded_number_of_rows_and_says_so(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_search, "MAX_EXAMINED", 10)
    query = TimelineQuery(AuditFilter(project="p1"), kind=EventKind.CHANGE, about="user:rita")
    monkeypatch.setattr(timeline_search, "KIND_EVENTS", {EventKind.CHANGE: frozenset({"access.read", "role.granted"})})
    with filled.read() as tx:
        first = read_timeline(tx.conn, query)
        assert first.records == ()
        assert not first.is_complete
        assert first.next is not None
        second = read_timeline(tx.conn, query, first.next)
    assert [record["event"] for record in second.records] == ["role.granted"]
    assert second.next is None


def test_windows_end_between_rows_of_one_microsecond(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(timeline_search, "MAX_EXAMINED", 3)
    with store.read() as tx:
        at = tx.now - timedelta(hours=1)
    details = [{"query": "users", "of": "überall" if number in (0, 4, 8) else "nowhere"} for number in range(9)]
    store.append_audit(make_audit_record(RITA, "access.read", at, details=each) for each in details)
    query, place = TimelineQuery(AuditFilter(event="access.read"), text="üBERALL"), None
    with store.read() as tx:
        pages = [read_timeline(tx.conn, query)]
        while (place := pages[-1].next) is not None:
            pages.append(read_timeline(tx.conn, query, place))
    numbers = [[record["number"] for record in page.records] for page in pages]
    newest = max(number for found in numbers for number in found)
    assert numbers == [[newest], [newest - 4], [newest - 8], []]
    assert [page.is_complete for page in pages] == [False, False, False, True]


def test_a_window_is_read_between_two_times(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_search, "MAX_EXAMINED", 5)
    statements: list[tuple[str, Any]] = []
    with filled.read() as tx:
        if tx.conn.dialect.name != "sqlite":
            pytest.skip("PostgreSQL chooses its plan by the sizes of tables")
        first = read_timeline(tx.conn, TimelineQuery(AuditFilter(), about="user:erin"))
        event.listen(tx.conn, "before_cursor_execute", lambda *args: statements.append((args[2], args[3])))
        read_timeline(tx.conn, TimelineQuery(AuditFilter(), about="user:erin"), first.next)
        text, values = statements[-1]
        plan = [row[3] for row in tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
    assert "ix_audit_search (at>? AND at<?)" in plan[0], plan


@pytest.mark.parametrize(
    "text", ["", "1", "x~y~z", "1~2", "9" * 18 + "~1~w", "1~" + "9" * 19 + "~w", "-1~1~w", "1~1~\n"]
)
def test_another_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        TimelineCursor.parse(text)


@pytest.mark.parametrize(
    ("details", "is_mentioned"),
    [
        ({"target": "user:rita"}, True),
        ({"member": "user:rita"}, True),
        ({"user": "rita"}, True),
        ({"group": "rita"}, False),
        ({"name": "rita"}, False),
        (None, False),
    ],
)
def test_mentions(details: dict[str, Any] | None, is_mentioned: bool) -> None:
    assert mentions({"identity": "user:paul", "details": details}, "user:rita") == is_mentioned
