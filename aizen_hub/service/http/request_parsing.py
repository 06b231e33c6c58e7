"""What a request carries: the members of its address, its body and its query, read by what its route declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from aizen_hub.problems import BadInput, Problem
from aizen_hub.service.http.request import Headers, joined
from aizen_hub.service.http.route import Route
from aizen_hub.service.http.schema import read_json, read_strings
from aizen_hub.validation import strict_json

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 64
MAX_SEGMENT = 300


class MediaRefused(Problem):
    """The body is not in the one form that this address reads."""

    slug, title, status = "media-type", "The body has the wrong media type", 415


def members(route: Route, segments: Sequence[str]) -> dict[str, str]:
    """Read the members of an address.

    Raises
    ------
    BadInput
    """
    if not segments:
        return {}
    try:
        texts = [unquote_to_bytes(one).decode() for one in segments]
    except UnicodeDecodeError:
        raise BadInput("the address cannot be read") from None
    found = dict(zip(route.members(), texts, strict=True))
    for name, value in found.items():
        if len(value) > MAX_SEGMENT or not value.isprintable():
            raise BadInput(f"the member `{name}` of the address is too long or holds characters that no name has")
    return found


def body(route: Route, headers: Headers, data: bytes) -> Any:
    """Read a body in the one form that the route declares.

    Raises
    ------
    BadInput, MediaRefused
    """
    if route.body is None:
        if data:
            raise BadInput("this address takes no body")
        return None
    kind = joined(headers, "Content-Type").partition(";")[0].strip().lower()
    wanted = FORM if route.form else JSON
    if kind != wanted:
        raise MediaRefused(f"this address reads `{wanted}`")
    if joined(headers, "Content-Encoding").lower() not in ("", "identity"):
        raise MediaRefused("the body must not be compressed")
    if route.form:
        return read_strings(route.body, fields(data))
    # Read twice on purpose: the strict reader refuses what two readers could understand differently, the schema then
    # checks shape and types in compiled code.
    strict_json.loads(data, max_bytes=route.max_body, max_keys=route.max_members)
    return read_json(route.body, data)


def query(route: Route, text: str) -> Any:
    """Read a query.

    Raises
    ------
    BadInput
    """
    data = text.encode("ascii", "replace")
    if route.query is None:
        if data:
            raise BadInput("this address takes no query")
        return None
    return read_strings(route.query, fields(data))


def fields(data: bytes) -> dict[str, str]:
    """Read a query or form; a repeated member, text that is not UTF-8 or too many members are refused.

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
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise BadInput("the query or form cannot be read") from None
    out = dict(pairs)
    if len(out) != len(pairs):
        raise BadInput("a member of the query or form stands twice")
    return out
