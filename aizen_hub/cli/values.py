"""Values of options as people write them: times such as ``eod`` or ``2h``, durations, and sizes such as ``8GiB``."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

import click

_DURATION = re.compile(r"(?:(\d{1,4})w)?(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m(?:in)?)?(?:(\d{1,8})s)?")
_UNITS = ("weeks", "days", "hours", "minutes", "seconds")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_DAYS = {"today": 0, "eod": 0, "yesterday": -1, "tomorrow": 1}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGTP]i?)?B?", re.IGNORECASE)
_POWERS = {letter: power for power, letter in enumerate("KMGTP", 1)}
TIME_HELP = "a time such as 2026-12-31T18:00 (of this machine's time zone, unless it ends in Z)"


class Meaning(StrEnum):
    """What a day, a duration or a word such as ``today`` stands for."""

    START = "start"  # the first moment of a day; a duration ahead
    END = "end"  # the last day counts; a duration ahead
    PAST = "past"  # the first moment of a day; a duration ago
    PAST_END = "past-end"  # the last day counts; a duration ago


def parse_duration(text: str) -> timedelta | None:
    """Return a duration such as ``7d``, ``2h30m`` or ``1w``; None for other text."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        return None
    return timedelta(**{unit: int(value) for unit, value in zip(_UNITS, match.groups(), strict=True) if value})


def parse_moment(text: str, meaning: Meaning, now: datetime) -> datetime:
    """Return the moment that a text names; days and times without a zone are those of this machine.

    Parameters
    ----------
    text : str
        ``now``, ``today``, ``yesterday``, ``tomorrow``, ``eod``, a duration, a day, or a time in ISO 8601.
    now : datetime
        With a time zone.

    Raises
    ------
    ValueError, OverflowError
    """
    word = text.strip().lower()
    is_past, is_end = meaning in (Meaning.PAST, Meaning.PAST_END), meaning in (Meaning.END, Meaning.PAST_END)
    if word == "now":
        return now
    if (duration := parse_duration(word)) is not None:
        return now - duration if is_past else now + duration
    if word in _DAYS:
        day = now.astimezone().date() + timedelta(days=_DAYS[word])
    elif _DAY.fullmatch(word):
        day = date.fromisoformat(word)
    else:
        # Without a zone it is local, as for `datetime.astimezone` itself.
        return datetime.fromisoformat(text.strip()).astimezone()
    return datetime.combine(day + timedelta(days=is_end or word == "eod"), time()).astimezone()


def parse_size(text: str) -> float:
    """Return a number, or bytes for a size such as ``8GiB``; ``8G`` and ``8GB`` are 10^9.

    Raises
    ------
    ValueError
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text}` is not a number or a size")
    number, unit = float(match[1]), (match[2] or "").upper()
    return number * (1024 if unit.endswith("I") else 1000) ** (_POWERS[unit[0]] if unit else 0)


def timestamp(moment: datetime) -> str:
    """Return a moment as the service reads it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def local_timestamp(moment: datetime) -> str:
    """Return an end in the zone of this machine, in which the answer then shows it."""
    return moment.astimezone().isoformat(timespec="seconds")


class MomentType(click.ParamType):
    """A time option; its value is a ``datetime`` with a time zone."""

    name = "time"

    def __init__(self, meaning: Meaning) -> None:
        self._meaning = meaning

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(value, self._meaning, datetime.now().astimezone())
        except (ValueError, OverflowError):
            self.fail(
                f"`{value}` is no time: write a day (2026-12-31), a duration (7d, 2h), today, yesterday, tomorrow, "
                f"eod, or {TIME_HELP}",
                param,
                ctx,
            )


class DurationType(click.ParamType):
    """A duration; its value is the moment after it, counted from now."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            duration = parse_duration(value)
            if duration:
                return datetime.now().astimezone() + duration
        except OverflowError:
            pass
        self.fail(f"`{value}` is no duration: write for example 8h, 7d or 2w", param, ctx)
        return None


class PathOrUrl(click.Path):
    """A file or folder of this machine, or a URL of object storage, as text."""

    def __init__(self, **rules: Any) -> None:
        super().__init__(**rules)
        self.name = f"{self.name} or url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if "://" in str(value) else super().convert(value, param, ctx)


class SizeType(click.ParamType):
    """A number that is not negative, or a size in bytes."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_size(value)
        except ValueError:
            self.fail(f"`{value}` is no number: write for example 2, 0.5 or 8GiB", param, ctx)


START, END = MomentType(Meaning.START), MomentType(Meaning.END)
SINCE, BEFORE = MomentType(Meaning.PAST), MomentType(Meaning.PAST_END)
DURATION, SIZE = DurationType(), SizeType()


def end_options(what: str = "the assignment") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds ``--until`` and ``--for``, of which a command gets one moment as ``ends``."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        until = click.option(
            "--until", "until", type=END, help=f"End of {what}: a day, which still counts, eod, or {TIME_HELP}."
        )
        duration = click.option("--for", "duration", type=DURATION, help=f"Length of {what}, such as 8h, 7d or 2w.")
        return until(duration(_with_one_end(command)))

    return add


def _with_one_end(command: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(command)
    def with_end(*args: Any, until: datetime | None, duration: datetime | None, **kwargs: Any) -> Any:
        if until is not None and duration is not None:
            raise click.UsageError("use either --until or --for")
        return command(*args, ends=until or duration, **kwargs)

    return with_end
