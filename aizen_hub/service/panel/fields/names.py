"""Names that were typed into a field for several: separated, and with suggestions for those that do not exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MAX_NAMES = 500
_SEPARATORS = re.compile(r"[,;\n\r\t]+")


def split_names(text: str) -> tuple[str, ...]:
    """Return the names of a field, each once, in the order in which they were typed."""
    names = (name.strip() for name in _SEPARATORS.split(text))
    return tuple(dict.fromkeys(name for name in names if name))


def closest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most alike a mistyped one; None where none is near."""
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return matches[0] if matches else None


def closest_names(name: str, known: Iterable[str], limit: int) -> tuple[str, ...]:
    """Return the known names that are alike a mistyped one, the most alike first."""
    return tuple(difflib.get_close_matches(name, known, n=limit, cutoff=0.6))
