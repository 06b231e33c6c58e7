"""When days end in the time zone of this server, which the service does not know."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

_DAY = re.compile(r'(?<![^\s"])(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|eod)(?![^\s"])')
_MAX_DAYS = 8
_FIRST_DAY = "2000-01-01"


def find_day_ends(line: str) -> dict[str, str]:
    """Return the days that a command line names, and ``eod``, with the time at which each ends here.

    Not those of former centuries, in a reason for example, whose offsets from UTC may have seconds.
    """
    days = dict.fromkeys(day for day in _DAY.findall(line) if day >= _FIRST_DAY)
    ends = {day: end for day in days if (end := end_of_day(day)) is not None}
    return dict(list(ends.items())[:_MAX_DAYS])


def end_of_day(text: str) -> str | None:
    """Return the end of a day, or of today for ``eod``, with the zone of this server; None for any other text."""
    try:
        day = datetime.now().astimezone().date() if text == "eod" else date.fromisoformat(text)
        return datetime.combine(day + timedelta(days=1), time.min).astimezone().isoformat()
    except (ValueError, OverflowError):
        return None
