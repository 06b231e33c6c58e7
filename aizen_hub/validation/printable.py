"""Text from outside in a line of ours: what cannot be seen, or would move what stands beside it, is spelt out (R99)."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return text as one line in which every character can be seen; the others as Python writes them, e.g. ``\\n``."""
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def show(text: str, limit: int = 80) -> str:
    """Return text as it may stand between backticks in a sentence: visible, cut, and nothing that would end them."""
    return visible(text if len(text) <= limit else text[: limit - 1] + "…").replace("`", "'")
