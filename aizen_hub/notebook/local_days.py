"""When days end in the time zone of this server, which the service does not know."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

_DAY = re.compile(r'(?<![^\s"])(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|eod)(?![^\s"])')
_MAX_DAYS = 8


def find_day_ends(line: str) -> dict[str, str]:
    """Return the days that a command line names, and ``eod``, with the time at which each ends here."""
    days = dict.fromkeys(_DAY.findall(line))
    ends = {day: end for day in days if (end := end_of_day(day)) is not None}
    return dict(list(ends.items())[:_MAX_DAYS])


def end_of_day(text: str) -> str | None:
    """Return the end of a day, or of today for ``eod``, with the zone of this server; None for any other text."""
    try:
        today = datetime.now().astimezone().date()
        day = today if text == "eod" else date.fromisoformat(text)
        if day < today:  # No end of anything; offsets of earlier times may have seconds.
            return None
        return datetime.combine(day + timedelta(days=1), time.min).astimezone().isoformat()
    except (ValueError, OverflowError):
        return None
