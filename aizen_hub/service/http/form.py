"""HTML forms of the panel, as request bodies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, BeforeValidator, Field, WithJsonSchema

from aizen_hub.api_models.schema import REPEATABLE, Schema, Secret, read_strings


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


Typed = Annotated[str, Field(max_length=10_000)]
"""A field as it was typed: the handler checks it, with `read_form`, and shows the page again with what is wrong."""

Ticked = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: tuple(value.split("\n")) if isinstance(value, str) else value),
    Field(max_length=1000),
    REPEATABLE,
]
"""The values of the ticked boxes of one name."""

RowId = Annotated[int, Field(ge=0, lt=2**63)]
"""The number of a row, as a column of the database can hold it."""

F = TypeVar("F", bound=Schema)


def read_form(schema: type[F], form: Form, **more: Any) -> F:
    """Check what was typed against a stricter schema, whose fields are a part of the form's.

    Raises
    ------
    BadInput
        With a fault for each field.
    """
    typed = {name: getattr(form, name) for name in schema.model_fields if name in type(form).model_fields}
    return read_strings(schema, {**typed, **more})


class Form(Schema):
    """A form of a panel page; without the XSRF token of its browser a change is refused (R115)."""

    xsrf: Secret


class EmptyForm(Form):
    """A form with a button and no fields."""
