"""Timestamps in the database: UTC, stored as microseconds since 1970 on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def to_microseconds(value: datetime) -> int:
    """Return microseconds since 1970; ValueError for a naive time, OverflowError if it could not be read again."""
    if value.tzinfo is None:
        raise ValueError("the time has no time zone")
    return (value.astimezone(UTC) - _EPOCH) // _TICK


def from_microseconds(value: int) -> datetime:
    """Return the UTC time of microseconds since 1970."""
    return _EPOCH + value * _TICK


class UtcDateTime(TypeDecorator[datetime]):
    """Column type of timezone-aware datetimes."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else from_microseconds(value)
