"""Strict and bounded JSON parsing for untrusted input (R110)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from aizen_hub.problems import BadInput, TooLarge

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_KEYS = 10_000
_MAX_DIGITS = 40
_BRACKETS = re.compile(r"[][{}]")
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+\\?"?', re.DOTALL)  # possessive: it never backtracks


def loads(
    data: bytes | str, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, max_keys: int = MAX_KEYS
) -> Any:
    """Parse one JSON text (RFC 8259) and refuse everything that two parsers could interpret differently.

    Parameters
    ----------
    data : bytes or str
        The text; bytes must be UTF-8 without a byte order mark.
    max_bytes, max_depth, max_keys : int
        Limits on the encoded size, the nesting of arrays and objects, and the members of all objects together.

    Raises
    ------
    TooLarge
        One of the limits is exceeded.
    BadInput
        Not JSON, not UTF-8, a duplicate member, NaN or Infinity, a number that overflows, a lone surrogate, or text
        after the end.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"the JSON text has more than {max_bytes} bytes")
    text = _decode_utf8(data) if isinstance(data, bytes) else data
    if text is data and len(text.encode("utf-8", "surrogatepass")) > max_bytes:
        raise TooLarge(f"the JSON text has more than {max_bytes} bytes")
    # With so few brackets the text cannot be nested too deeply.
    if text.count("[") + text.count("{") > max_depth:
        _check_depth(text, max_depth)
    # Each member has a colon: with so few of them the members need not be counted.
    decoder = _DECODER if text.count(":") <= max_keys else _counting_decoder(max_keys)
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    if "\\u" in text or not text.isascii():
        _check_surrogates(value)
    return value


def _unique_members(items: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(items)
    if len(out) != len(items):
        seen: set[str] = set()
        repeated = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadInput(f"the member `{_ascii_excerpt(repeated)}` is repeated in one object")
    return out


def _counting_decoder(limit: int) -> json.JSONDecoder:
    count = 0

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal count
        count += len(items)
        if count > limit:
            raise TooLarge(f"the JSON text has more than {limit} members")
        return _unique_members(items)

    return _decoder(pairs)


def _decoder(pairs: Callable[[list[tuple[str, Any]]], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=pairs, parse_constant=_reject_constant, parse_float=_parse_float, parse_int=_parse_int
    )


def _decode_utf8(data: bytes) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        raise BadInput("the JSON text starts with a byte order mark")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"the JSON text is not UTF-8 at byte {error.start}") from None


def _check_depth(text: str, limit: int) -> None:
    # Counted before parsing: the parser is recursive and would raise RecursionError (F9).
    depth = 0
    for bracket in _BRACKETS.findall(_outside_strings(text)):
        depth += 1 if bracket in "[{" else -1
        if depth > limit:
            raise TooLarge(f"the JSON text is nested deeper than {limit} levels")


def _outside_strings(text: str) -> str:
    """Return the parts of a JSON text that are not in a string; one that does not end reaches to the end."""
    return _STRINGS.sub("", text) if "\\" in text else "".join(text.split('"')[::2])


def _reject_constant(name: str) -> NoReturn:
    raise BadInput(f"`{name}` is not a JSON number")


def _parse_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise BadInput("a number is too large")
    return value


def _parse_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise BadInput(f"a number has more than {_MAX_DIGITS} digits")
    return int(text)


def _check_surrogates(value: Any) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if any("\ud800" <= char <= "\udfff" for char in item):
                raise BadInput("a text holds a lone surrogate")
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _ascii_excerpt(text: str) -> str:
    return text[:40].encode("ascii", "backslashreplace").decode()


_DECODER = _decoder(_unique_members)
