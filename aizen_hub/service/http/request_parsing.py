"""The parsing of a request: path parameters, query and body, each checked against what its route declares."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from aiohttp import hdrs
from aiohttp.web import BaseRequest

from aizen_hub.api_models.schema import REPEATABLE, Schema, read_json, read_strings
from aizen_hub.problems import BadInput, Problem
from aizen_hub.service.http.headers import FORM, JSON, Headers, joined_header
from aizen_hub.service.http.route import Route
from aizen_hub.validation import strict_json

MAX_FIELDS = 64
MAX_REPEATED_FIELDS = 1100
MAX_SEGMENT = 300


class UnsupportedMediaType(Problem):
    """The body does not have the one media type that this address reads."""

    slug, title, status = "media-type", "The body has the wrong media type", 415


def raw_path(request: BaseRequest) -> str:
    """Return the path as it was sent, without the query: nothing in it is decoded."""
    return request.raw_path.partition("?")[0]


def raw_query(request: BaseRequest) -> str:
    """Return the query as it was sent, without the ``?``."""
    return request.raw_path.partition("?")[2]


def path_params(segments: Mapping[str, str]) -> dict[str, str]:
    """Decode the segments of a path that stand for its parameters.

    Raises
    ------
    BadInput
    """
    try:
        params = {name: unquote_to_bytes(segment).decode() for name, segment in segments.items()}
    except UnicodeDecodeError:
        raise BadInput("the address cannot be read") from None
    for name, value in params.items():
        if len(value) > MAX_SEGMENT or not value.isprintable():
            raise BadInput(f"the path parameter `{name}` is too long or contains invalid characters")
    return params


def parse_body(route: Route, headers: Headers, data: bytes) -> Any:
    """Parse a body of the one media type that the route declares.

    Raises
    ------
    BadInput, UnsupportedMediaType
    """
    if route.body is None:
        if data:
            raise BadInput("this address takes no body")
        return None
    _check_media_type(joined_header(headers, hdrs.CONTENT_TYPE), FORM if route.form else JSON)
    if hdrs.CONTENT_ENCODING in headers and joined_header(headers, hdrs.CONTENT_ENCODING).lower() not in (
        "",
        "identity",
    ):
        raise UnsupportedMediaType("the body must not be compressed")
    if route.form:
        return read_strings(route.body, form_fields(data, _repeatable_fields(route.body)))
    # Parsed twice on purpose: the strict parser refuses what two parsers could understand differently, the schema then
    # checks shape and types in compiled code.
    strict_json.loads(data, max_bytes=route.max_body, max_keys=route.max_members)
    return read_json(route.body, data)


@lru_cache(maxsize=64)  # clients send the same few
def _check_media_type(content_type: str, expected: str) -> None:
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip().lower() != expected:
        raise UnsupportedMediaType(f"this address reads `{expected}`")
    if not _is_utf8(parameters):
        # A body in another encoding would be read as something else here than by its sender, or by a filter on the way.
        raise UnsupportedMediaType("the body must be UTF-8: leave `charset` out, or send `charset=utf-8`")


def _is_utf8(parameters: str) -> bool:
    """Return whether no parameter of a media type names another encoding than UTF-8."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        # `charset*` is the extended form of RFC 8187, which no client of ours needs.
        if name.strip().lower().startswith("charset") and (
            name.strip().lower() != "charset" or value.strip().strip('"').lower() not in ("utf-8", "utf8")
        ):
            return False
    return True


def parse_query(route: Route, query: str) -> Any:
    """Parse a query.

    Raises
    ------
    BadInput
    """
    if route.query is None:
        if query:
            raise BadInput("this address takes no query")
        return None
    data = query.encode("ascii", "replace")
    return read_strings(route.query, form_fields(data, _repeatable_fields(route.query)))


@cache
def _repeatable_fields(schema: type[Schema]) -> frozenset[str]:
    return frozenset(name for name, field in schema.model_fields.items() if REPEATABLE in field.metadata)


def form_fields(data: bytes, repeatable: Collection[str] = ()) -> dict[str, str]:
    """Parse a query or form; a repeated field, text that is not UTF-8 and too many fields are refused.

    Parameters
    ----------
    repeatable : collection of str
        Fields that may be repeated; their values are joined, one a line.

    Raises
    ------
    BadInput
    """
    try:
        pairs = parse_qsl(
            data.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(data),
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_REPEATED_FIELDS if repeatable else MAX_FIELDS,
        )
    except ValueError:
        raise BadInput("the query or form cannot be read") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif name in repeatable and "\n" not in value:
            fields[name] += f"\n{value}"
        else:
            raise BadInput("a field of the query or form is repeated")
    return fields
