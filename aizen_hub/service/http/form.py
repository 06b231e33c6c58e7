"""HTML forms of the panel, as request bodies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, WithJsonSchema

from aizen_hub.api_models.schema import Schema, Secret


def _end_of_day(value: object) -> datetime | None:
    if value in ("", None):
        return None
    try:
        return datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise ValueError("expected a day such as 2026-12-31") from None


LastDay = Annotated[
    AwareDatetime | None,
    BeforeValidator(_end_of_day),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$"}),
]
"""The last day of something, from a date field: the end of that day in UTC; None for an empty field."""


class Form(Schema):
    """A form of a panel page; without the XSRF token of its browser a change is refused (R115)."""

    xsrf: Secret
