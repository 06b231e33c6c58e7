"""Ends as people write them: days in UTC, of which the last one still counts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aizen_hub.validation.end_time import parse_end

NOW = datetime(2026, 12, 1, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-12-31", "2027-01-01T00:00:00+00:00"),
        ("eod", "2026-12-02T00:00:00+00:00"),
        ("2026-12-31T18:00Z", "2026-12-31T18:00:00+00:00"),
        ("2026-12-31T18:00:30+01:00", "2026-12-31T17:00:30+00:00"),
        ("2026-02-30", None),
        ("9999-12-31", None),
        ("2026-12-31T18:00", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_ends(text: str, end: str | None) -> None:
    parsed = parse_end(text, NOW)
    assert (None if parsed is None else parsed.isoformat()) == end
