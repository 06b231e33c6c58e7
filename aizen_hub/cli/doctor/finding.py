"""What a look at an installation found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    level : str
        ``ok``; ``warn`` for what may be on purpose, or mends itself; ``fail`` for what must not stay so.
    """

    level: str
    what: str
    remedy: str = ""
