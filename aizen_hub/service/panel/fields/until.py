"""The end of a grant, as forms offer it: presets, a date, or no end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aizen_hub.api_models.schema import Schema
from aizen_hub.service.http.form import Typed
from aizen_hub.service.panel.form_errors import FieldError
from aizen_hub.service.panel.formatting import format_day, last_moment
from aizen_hub.validation.duration import format_duration, parse_duration
from aizen_hub.validation.end_time import is_end_in_some_zone

NO_END = "none"
ON_DATE = "date"
_DURATIONS = ("8h", "7d", "30d")


class UntilFields(Schema):
    """The fields of the picker, as a part of a form or of an address."""

    until: Typed = ""
    until_date: Typed = ""
    until_moment: Typed = ""

    def read_end(self, now: datetime) -> datetime | None:
        """Return the chosen end, as `parse_until` does."""
        return parse_until(self.until, self.until_date, now, moment=self.until_moment)


class GrantFields(UntilFields):
    """Until when, and why: what each form that gives roles asks for."""

    reason: Typed = ""


@dataclass(frozen=True, slots=True)
class EndPreset:
    """One choice; the value is what the form sends."""

    value: str
    label: str


def _end_of_quarter(now: datetime) -> datetime:
    month = (now.month - 1) // 3 * 3 + 4
    return datetime(now.year + (month > 12), (month - 1) % 12 + 1, 1, tzinfo=UTC)


def presets(
    now: datetime, longest: datetime | None = None, *, allow_no_end: bool = True, chosen: str = ""
) -> tuple[EndPreset, ...]:
    """Return the choices, the shortest first.

    Parameters
    ----------
    longest : datetime, optional
        What the grantor may give at most: it is the last choice, and nothing longer is offered.
    chosen : str, optional
        What is chosen now: a duration, such as that of a link, is offered too.
    """
    quarter = _end_of_quarter(now)
    texts = (chosen, *(text for text in _DURATIONS if parse_duration(text) != parse_duration(chosen)))
    durations = {duration: text for text in texts if (duration := parse_duration(text))}
    choices = [(now + duration, EndPreset(text, format_duration(duration))) for duration, text in durations.items()]
    choices.append((quarter, EndPreset("quarter", f"End of quarter ({format_day(last_moment(quarter), now)})")))
    offered = [
        preset for ends, preset in sorted(choices, key=lambda choice: choice[0]) if not longest or ends < longest
    ]
    if longest is not None:
        offered.append(EndPreset("longest", f"{format_day(last_moment(longest), now)}, the longest you may give"))
    elif allow_no_end:
        offered.append(EndPreset(NO_END, "No end"))
    return tuple(offered)


def parse_until(
    choice: str,
    date: str,
    now: datetime,
    longest: datetime | None = None,
    *,
    field: str = "until",
    moment: str = "",
) -> datetime | None:
    """Return the end that a form names, exclusive; None for no end.

    Parameters
    ----------
    choice, date : str
        What the picker sent: a preset, any duration, or ``date``, and the last day.
    field : str
        The field of the error.
    moment : str
        When that day ends in the zone of the reader, which the script of the page adds; empty: in UTC.

    Raises
    ------
    FieldError
        No choice, no such day, or a day that has passed.
    """
    if not choice and not date:
        raise FieldError(field, "choose until when")
    if choice == NO_END and longest is None:
        return None
    duration = parse_duration(choice)
    ends = {"quarter": _end_of_quarter(now), "longest": longest}.get(choice) if duration is None else now + duration
    if choice in (ON_DATE, ""):
        ends = _end_of_day(date, moment, field)
    if ends is None:
        raise FieldError(field, "choose until when")
    if ends <= now:
        raise FieldError(field, "this day has passed; choose a later one")
    if longest is not None and ends > longest:
        raise FieldError(field, f"you may give this until {format_day(last_moment(longest), now)} at most")
    return ends


def _end_of_day(text: str, moment: str, field: str) -> datetime:
    try:
        end = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
        local = datetime.fromisoformat(moment).astimezone(UTC) if moment else end
    except (ValueError, OverflowError):
        raise FieldError(field, "write a day such as 2027-01-31") from None
    if moment and not is_end_in_some_zone(text, local, local):
        raise FieldError(field, "choose the day again")
    return local
