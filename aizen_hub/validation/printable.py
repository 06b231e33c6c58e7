"""Escaping of untrusted text for messages and logs: invisible and control characters are written out (R99)."""

from __future__ import annotations


def escape_nonprintable(text: str) -> str:
    """Return text as one line of printable characters; the others are escaped as in Python, e.g. ``\\n``."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def excerpt(text: str, limit: int = 80) -> str:
    """Return text for use between backticks in a message: printable, truncated, without backticks."""
    return escape_nonprintable(text if len(text) <= limit else text[: limit - 1] + "…").replace("`", "'")
