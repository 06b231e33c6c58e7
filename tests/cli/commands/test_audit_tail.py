"""`aizen-hub audit tail`: each row once, in order, and not the looks themselves."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click
import pytest

from aizen_hub.cli.commands import audit_tail
from tests.cli.conftest import RecordingServer

AT = 1_800_000_000_000_000


def row(number: int, event: str = "role.granted", **details: Any) -> dict[str, Any]:
    return {"id": f"{number:032x}", "at": AT + number, "event": event, "identity": "user:lead", "details": details}


def answer(*rows: dict[str, Any]) -> dict[str, Any]:
    """Return what the service answers: the newest row first."""
    return {"data": {"audit": list(reversed(rows))}}


def test_new_rows_follow_once_and_looks_are_left_out(
    recording_server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, look = row(1, role="READER"), row(2, role="ADMIN"), row(3, "audit.read")
    recording_server.answer = answer(first)
    later = [answer(first, second, look), answer(first, second, look)]

    def sleep(_: float) -> None:
        if not later:
            raise KeyboardInterrupt
        recording_server.answer = later.pop(0)

    monkeypatch.setattr(time, "sleep", sleep)
    result = recording_server.run("audit", "tail", "-f", "-o", "json")
    assert isinstance(result.exception, click.Abort | KeyboardInterrupt)
    assert [json.loads(line)["role"] for line in result.stdout.splitlines()] == ["READER", "ADMIN"]
    assert audit_tail._OWN_EVENT not in result.stdout
    assert all(path.startswith("audit?") for _, path, _ in recording_server.requests)
    assert "since=" in recording_server.requests[-1][1]


@pytest.mark.parametrize("lines", ["0", "10"])
def test_the_clock_of_this_machine_does_not_matter(
    lines: str, recording_server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is fast hid every row of the time by which it is."""

    class FastClock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> FastClock:
            return cls.fromtimestamp(time.time() + 3600, tz)

    looks = [1, 2]

    def sleep(_: float) -> None:
        if not looks:
            raise KeyboardInterrupt
        looks.pop()

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(audit_tail, "datetime", FastClock)
    recording_server.answer = answer(row(1))
    started = datetime.now(UTC)
    recording_server.run("audit", "tail", "-f", "-n", lines)
    queries = [parse_qs(urlsplit(path).query) for _, path, _ in recording_server.requests]
    searched = [datetime.fromisoformat(query["since"][0]) for query in queries if "since" in query]
    assert len(searched) >= 2
    assert all(abs(started - since) < timedelta(minutes=30) for since in searched)


def test_without_follow_it_shows_the_newest_rows_oldest_first(recording_server: RecordingServer) -> None:
    recording_server.answer = answer(row(1, role="A"), row(2, role="B"), row(3, role="C"))
    result = recording_server.run("audit", "tail", "-n", "2")
    assert result.exception is None
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    assert "  B" in lines[0]
    assert "  C" in lines[1]
