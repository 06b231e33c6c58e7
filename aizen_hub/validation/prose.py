"""The bound of text that people write for people: display names, reasons, comments, descriptions (R141)."""

from __future__ import annotations

from aizen_hub.problems import TextTooLong

MAX_PROSE = 1_000
"""Characters; the audit stores a text of this length whole."""


def check_prose(text: str, field: str) -> str:
    """Return the text unchanged: nothing that a person wrote is cut in silence.

    Parameters
    ----------
    field : str
        What it is, for the message: ``reason``, ``display name``.

    Raises
    ------
    TextTooLong
    """
    if len(text) > MAX_PROSE:
        raise TextTooLong(f"the {field} {too_long(text)}", remedy="shorten it")
    return text


def too_long(text: str) -> str:
    """Return what is wrong with a text, as the rest of a sentence."""
    return f"has {len(text)} characters, and {MAX_PROSE} at most are stored"
