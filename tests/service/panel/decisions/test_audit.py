"""Page *Audit*: sentences, filters in the address, who reads what, and one record of the reading."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.audit import timeline_search
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel.decisions import audit
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService

HOSTILE = "<script>alert(1)</script>"


def seed(tx: WriteTransaction) -> None:
    assignments.unauthorized_write_assignment(tx, "PROJECT_READER", "p1", Identity.user("nil"), reason=HOSTILE)
    assignments.unauthorized_delete_assignment(tx, "PROJECT_READER", "p1", Identity.user("nil"))
    assignments.unauthorized_write_assignment(tx, "PROJECT_READER", "p2", Identity.user("nil"), reason="other project")
    locks.lock_target(tx, LockTarget.IDENTITY, "user:nil", reason="lost laptop")


def main_of(text: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", text.split("<main")[1]).split())


@pytest.mark.parametrize(
    ("query", "present", "absent"),
    [
        ("audit", "gave nil PROJECT_ READER in p1", "routine events match"),
        ("audit?who=nil", "stopped nil", "gave rob"),
        ("audit?project=p2", "gave nil PROJECT_ READER in p2", "in p1"),
        ("audit?what=change&q=laptop", "stopped nil", "PROJECT_ READER"),
        ("audit?what=refusal&who=nil", "No events match", "gave nil"),
        ("audit?what=refusal&who=nil", "Remove the filters", "gave nil"),
        ("audit?from=2020-01-01&to=2020-01-02", "No events match", "gave nil"),
        ("projects/p1/audit?what=change", "gave nil PROJECT_ READER in p1", "in p2"),
    ],
)
def test_sentences_and_filters(panel: PanelService, query: str, present: str, absent: str) -> None:
    text = panel.get("boss", query)
    words = main_of(text).replace("PROJECT_READER", "PROJECT_ READER")
    assert present in words, words
    assert absent not in words
    assert HOSTILE not in text


@pytest.mark.proves("R72", "R100")
@pytest.mark.parametrize(
    ("user", "page", "status"),
    [
        ("boss", "audit", 200),
        ("ada", "audit", 200),
        ("ada", "audit?project=p1", 200),
        ("ada", "projects/p1/audit", 200),
        ("ada", "audit?project=p2", 404),
        ("ada", "projects/p2/audit", 404),
        ("eve", "audit", 404),
        ("eve", "projects/p1/audit", 404),
        ("eve", "audit/-/export", 404),
        ("ada", "audit/-/export?project=p2", 404),
        ("boss", "audit?after=nonsense", 400),
        ("boss", "audit?from=soon", 400),
        ("boss", "audit?id=" + "f" * 46, 404),
    ],
)
def test_who_reads_what(panel: PanelService, user: str, page: str, status: int) -> None:
    assert panel.run(panel.window(user).get(page)).status == status


@pytest.mark.proves("R72")
def test_a_project_admin_sees_the_rows_of_their_projects_only(panel: PanelService) -> None:
    words = main_of(panel.get("ada", "audit?when=all"))
    assert "in p1" in words
    assert "p2" not in words
    assert "stopped" not in words


def _reads(panel: PanelService, user: str) -> list[dict[str, Any]]:
    with panel.store.read() as tx:
        return search_newest(tx.conn, AuditFilter(event="audit.read", identity=f"user:{user}"), 1_000)


@pytest.mark.proves("R100")
def test_a_reading_is_recorded_once_and_not_per_row(panel: PanelService) -> None:
    before = len(_reads(panel, "boss"))
    panel.get("boss", "audit?who=nil&what=change")
    reads = _reads(panel, "boss")
    assert len(reads) == before + 1
    assert reads[0]["details"] == {"event": "change", "of": "nil"}


def test_one_event_has_all_its_fields(panel: PanelService) -> None:
    with panel.store.read() as tx:
        record = search_newest(tx.conn, AuditFilter(event="lock.set"), 1)[0]
    words = main_of(panel.get("boss", f"audit?id={record['id']}"))
    assert "stopped nil" in words
    assert record["hash"] in words
    assert "lost laptop" in words
    refused = panel.run(panel.window("ada").get(f"audit?id={record['id']}"))
    assert refused.status == 404, "this event is of no project of ada's"


def test_what_was_before_stands_beside_what_is_after(panel: PanelService) -> None:
    rob = Identity.user("rob")
    ends = datetime(2031, 1, 31, tzinfo=UTC)
    for interval in (Interval(ends=ends), Interval()):
        panel.write(
            "boss",
            lambda tx, to=interval: assignments.unauthorized_write_assignment(
                tx, "PROJECT_READER", "p1", rob, interval=to
            ),
        )
    with panel.store.read() as tx:
        (record, *_) = search_newest(tx.conn, AuditFilter(event="role.granted"), 1)
    words = main_of(panel.get("boss", f"audit?id={record['id']}"))
    assert "boss changed the end of PROJECT_READER for rob in p1 from 2031-01-31 00:00 UTC to no end" in words
    assert "What Before After End 2031-01-31 00:00 UTC none" in words


def test_every_event_has_a_page(panel: PanelService) -> None:
    panel.get("ada", "people")
    with panel.store.read() as tx:
        records = search_newest(tx.conn, AuditFilter(), 200)
    assert any("details" not in record for record in records)
    for event in {record["event"]: record["id"] for record in records}.values():
        assert "The whole record" in panel.get("boss", f"audit?id={event}")


def test_pages_lead_on_until_the_end(panel: PanelService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE", 5)
    page, seen = "audit?when=all&what=change", 0
    for _ in range(50):
        text = panel.get("boss", page)
        shown = re.search(r"(\d+) events? shown", text)
        assert shown is not None
        seen += int(shown[1])
        older = re.search(r'href="/services/aizen/(audit\?[^"]*after=[^"]*)"', text)
        if older is None:
            break
        page = older[1].replace("&amp;", "&")
    assert seen > 10
    assert seen == len(list(csv.reader(io.StringIO(_export(panel, "audit/-/export?when=all&what=change"))))) - 1


def _export(panel: PanelService, page: str) -> str:
    response = panel.run(panel.window("boss").get(page))
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/csv")
    return str(response.body.decode())


@pytest.mark.proves("T-21")
def test_the_export_is_the_whole_and_a_cut_one_is_refused(panel: PanelService, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(csv.DictReader(io.StringIO(_export(panel, "audit/-/export?who=nil&what=change&when=all"))))
    assert len(rows) == 5
    assert rows[0]["sentence in words"] == "the service stopped user:nil"
    monkeypatch.setattr(audit, "MAX_EXPORTED", 2)
    refused = panel.run(panel.window("boss").get("audit/-/export?when=all"))
    assert refused.status == 400
    assert b"rows match" in refused.body


@pytest.mark.parametrize("query", ["to=9999-12-31", f"after={'9' * 23}~1~x", f"after=1~{'9' * 23}~x", "after=1~1~"])
def test_times_and_places_beyond_the_calendar_are_refused(panel: PanelService, query: str) -> None:
    assert panel.run(panel.window("boss").get(f"audit?{query}")).status == 400


def test_an_export_that_would_read_too_much_is_refused(panel: PanelService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_search, "MAX_EXAMINED", 1)
    monkeypatch.setattr(audit, "MAX_PAGES", 3)
    response = panel.run(panel.window("boss").get("audit/-/export?q=nothing+of+the+kind"))
    assert response.status == 400
    assert b"too many rows would have to be read" in response.body.lower()


def test_the_timeline_alone_is_sent_to_htmx(panel: PanelService) -> None:
    window = panel.window("boss")
    headers = {"HX-Request": "true", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    token = re.search(r'X-XSRF-Token": "([^"]+)"', panel.get("boss", "audit"))
    assert token is not None
    fragment = panel.run(window.get("audit?who=nil", **headers, **{"X-XSRF-Token": token[1]}))
    assert fragment.status == 200, fragment.body
    assert fragment.body.decode().strip().startswith('<div id="results">')


def test_a_page_reads_on_where_routine_hides_everything_else(
    panel: PanelService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(8):
        panel.get("boss", "audit")
    monkeypatch.setattr(audit, "PAGE", 8)
    monkeypatch.setattr(audit, "_MAX_READS", 200)
    monkeypatch.setattr(audit, "_ENOUGH", 200)
    assert "stopped nil" in main_of(panel.get("boss", "audit"))
    monkeypatch.setattr(audit, "_MAX_READS", 1)
    assert "stopped nil" not in main_of(panel.get("boss", "audit"))


def test_a_page_ends_after_some_reads_that_their_bound_ended(
    panel: PanelService, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[bool] = []
    read_timeline = audit.read_timeline

    def record(*args: Any, **more: Any) -> Any:
        page = read_timeline(*args, **more)
        reads.append(page.is_complete)
        return page

    monkeypatch.setattr(timeline_search, "MAX_EXAMINED", 1)
    monkeypatch.setattr(audit, "read_timeline", record)
    assert "read back to" in panel.get("boss", "audit?q=nothing+of+the+kind")
    assert reads == [False] * audit._MAX_WINDOWS
