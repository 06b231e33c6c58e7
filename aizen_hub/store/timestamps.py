"""Times in the database: UTC, as microseconds since 1970, the same on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def to_microseconds(value: datetime) -> int:
    """Return microseconds since 1970; ValueError for a time without a zone."""
    if value.tzinfo is None:
        raise ValueError("a time needs its zone")
    return (value - _EPOCH) // _TICK


def from_microseconds(value: int) -> datetime:
    return _EPOCH + value * _TICK


class Instant(TypeDecorator[datetime]):
    """A column of aware datetimes."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else from_microseconds(value)
