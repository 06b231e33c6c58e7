"""Durations as people write them, such as ``4h`` or ``7 days``."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION = re.compile(r"([1-9][0-9]{0,3}) ?(m|min|minutes?|h|hours?|d|days?|w|weeks?)")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
EXAMPLE = "write a duration such as 4h, 7d or 2w"


def parse_duration(text: str) -> timedelta | None:
    """Return a duration in minutes, hours, days or weeks, at most 9999 of them; None for any other text."""
    match = _DURATION.fullmatch(text)
    return None if match is None else int(match[1]) * _UNITS[match[2][0]]


def format_duration(duration: timedelta) -> str:
    """Return a duration in words, in the largest unit that divides it."""
    for letter, noun in (("w", "week"), ("d", "day"), ("h", "hour"), ("m", "minute")):
        number, rest = divmod(duration, _UNITS[letter])
        # Weeks are written only from two on: "7 days" is what people say.
        if not rest and number >= (2 if letter == "w" else 1):
            return f"{number} {noun}{'' if number == 1 else 's'}"
    raise ValueError("a duration shorter than a minute, or not of whole minutes")
