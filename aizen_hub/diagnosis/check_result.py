"""The result of one check of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes
    ----------
    check : str
        Stable id of what was checked, for scripts.
    level : str
        ``ok``; ``warn`` for what may be intended or temporary; ``fail`` for an error.
    where : str
        The file and the key in it, or the server; empty if the level is ``ok``.
    message : str
    remedy : str
        What to do or to set; empty if the level is ``ok``.
    production : bool
        A warning that is an error for ``doctor --production``: acceptable in a trial only.
    """

    check: str
    level: str
    where: str
    message: str
    remedy: str = ""
    production: bool = False

    @classmethod
    def passed(cls, check: str, message: str) -> Self:
        return cls(check, "ok", "", message)

    @classmethod
    def warning(cls, check: str, where: str, message: str, remedy: str, *, production: bool = False) -> Self:
        return cls(check, "warn", where, message, remedy, production)

    @classmethod
    def error(cls, check: str, where: str, message: str, remedy: str) -> Self:
        return cls(check, "fail", where, message, remedy)


def in_settings(key: str) -> str:
    """Return where a setting is, in words: ``aizen.yaml``."""
    return f"aizen.yaml: {key}"


def in_hub_config(key: str) -> str:
    """Return where a setting is, in words: ``jupyterhub_config.py``."""
    return f"jupyterhub_config.py: {key}"
