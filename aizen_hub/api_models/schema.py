"""Base classes and field types of the documents of the API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, LiteralString, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from aizen_hub.problems import BadInput, Fault, TextTooLong
from aizen_hub.validation.prose import MAX_PROSE, too_long

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_MAX_FAULTS = 50
_TOO_LONG: LiteralString = "prose_too_long"


def _visible(text: str) -> str:
    if not text.isprintable() and _HIDDEN.search(text):
        raise ValueError("holds control or invisible characters")
    return text


def _bounded(text: str) -> str:
    if len(text) > MAX_PROSE:
        raise PydanticCustomError(_TOO_LONG, "{what}", {"what": too_long(text)})
    return text


class Schema(BaseModel):
    """A document that a client sends. Unknown fields are refused, not ignored (R74), and no value is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, ser_json_timedelta="float")

    def __repr__(self) -> str:
        """Return the class name only: the content may be a password, and this text may end in a log (R98)."""
        return f"<{type(self).__name__}>"

    __str__ = __repr__


def _require_all(schema: dict[str, Any]) -> None:
    """Document every field as always present, and no defaults."""
    properties = schema.get("properties", {})
    for field in properties.values():
        field.pop("default", None)
    if properties:
        schema["required"] = list(properties)


class ResponseModel(BaseModel):
    """A document that the service responds with. A newer service may add fields, so unknown ones are accepted."""

    model_config = ConfigDict(extra="allow", frozen=True)


class CompleteResponse(ResponseModel):
    """A response with every field always present; defaults serve clients of an older service."""

    model_config = ConfigDict(json_schema_extra=_require_all)


REPEATABLE = "repeatable"
"""Annotation of a field of a query or form that may be sent several times; its values arrive one a line."""

Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_visible)]
"""Any name; `aizen_hub.accounts` makes it canonical."""
Label = Annotated[str, Field(max_length=255), AfterValidator(_visible)]
Note = Annotated[
    str, Field(json_schema_extra={"maxLength": MAX_PROSE}), AfterValidator(_visible), AfterValidator(_bounded)
]
"""One line of prose: a display name, a reason, a comment, a description; a longer one is refused with 422 (R141)."""
Secret = Annotated[str, Field(min_length=1, max_length=1024)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ProviderName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
"""The name of an entry of ``providers`` in aizen.yaml."""


def _parse_rfc3339(value: object) -> object:
    # Pydantic would read a bare number as seconds since 1970, and a strict model accepts no text for a time.
    if not isinstance(value, str):
        return value
    if not _RFC3339.fullmatch(value):
        raise ValueError("must be a time with its zone, such as 2027-01-01T00:00:00Z")
    try:
        moment = datetime.fromisoformat(value.upper())
        moment.astimezone(UTC)  # what UTC cannot hold could be stored, but not be read again
    except (ValueError, OverflowError):
        raise ValueError("is not a valid date and time") from None
    return moment


Timestamp = Annotated[AwareDatetime, BeforeValidator(_parse_rfc3339)]
"""A time in RFC 3339 notation, with its zone."""

M = TypeVar("M", bound=Schema)


def read_json(schema: type[M], data: bytes) -> M:
    """Validate JSON text, which the strict reader has accepted before, against a schema.

    Raises
    ------
    BadInput
        Names every fault and its location.
    """
    try:
        return schema.model_validate_json(data)
    except ValidationError as error:
        raise to_bad_input(error) from None


def read_strings(schema: type[M], values: Mapping[str, str]) -> M:
    """Validate the fields of a query or form, which are texts; numbers among them are converted."""
    try:
        return schema.model_validate_strings(dict(values), strict=False)
    except ValidationError as error:
        raise to_bad_input(error) from None


def to_bad_input(error: ValidationError) -> BadInput:
    """Return the problem for a validation error, with at most 50 faults and no input values (R98)."""
    faults = tuple(
        _fault(item)
        for item in error.errors(include_url=False, include_input=False, include_context=True)[:_MAX_FAULTS]
    )
    first = faults[0]
    prefix = f"`{first.pointer}`: " if first.pointer else ""
    suffix = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    only_too_long = all(item["type"] == _TOO_LONG for item in error.errors(include_url=False, include_input=False))
    problem_class = TextTooLong if only_too_long else BadInput
    return problem_class(f"{prefix}{first.detail}{suffix}", faults=faults)


def pointer(parts: tuple[int | str, ...]) -> str:
    """Return the JSON pointer (RFC 6901) of a location, with each part bounded and printable."""
    return "".join("/" + _printable(str(part)).replace("~", "~0").replace("/", "~1") for part in parts)


def _printable(text: str) -> str:
    return text[:80].encode("ascii", "backslashreplace").decode() if text.isprintable() else repr(text[:80])[1:-1]


def _fault(item: Any) -> Fault:
    kind, context = item["type"], item.get("ctx", {})
    detail, allowed = item["msg"].removeprefix("Value error, ").rstrip("."), ()
    detail = detail[:1].lower() + detail[1:]
    if kind == "extra_forbidden":
        detail = "is not a known field"
    elif kind == "missing":
        detail = "is missing"
    elif kind in ("literal_error", "enum"):
        allowed = tuple(re.findall(r"'([^']*)'", str(context.get("expected", ""))))
        detail = "is not one of the allowed values"
    elif kind.endswith("_type"):
        detail = f"must be {kind.removesuffix('_type').replace('_', ' ')}"
    return Fault(pointer(item["loc"]), detail, allowed)
