"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aizen_hub.validation.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "duration", "words"),
    [
        ("90m", timedelta(minutes=90), "90 minutes"),
        ("1h", timedelta(hours=1), "1 hour"),
        ("4 hours", timedelta(hours=4), "4 hours"),
        ("24h", timedelta(days=1), "1 day"),
        ("7d", timedelta(days=7), "7 days"),
        ("2w", timedelta(days=14), "2 weeks"),
        ("10 days", timedelta(days=10), "10 days"),
        ("9999w", timedelta(weeks=9999), "9999 weeks"),
    ],
)
def test_a_duration_is_read_and_written(text: str, duration: timedelta, words: str) -> None:
    assert parse_duration(text) == duration
    assert format_duration(duration) == words


@pytest.mark.parametrize("text", ["", "0h", "h", "4", "4y", "-4h", "4  h", "4h ", "4.5h", "10000d", "٤h", "4hd"])
def test_any_other_text_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None
