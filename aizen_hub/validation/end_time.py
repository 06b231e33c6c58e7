"""Ends as people write them: a day, which still counts, a time with its zone, or the end of today."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

END_EXAMPLE = "write a day such as 2027-01-31, a time such as 2027-01-31T18:00Z, or eod"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_END_OF_TODAY = "eod"


def parse_end(text: str, now: datetime) -> datetime | None:
    """Return the moment from which something has ended, days in UTC; None for any other text."""
    if text == _END_OF_TODAY:
        return datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    try:
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None
