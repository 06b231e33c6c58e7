"""Times as the store keeps them: what is written can be read again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aizen_hub.store.timestamps import from_microseconds, to_microseconds


@pytest.mark.parametrize("time", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
def test_the_first_and_the_last_time_can_be_read_again(time: datetime) -> None:
    assert from_microseconds(to_microseconds(time)) == time


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_what_could_not_be_read_again_is_not_written(text: str) -> None:
    with pytest.raises(OverflowError):
        to_microseconds(datetime.fromisoformat(text))
