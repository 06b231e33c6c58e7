"""What every schema of the API shares: closed, strict, and faults that name their place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aizen_hub.problems import BadInput, Fault

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_MAX_FAULTS = 50


def _visible(text: str) -> str:
    if _HIDDEN.search(text):
        raise ValueError("holds control or invisible characters")
    return text


class Schema(BaseModel):
    """A document of the API. Unknown members are refused, not ignored (R74), and no value is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, ser_json_timedelta="float")

    def __repr__(self) -> str:
        """Only the name: what came in may be a password, and this may end in a log (R98)."""
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class Open(BaseModel):
    """A document that we answer with and that may grow."""

    model_config = ConfigDict(extra="allow", frozen=True)


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_visible)]
"""A name of something; the accounts layer makes it canonical."""
Label = Annotated[str, Field(max_length=255), AfterValidator(_visible)]
Note = Annotated[str, Field(max_length=1000), AfterValidator(_visible)]
"""One line of prose: a reason, a description."""
Secret = Annotated[str, Field(min_length=1, max_length=1024)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _rfc3339(value: object) -> object:
    # Read here: a bare number would be taken for seconds since 1970, and a strict model takes no text from a validator.
    if not isinstance(value, str):
        return value
    if not _MOMENT.fullmatch(value):
        raise ValueError("must be a time with its zone, such as 2027-01-01T00:00:00Z")
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError("is no time that the calendar has") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]
"""A time as RFC 3339 writes it."""

M = TypeVar("M", bound=Schema)


def read_json(schema: type[M], data: bytes) -> M:
    """Check JSON text, read before by the strict reader, against a schema.

    Raises
    ------
    BadInput
        With every fault and its place.
    """
    try:
        return schema.model_validate_json(data)
    except ValidationError as error:
        raise refused(error) from None


def read_strings(schema: type[M], values: Mapping[str, str]) -> M:
    """Check the members of a query or form, which are texts; numbers among them are converted."""
    try:
        return schema.model_validate_strings(dict(values), strict=False)
    except ValidationError as error:
        raise refused(error) from None


def refused(error: ValidationError) -> BadInput:
    """Turn pydantic's findings into ours; nothing of the input's values appears (R98)."""
    faults = tuple(
        _fault(one) for one in error.errors(include_url=False, include_input=False, include_context=True)[:_MAX_FAULTS]
    )
    first = faults[0]
    where = f"`{first.pointer}`: " if first.pointer else ""
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return BadInput(f"{where}{first.detail}{more}", faults=faults)


def pointer(parts: tuple[int | str, ...]) -> str:
    """JSON pointer (RFC 6901) of a place, with each part bounded and printable."""
    return "".join("/" + _printable(str(part)).replace("~", "~0").replace("/", "~1") for part in parts)


def _printable(text: str) -> str:
    return text[:80].encode("ascii", "backslashreplace").decode() if text.isprintable() else repr(text[:80])[1:-1]


def _fault(one: Any) -> Fault:
    kind, context = one["type"], one.get("ctx", {})
    detail, allowed = one["msg"].removeprefix("Value error, ").rstrip("."), ()
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
    return Fault(pointer(one["loc"]), detail, allowed)
