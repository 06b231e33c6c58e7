"""HTTP header fields: media types, names, and reading."""

from __future__ import annotations

from multidict import CIMultiDictProxy

Headers = CIMultiDictProxy[str]
"""Bytes of a field that are not UTF-8 are lone surrogates here."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PROBLEM_JSON = "application/problem+json"
NDJSON = "application/x-ndjson"
HTML = "text/html; charset=utf-8"

XSRF_HEADER = "X-XSRF-Token"
DRY_RUN = "dry-run"
"""The preference (RFC 7240) for a dry run of a change: who would gain and lose which rights."""


def joined_header(headers: Headers, name: str) -> str:
    """Return a field as one text, however many lines it came in (RFC 9110, 5.2); empty where there is none."""
    return ",".join(headers.getall(name, ()))


def etag(version: int) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'
