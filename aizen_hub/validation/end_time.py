"""Ends as people write them: a day, which still counts, a time with its zone, or the end of today.

A day is that of the caller's zone, where the client says when it ends; of UTC otherwise.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

END_EXAMPLE = "write a day such as 2027-01-31, a time such as 2027-01-31T18:00Z, or eod"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_END_OF_TODAY = "eod"
_AHEAD, _BEHIND = timedelta(hours=14), timedelta(hours=12)
"""How far zones are from UTC at most."""


def parse_end(text: str, now: datetime) -> datetime | None:
    """Return the moment from which something has ended, or None; days are those of UTC."""
    if text == _END_OF_TODAY:
        return datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    try:
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
        if _TIME.fullmatch(text):
            moment = datetime.fromisoformat(text)
            moment.astimezone(UTC)  # fails if UTC cannot hold it
            return moment
    except (ValueError, OverflowError):
        return None
    return None


def is_end_in_some_zone(text: str, moment: datetime, now: datetime) -> bool:
    """Return whether a day, or today for ``eod``, ends at this moment in some time zone."""
    if text == _END_OF_TODAY:
        return now < moment <= now + _AHEAD + _BEHIND
    end = parse_end(text, now) if _DAY.fullmatch(text) else None
    return end is not None and end - _AHEAD <= moment <= end + _BEHIND


def describe_end(ends: datetime) -> str:
    """Return an end as an answer shows it, in the zone in which it was given, with that zone."""
    offset = ends.isoformat()[-6:] if ends.utcoffset() else ""
    return f"{ends:%Y-%m-%d %H:%M} UTC{offset}"
