"""A setting of the hub that disables a protection."""

from __future__ import annotations

from dataclasses import dataclass

from aizen_hub.settings import ConfigurationError


@dataclass(frozen=True, slots=True)
class Violation:
    """One setting that disables a protection.

    Attributes
    ----------
    setting : str
        As it is written in ``jupyterhub_config.py``, without ``c.``.
    explanation : str
        What it would allow.
    remedy : str
        What to do instead.
    fatal : bool
        Whether the hub refuses to start with it.
    """

    setting: str
    explanation: str
    remedy: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"`c.{self.setting}`: {self.explanation}: {self.remedy}"


def violation_error(setting: str, explanation: str, remedy: str) -> ConfigurationError:
    """Return the error for a setting that is detected while the configuration is still being read."""
    return ConfigurationError(str(Violation(setting, explanation, remedy)))
