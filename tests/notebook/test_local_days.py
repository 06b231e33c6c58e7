"""Days of a command line, as they end where the kernel runs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from aizen_hub.notebook.local_days import end_of_day, find_day_ends


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("line", "ends"),
    [
        ("grant role R to rita until 2036-12-31", {"2036-12-31": "2037-01-01T00:00:00+01:00"}),
        ('grant role R to rita until "2036-07-31"', {"2036-07-31": "2036-08-01T00:00:00+02:00"}),
        ("grant role R to rita until 2036-12-31T18:00Z", {}),
        ("grant role R to rita until 2026-02-30", {}),
        ("start training x2036-12-31", {}),
        ('stop training churn because "1800-10-14"', {}),
        ("list projects", {}),
    ],
)
def test_days_of_a_line(line: str, ends: dict[str, str]) -> None:
    assert find_day_ends(line) == ends


def test_today_ends_at_midnight_here() -> None:
    end = find_day_ends("grant role R to rita until eod")["eod"]
    assert end == end_of_day("eod")
    assert end[10:] in ("T00:00:00+01:00", "T00:00:00+02:00")
