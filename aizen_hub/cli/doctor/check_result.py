"""The result of one check of the doctor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes
    ----------
    level : str
        ``ok``; ``warn`` for what may be intended or temporary; ``fail`` for an error.
    message : str
    remedy : str
        What to do or to set; may be empty if the level is ``ok``.
    production : bool
        A warning that is an error for ``doctor --production``: acceptable in a trial only.
    """

    level: str
    message: str
    remedy: str = ""
    production: bool = False
