"""Ends as people write them: days in UTC, of which the last one still counts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aizen_hub.validation.end_time import describe_end, is_end_in_some_zone, parse_end

NOW = datetime(2026, 12, 1, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-12-31", "2027-01-01T00:00:00+00:00"),
        ("eod", "2026-12-02T00:00:00+00:00"),
        ("2026-12-31T18:00Z", "2026-12-31T18:00:00+00:00"),
        ("2026-12-31T18:00:30+01:00", "2026-12-31T18:00:30+01:00"),
        ("2026-02-30", None),
        ("9999-12-31", None),
        ("9999-12-31T23:59-12:00", None),
        ("0001-01-01T00:00+12:00", None),
        ("2026-12-31T18:00", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_ends(text: str, end: str | None) -> None:
    parsed = parse_end(text, NOW)
    assert (None if parsed is None else parsed.isoformat()) == end


@pytest.mark.parametrize(
    ("text", "moment", "is_end"),
    [
        ("2026-12-31", "2027-01-01T00:00:00+01:00", True),
        ("2026-12-31", "2027-01-01T00:00:00-12:00", True),
        ("2026-12-31", "2027-01-01T00:00:00+14:00", True),
        ("2026-12-31", "2027-01-02T00:00:00+01:00", False),
        ("2026-12-31", "2099-01-01T00:00:00+01:00", False),
        ("eod", "2026-12-02T00:00:00-05:00", True),
        ("eod", "2026-12-09T00:00:00-05:00", False),
        ("2026-02-30", "2026-03-01T00:00:00+01:00", False),
        ("2026-12-31T18:00Z", "2026-12-31T18:00:00+00:00", False),
    ],
)
def test_a_day_ends_at_midnight_of_some_zone(text: str, moment: str, is_end: bool) -> None:
    assert is_end_in_some_zone(text, datetime.fromisoformat(moment), NOW) is is_end


def test_an_answer_shows_an_end_with_the_zone_in_which_it_was_given() -> None:
    assert describe_end(datetime.fromisoformat("2027-01-01T00:00:00+01:00")) == "2027-01-01 00:00 UTC+01:00"
    assert describe_end(datetime(2027, 1, 1, tzinfo=UTC)) == "2027-01-01 00:00 UTC"
