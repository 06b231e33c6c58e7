"""The end of a grant: presets by the day, the longest one, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aizen_hub.service.panel.fields.until import parse_until, presets
from aizen_hub.service.panel.form_errors import FieldError

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "label"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "End of quarter (31 Mar)"),
        (datetime(2026, 3, 31, 23, tzinfo=UTC), "End of quarter (31 Mar)"),
        (datetime(2026, 4, 1, tzinfo=UTC), "End of quarter (30 Jun)"),
        (datetime(2026, 12, 31, tzinfo=UTC), "End of quarter (31 Dec)"),
    ],
)
def test_the_end_of_the_quarter(now: datetime, label: str) -> None:
    assert label in [preset.label for preset in presets(now)]


def test_the_longest_is_the_last_and_nothing_longer_is_offered() -> None:
    offered = presets(NOW, NOW + timedelta(days=10))
    assert [preset.value for preset in offered] == ["8h", "7d", "longest"]
    assert offered[-1].label == "10 Dec, the longest you may give"
    assert [preset.value for preset in presets(NOW, allow_no_end=False)][-1] == "quarter"
    assert [preset.value for preset in presets(NOW)][-1] == "none"


@pytest.mark.parametrize(
    ("choice", "date", "expected"),
    [
        ("8h", "", NOW + timedelta(hours=8)),
        ("7d", "", NOW + timedelta(days=7)),
        ("4h", "", NOW + timedelta(hours=4)),
        ("quarter", "", datetime(2027, 1, 1, tzinfo=UTC)),
        ("none", "", None),
        ("date", "2026-12-24", datetime(2026, 12, 25, tzinfo=UTC)),
        ("", "2026-12-24", datetime(2026, 12, 25, tzinfo=UTC)),
        ("date", "2026-11-30", datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_a_choice_is_read(choice: str, date: str, expected: datetime | None) -> None:
    assert parse_until(choice, date, NOW) == expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("", datetime(2026, 12, 25, tzinfo=UTC)),
        ("2026-12-24T23:00:00.000Z", datetime(2026, 12, 24, 23, tzinfo=UTC)),
        ("2026-12-25T05:00:00.000Z", datetime(2026, 12, 25, 5, tzinfo=UTC)),
    ],
)
def test_a_day_ends_in_the_zone_of_the_reader(moment: str, expected: datetime) -> None:
    assert parse_until("date", "2026-12-24", NOW, moment=moment) == expected


@pytest.mark.parametrize("moment", ["soon", "2027-12-25T05:00:00.000Z", "2026-12-24T05:00:00.000Z"])
def test_a_moment_of_another_day_is_refused(moment: str) -> None:
    with pytest.raises(FieldError, match="day"):
        parse_until("date", "2026-12-24", NOW, moment=moment)


@pytest.mark.parametrize(
    ("choice", "date", "longest", "part"),
    [
        ("", "", None, "choose"),
        ("9x", "", None, "choose"),
        ("60d", "", NOW + timedelta(days=9), "at most"),
        ("longest", "", None, "choose"),
        ("date", "", None, "write a day"),
        ("date", "soon", None, "write a day"),
        ("date", "9999-12-31", None, "write a day"),
        ("date", "2026-11-29", None, "passed"),
        ("date", "2027-01-31", NOW + timedelta(days=9), "at most"),
        ("30d", "", NOW + timedelta(days=9), "at most"),
        ("none", "", NOW + timedelta(days=9), "choose"),
    ],
)
def test_what_is_refused(choice: str, date: str, longest: datetime | None, part: str) -> None:
    with pytest.raises(FieldError, match=part) as error:
        parse_until(choice, date, NOW, longest)
    assert error.value.faults[0].pointer == "/until"


@pytest.mark.parametrize(("chosen", "values"), [("4h", "4h 8h"), ("14d", "8h 7d 14d"), ("7 days", "8h 7")])
def test_another_chosen_duration_is_offered_too(chosen: str, values: str) -> None:
    assert " ".join(preset.value for preset in presets(NOW, chosen=chosen)).startswith(values)
    assert len({preset.label for preset in presets(NOW, chosen=chosen)}) == len(presets(NOW, chosen=chosen))
